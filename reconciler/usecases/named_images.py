"""The images of this host that topologies know by name: which there are, what stands on them, and how they go."""

import asyncio
import os
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from reconciler.desired.base_images import format_and_size, names_in, why_unfit
from reconciler.desired.recorded_file_uses import recorded_uses, unrecorded_uses
from reconciler.errors import Conflict, ImageNotFound, LibvirtUnavailable
from reconciler.files.atomic import reporting_os_errors
from reconciler.files.space import allocated_bytes
from reconciler.image.catalogue import CATALOGUE, nearest_name
from reconciler.image.published import ImageFiles, read_description
from reconciler.image.pulled import origin_of, pull_description
from reconciler.model.file_use import FileUse
from reconciler.model.named_image import ImageDetails, NamedImage, RemovedImages
from reconciler.model.names import image_path
from reconciler.observe.host_report import digest_of_image
from reconciler.runtime import Runtime

log = structlog.get_logger(__name__)

_HOST_WAIT_S = 60.0

Standing = Mapping[Path, Sequence[str]]
"""By image, with links followed: the nodes, templates and machines that stand on it."""


async def listed_images(runtime: Runtime) -> list[NamedImage]:
    """Every image in `image_dir`, sorted by name."""
    standing, names = await look_for_uses(runtime, strict=False), await _names(runtime)
    return await asyncio.to_thread(lambda: [seen_image(_path(runtime, name), name, standing) for name in names])


async def examine_image(runtime: Runtime, name: str) -> ImageDetails:
    """One image, all of which is read. Raises `ImageNotFound`."""
    require_known(name, await _names(runtime))
    standing, path = await look_for_uses(runtime, strict=False), _path(runtime, name)

    def read() -> ImageDetails:
        with reporting_os_errors(path):
            digest = digest_of_image(runtime.settings, path)
            return ImageDetails(**dict(seen_image(path, name, standing)), digest=digest, trouble=why_unfit(path) or "")

    return await asyncio.to_thread(read)


async def remove_images(runtime: Runtime, names: Sequence[str]) -> RemovedImages:
    """Remove images with the files beside them, or none of them.

    Raises `ImageNotFound`, `Conflict` naming all that stands on them, or `LibvirtUnavailable` if that is not known.
    """
    known = await _names(runtime)
    for name in names:
        require_known(name, known)

    def remove() -> int:
        files = [file for name in names for file in _files_of(_path(runtime, name))]
        freed = sum(map(allocated_bytes, files))
        for file in files:
            with reporting_os_errors(file):
                file.unlink(missing_ok=True)
        return freed

    async with kept_unused(runtime, [_path(runtime, name) for name in names]):
        return RemovedImages(names=tuple(names), freed_bytes=await asyncio.to_thread(remove))


@asynccontextmanager
async def kept_unused(
    runtime: Runtime, paths: Collection[Path], *, libvirt_may_be_away: bool = False
) -> AsyncIterator[None]:
    """Have nothing stand on these images, so that they can be removed or replaced; nothing stands on what is not there.

    Rounds make disks, and they need the lease of the host, which is held here. Raises `Conflict` naming all that stands
    on the images, `HostOccupied` if a round does not end, and as `look_for_uses` does if it is strict.
    """
    if not await asyncio.to_thread(lambda: any(map(os.path.lexists, paths))):
        yield
        return
    async with runtime.host_lease("images").turn(_HOST_WAIT_S):
        uses = await look_for_uses(runtime, strict=True, libvirt_may_be_away=libvirt_may_be_away)
        require_unused(paths, uses)
        yield


async def look_for_uses(runtime: Runtime, *, strict: bool, libvirt_may_be_away: bool = False) -> Standing:
    """All that stands on images of this host: nodes, also of clusters without a record, templates, others' machines.

    If it is `strict`, raises a `ClusterError` about a cluster that cannot be read, and `LibvirtUnavailable` unless
    libvirt may be away. Otherwise that cluster is left out, and machines that are not vmcluster's.
    """
    of_machines = await _uses_of_machines(runtime, strict=strict and not libvirt_may_be_away)
    uses = [*await recorded_uses(runtime.store, strict=strict), *of_machines]
    recorded = await runtime.store.names()

    def rest() -> Iterable[FileUse]:
        yield from unrecorded_uses(runtime.settings.overlay_dir, recorded)
        for template in runtime.templates.cache.listed():
            yield FileUse(template.image, f"template {template.key}", None, "", written=False)

    return await asyncio.to_thread(lambda: _by_image([*uses, *rest()]))


def require_unused(paths: Iterable[Path], standing: Standing) -> None:
    """Raise `Conflict` naming all that stands on these images."""
    used = [(path, standing[path.resolve()]) for path in paths if path.resolve() in standing]
    if used:
        told = "; ".join(f"{', '.join(whose)} {_stands(whose)} on {path}" for path, whose in used)
        hint = "destroy them first, with their disks; templates are removed by `vmcluster template rm`"
        raise Conflict(told, hint=hint)


def require_known(name: str, known: Sequence[str]) -> None:
    """Raise `ImageNotFound` unless there is an image of that name."""
    if name in known:
        return
    if name in CATALOGUE:
        raise ImageNotFound(f"the image {name} is not on this host", hint=f'`image_pull(image="{name}")` gets it')
    near = nearest_name(name, known)
    raise ImageNotFound(
        f"no image is named {name!r} (there are: {', '.join(known) or 'none'})",
        hint=f"did you mean {near}?" if near else None,
    )


def seen_image(path: Path, name: str, standing: Standing) -> NamedImage:
    """What can be seen of an image without reading all of it. Blocking."""
    found, disk_bytes = format_and_size(path)
    return NamedImage(
        name=name,
        path=path,
        format=found,
        size_bytes=path.stat().st_size,
        disk_bytes=disk_bytes,
        origin=origin_of(path),
        used_by=tuple(standing.get(path.resolve(), ())),
    )


async def _uses_of_machines(runtime: Runtime, *, strict: bool) -> Sequence[FileUse]:
    try:
        return await runtime.libvirt.file_uses()
    except LibvirtUnavailable as error:
        if strict:
            raise
        log.info("host_not_looked_at", cause=str(error))
        return ()


def _by_image(uses: Iterable[FileUse]) -> Standing:
    standing: dict[Path, list[str]] = {}
    for use in uses:
        whose = standing.setdefault(use.path.resolve(), [])
        if use.whose not in whose:
            whose.append(use.whose)
    return standing


def _stands(whose: Sequence[str]) -> str:
    return "stands" if len(whose) == 1 else "stand"


def _files_of(disk: Path) -> list[Path]:
    """The files of an image that vmcluster has made; the image alone if it has not."""
    files = ImageFiles.beside(disk)
    if read_description(files) is not None:
        return [*files.parts().values(), files.description]
    return [disk, files.description] if pull_description(disk) is not None else [disk]


async def _names(runtime: Runtime) -> list[str]:
    return await asyncio.to_thread(names_in, runtime.settings.image_dir)


def _path(runtime: Runtime, name: str) -> Path:
    return image_path(runtime.settings.image_dir, name)
