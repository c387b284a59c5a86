"""Building the guest image."""

import os
from functools import partial
from pathlib import Path

from platformdirs import site_cache_path, user_cache_path

from reconciler.errors import HostCapabilityMissing
from reconciler.image.build import build_image as build_on_host
from reconciler.model.named_image import BuiltImage
from reconciler.progress import Report
from reconciler.runtime import Runtime
from reconciler.usecases.named_images import kept_unused


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
