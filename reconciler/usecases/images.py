"""Building the guest image."""

import os
from functools import partial
from pathlib import Path

from platformdirs import site_cache_path, user_cache_path
from pydantic import Field

from reconciler.errors import HostCapabilityMissing
from reconciler.image.build import build_image as build_on_host
from reconciler.model.base import Frozen
from reconciler.progress import Report
from reconciler.runtime import Runtime
from reconciler.usecases.named_images import kept_unused


class BuiltImage(Frozen):
    """A finished image: its files, and whether they were already up to date."""

    disk: Path = Field(description="The image.")
    kernel: Path = Field(description="Its kernel, for direct boot.")
    initrd: Path = Field(description="Its initrd, for direct boot.")
    description: Path = Field(description="The file that records what it was built from.")
    kernel_version: str = Field(description="What `uname -r` prints in the guest.")
    cmdline: str = Field(description="Kernel command line for direct boot.")
    recipe_digest: str = Field(description="Hash of everything that determines its content.")
    size_bytes: int = Field(description="Size of the image on disk.")
    reused: bool = Field(description="It was already up to date; nothing was built.")


async def build_guest_image(
    runtime: Runtime, target: Path, *, report: Report, force: bool = False, cache_dir: Path | None = None
) -> BuiltImage:
    """Build the guest image at `target` (an absolute path); does nothing if it is up to date.

    The finished stages of an interrupted build are kept in the cache for the next one. Raises `Conflict` if something
    stands on an image that would be replaced.
    """

    def tell(step: str, fraction: float | None) -> None:
        report(step if fraction is None else f"{fraction:4.0%}  {step}")

    try:
        built = await build_on_host(
            target,
            cache_dir=cache_dir or default_cache_dir(),
            progress=tell,
            force=force,
            replacing=partial(kept_unused, runtime, [target], libvirt_may_be_away=True),
        )
    except OSError as error:
        raise HostCapabilityMissing(
            f"the image cannot be built: {error.filename}: {error.strerror}",
            hint="run as a user who may write there, or use other directories",
        ) from error
    return BuiltImage(**{name: getattr(built, name) for name in BuiltImage.model_fields})


def default_cache_dir() -> Path:
    """The host's cache for root, otherwise the user's own."""
    base = site_cache_path("vmcluster") if os.geteuid() == 0 else user_cache_path("vmcluster")
    return base / "image"
