"""The guest image, for front ends."""

import os
from pathlib import Path

from platformdirs import site_cache_path, user_cache_path

from reconciler.errors import HostCapabilityMissing
from reconciler.host.image.build import DEFAULT_TARGET
from reconciler.host.image.build import build_image as build_on_host
from reconciler.model.base import Frozen
from reconciler.service.progress import Report

__all__ = ["DEFAULT_TARGET", "BuiltImage", "build_image", "default_cache_dir"]


class BuiltImage(Frozen):
    """An image that is ready: its files, and whether they were there already."""

    disk: Path
    kernel: Path
    initrd: Path
    description: Path
    kernel_version: str
    cmdline: str
    recipe_digest: str
    size_bytes: int
    reused: bool


async def build_image(
    target: Path = DEFAULT_TARGET, *, report: Report, force: bool = False, cache_dir: Path | None = None
) -> BuiltImage:
    """Make the guest image at `target` (an absolute path); nothing where it is there and current.

    What was done of an interrupted build is kept in the cache and taken up by the next one.
    """

    def tell(step: str, fraction: float | None) -> None:
        report(step if fraction is None else f"{fraction:4.0%}  {step}")

    try:
        built = await build_on_host(target, cache_dir=cache_dir or default_cache_dir(), progress=tell, force=force)
    except OSError as error:
        raise HostCapabilityMissing(
            f"the image cannot be made: {error.filename}: {error.strerror}",
            hint="run as a user who may write there, or choose other directories",
        ) from error
    return BuiltImage(**{name: getattr(built, name) for name in BuiltImage.model_fields})


def default_cache_dir() -> Path:
    """The host's cache for root, the user's own for anybody else."""
    base = site_cache_path("vmcluster") if os.geteuid() == 0 else user_cache_path("vmcluster")
    return base / "image"
