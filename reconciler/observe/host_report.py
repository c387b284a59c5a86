"""What this host says of itself to the others of its store."""

import asyncio
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import reconciler
from reconciler.concurrency import together
from reconciler.errors import ClusterError
from reconciler.files.space import free_bytes
from reconciler.host.disks.image_digests import ImageDigests
from reconciler.host.features import NETEM, NFT_BRIDGE, VXLAN, Feature, FeatureUntried, complaint_about
from reconciler.host.memory import observe_memory_mb
from reconciler.host.virt_type import KvmVerdict, probe_kvm
from reconciler.model.host import HostImage, HostReport
from reconciler.settings import Settings

FEATURES = (NETEM, NFT_BRIDGE, VXLAN)


async def observe_host_report(
    settings: Settings, name: str, public_key: str, used: Iterable[Path] = (), image_port: int = 0
) -> HostReport:
    """The report of this host under a name.

    `used` are images outside of the usual directories; all are given to other hosts at `image_port`, if there is one.
    """
    verdict = await probe_kvm(settings.state_dir)
    images = await _images(settings, used)
    image_key = await asyncio.to_thread(own_image_key, settings)
    complaints = await together(*map(_complaint, FEATURES))
    disk_bytes, free_bytes = await asyncio.to_thread(_disk, settings.overlay_dir)
    return HostReport(
        name=name,
        address=settings.host_address,
        version=reconciler.__version__,
        vcpus=len(os.sched_getaffinity(0)),
        memory_mb=observe_memory_mb() or 0,
        disk_bytes=disk_bytes,
        disk_free_bytes=free_bytes,
        kvm_usable=verdict.usable,
        virt_timings=_timings(verdict),
        features={feature.name: told for feature, told in zip(FEATURES, complaints, strict=True)},
        image_dir=settings.image_dir,
        images=images,
        image_port=image_port,
        image_key=image_key,
        ssh_public_key=public_key,
        libvirt_uri=settings.libvirt_uri,
        labels=settings.host_labels,
    )


def exchanges_images(settings: Settings) -> bool:
    """Whether this host gives images to others of its store, and fetches them."""
    return bool(settings.own_host and settings.host_address and settings.host_image_port)


def image_key_path(settings: Settings) -> Path:
    """The private key by which other hosts know this one."""
    return settings.state_dir / "host_key"


def own_image_key(settings: Settings) -> str:
    """The public half of that key, which is made at the first call; empty where no images are exchanged. Blocking."""
    if not exchanges_images(settings):
        return ""
    from reconciler.guest.keys import generate_client_key  # noqa: PLC0415  asyncssh: only where it is used

    return generate_client_key(image_key_path(settings), comment=settings.own_host)


def digest_of_image(settings: Settings, path: Path) -> str:
    """The digest of an image's content, as a report has it. Blocking. Raises `OSError`."""
    return ImageDigests(settings.state_dir).digest(path)


def path_of_image(settings: Settings, directory: Path, digest: str) -> Path | None:
    """The image directly in a directory that has a digest; None if there is none. Blocking."""
    images = ImageDigests(settings.state_dir).images(directory, ())
    return next((image.path for image in images if image.digest == digest and image.path.parent == directory), None)


async def _images(settings: Settings, used: Iterable[Path]) -> tuple[HostImage, ...]:
    return await asyncio.to_thread(ImageDigests(settings.state_dir).images, settings.image_dir, used)


async def _complaint(feature: Feature) -> str:
    """What is wrong with a feature; empty if it works."""
    try:
        return await complaint_about(feature) or ""
    except (ClusterError, FeatureUntried) as error:
        return f"cannot be tried: {error}"


def _disk(directory: Path) -> tuple[int, int]:
    """The size of the file system that a directory is on, or will be, and what is free of it."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    return shutil.disk_usage(there).total, free_bytes(there)


def _timings(verdict: KvmVerdict) -> dict[str, float]:
    measured = {"kvm": verdict.kvm_s, "qemu": verdict.emulated_s}
    return {name: seconds for name, seconds in measured.items() if seconds is not None}
