"""What a topology needs of the host: images, kernels, keys and disks, which are read and never changed."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from reconciler.desired.base_images import image_facts, is_missing, why_missing, why_no_base, why_no_extra_disk
from reconciler.desired.boot_files import why_not_booted
from reconciler.desired.found_files import FoundFiles
from reconciler.desired.places import find_kept, find_places, why_no_directory
from reconciler.desired.public_key import PublicKeyUnusable, read_public_key
from reconciler.desired.topology_values import LocatedDisk, LocatedValue, TopologyValues
from reconciler.error_codes import ErrorCode
from reconciler.files.ownership import OwnerMark, copied_mark, read_mark
from reconciler.host.disks.files_in_use import FilesInUse, mark_behind
from reconciler.host.disks.image_file import image_identity
from reconciler.host.disks.layers import is_shared
from reconciler.host.disks.partitions import may_boot_by_uefi
from reconciler.host.magic import RAW
from reconciler.image.published import waits_for_identity
from reconciler.model.file_use import FileUse
from reconciler.model.record import BYTES_PER_GB, ImageFile
from reconciler.model.topology import DiskFormat
from reconciler.settings import Settings
from reconciler.source.problems import Finding, Location

_NO_HOSTS: Mapping[str, frozenset[Path]] = {}


def find_host_files(
    values: TopologyValues,
    settings: Settings,
    uses: Iterable[FileUse] = (),
    others: Mapping[str, frozenset[Path]] = _NO_HOSTS,
) -> FoundFiles:
    """Look at every file that the topology names, given its known uses.

    Blocking; reads headers, tables and marks only. `others` are the other hosts of the store, with their images.
    """
    host_files = FoundFiles()
    in_use = FilesInUse(uses)
    for image in values.images:
        where = sorted(host for host, images in others.items() if image.value in images)
        host_files.findings.extend(_look_at_image(image, host_files.images, in_use, settings.image_dir, where))
    host_files.findings.extend(_look_at_root_disks(values, host_files.images))
    host_files.findings.extend(_look_at_uefi_images(values, host_files.images))
    host_files.findings.extend(_look_at_clones(values, host_files.images))
    for file in values.boot_files:
        host_files.findings.extend(_look_at_boot_file(file, host_files.boot_files))
    for disk in values.disks:
        host_files.findings.extend(_look_at_disk(disk, values.cluster_name, host_files.disks, in_use))
    places = [*find_places(values), *find_kept(values, (settings.state_dir, settings.artifact_store_dir))]
    refused = {finding.location for finding in places}
    uses_of_others = [finding for finding in find_uses(values, in_use) if finding.location not in refused]
    host_files.findings.extend([*places, *uses_of_others])
    _look_at_key(values.key_path, settings, host_files)
    return host_files


def _look_at_root_disks(values: TopologyValues, images: dict[Path, ImageFile]) -> Iterator[Finding]:
    for disk in dict.fromkeys(values.root_disks):
        image = images.get(disk.image)
        if image is not None and image.size_bytes > disk.size_gb * BYTES_PER_GB:
            least = -(-image.size_bytes // BYTES_PER_GB)
            message = f"{disk.size_gb} is smaller than {disk.image}, and disks never shrink (use at least {least})"
            yield Finding(disk.location, message)


def _look_at_uefi_images(values: TopologyValues, images: dict[Path, ImageFile]) -> Iterator[Finding]:
    for located in values.uefi_images:
        if located.value in images and not may_boot_by_uefi(located.value):
            message = f"{located.value} has no EFI system partition, so UEFI finds nothing to boot"
            yield Finding(located.location, f"{message} (write `bios`, use another image, or a kernel under `boot`)")


def _look_at_clones(values: TopologyValues, images: dict[Path, ImageFile]) -> Iterator[Finding]:
    for node in values.clones:
        if node.obstacle:
            yield Finding(node.location, f"nodes {node.obstacle} cannot be cloned (write `boot` for them)")
        elif node.image in images and not images[node.image].waits:
            message = f"machines of {node.image} do not wait for an identity, so none can be cloned"
            yield Finding(node.location, f"{message} (write `boot`, or use an image of `image_build`)")


def _look_at_image(
    located: LocatedValue[Path],
    images: dict[Path, ImageFile],
    in_use: FilesInUse,
    image_dir: Path,
    elsewhere: Sequence[str],
) -> Iterator[Finding]:
    if located.value in images:
        return
    facts, trouble = image_facts(located.value, why_no_base, in_use.format_of(located.value))
    if facts is None and is_missing(located.value):
        trouble = why_missing(located.value, image_dir, elsewhere) or trouble
    if facts is None:
        yield Finding(located.location, trouble, ErrorCode.IMAGE_NOT_FOUND)
    else:
        images[located.value] = ImageFile(
            path=located.value,
            format=facts.format,
            size_bytes=facts.size_bytes,
            identity=image_identity(located.value),
            waits=waits_for_identity(located.value),
        )


def _look_at_boot_file(located: LocatedValue[Path], identities: dict[Path, str]) -> Iterator[Finding]:
    if trouble := why_not_booted(located.value, is_kernel=located.location[-1] == "kernel"):
        yield Finding(located.location, f"{located.value} {trouble}", ErrorCode.IMAGE_NOT_FOUND)
    else:
        identities[located.value] = image_identity(located.value)


def _look_at_key(located: LocatedValue[Path] | None, settings: Settings, host_files: FoundFiles) -> None:
    path = located.value if located else settings.ssh_key_path
    location: Location = located.location if located else ("ssh", "key_path")
    try:
        host_files.public_key = read_public_key(path)
    except PublicKeyUnusable as error:
        host_files.findings.append(Finding(location, str(error)))


def _look_at_disk(
    disk: LocatedDisk, cluster: str | None, disks: dict[Path, ImageFile], in_use: FilesInUse
) -> Iterator[Finding]:
    if disk.path is None:
        return
    location: Location = (*disk.location, "path")
    try:
        mark = read_mark(disk.path)
    except (FileNotFoundError, NotADirectoryError):
        if trouble := _why_not_there(disk, disk.path):
            yield Finding(location, trouble)
        return
    except OSError as error:
        yield Finding(location, f"{disk.path} cannot be read: {error.strerror} (let this user read it)")
        return
    if disk.existing:
        yield from _look_at_existing(disk, disk.path, mark_behind(disk.path), disks, in_use)
    elif not _was_put_back(disk.path, cluster, disk.node) and (
        trouble := _why_not_ours(disk.path, mark, cluster, disk)
    ):
        yield Finding(location, trouble)


def _was_put_back(path: Path, cluster: str | None, node: str | None) -> bool:
    """Whether it is a copy of the node's own disk in its place, as from a backup: the plan says how it is used."""
    mark = copied_mark(path)
    if mark is None or mark.file is None:
        return False
    return (mark.cluster, mark.node, mark.file.name) == (cluster, node, path.name)


def _why_not_there(disk: LocatedDisk, path: Path) -> str | None:
    if disk.existing:
        return f"{path} does not exist (correct the path, or remove `existing: true` to have it created)"
    if not os.path.lexists(path.parent):
        return f"the directory {path.parent} does not exist (create it: `mkdir -p {path.parent}`)"
    return why_no_directory(path.parent)


def _why_not_ours(path: Path, mark: OwnerMark | None, cluster: str | None, disk: LocatedDisk) -> str | None:
    if path.is_dir():
        return f"{path} is a directory (use a file in it)"
    if mark is None:
        return f"{path} exists and was not created by vmcluster (write `existing: true` to use it, or another path)"
    if cluster is not None and mark.cluster != cluster:
        return f"{path} belongs to cluster {mark.cluster} (use another path)"
    if disk.shared != is_shared(mark):
        return f"{path} was created for {'one node' if disk.shared else 'several nodes'} to write to (use another path)"
    if disk.node is not None and mark.node != disk.node and not disk.shared:
        return f"{path} belongs to node {mark.node} of this cluster (use another path)"
    return None


def _look_at_existing(
    disk: LocatedDisk, path: Path, mark: OwnerMark | None, disks: dict[Path, ImageFile], in_use: FilesInUse
) -> Iterator[Finding]:
    if mark is not None:
        message = f"{path} was created for cluster {mark.cluster}, so it is not yours (remove `existing: true`)"
        yield Finding((*disk.location, "existing"), message)
        return
    used_as = in_use.format_of(path)
    if used_as == RAW and disk.format is DiskFormat.QCOW2:
        message = f"{path} was a raw disk, so guests may have written that header (write `raw`, or use a copy)"
        yield Finding((*disk.location, "format"), message)
        return
    facts, trouble = image_facts(path, why_no_extra_disk, disk.format or used_as)
    if facts is None:
        yield Finding((*disk.location, "path"), trouble)
        return
    if disk.shared and facts.format != RAW:
        convert = f"convert it: `qemu-img convert -O raw {path} NEW.raw`"
        yield Finding(
            (*disk.location, "path"), f"{path} is {facts.format}, but nodes can share raw disks only ({convert})"
        )
        return
    disks[path] = ImageFile(path=path, format=facts.format, size_bytes=facts.size_bytes)
    if disk.size_gb is not None and disk.size_gb * BYTES_PER_GB != facts.size_bytes:
        size = f"{facts.size_bytes / BYTES_PER_GB:.3g} GiB"
        yield Finding((*disk.location, "size_gb"), f"the existing disk {path} has {size} (remove size_gb)")


def find_uses(values: TopologyValues, in_use: FilesInUse) -> Iterator[Finding]:
    """Disks that others write to or stand on, and images that are somebody's disk."""
    for disk in values.disks:
        why = disk.path and in_use.why_not_written(disk.path, values.cluster_name, shared=disk.shared)
        if why:
            location: Location = (*disk.location, "path")
            yield Finding(location, f"{disk.path} {why}", ErrorCode.CONFLICT)
    for image in dict.fromkeys(values.images):
        if writer := next((use for use in in_use.of(image.value) if use.written and _is_kept(use)), None):
            message = f"{image.value} is a disk of {writer.whose}, which writes to it (use a copy)"
            yield Finding(image.location, message, ErrorCode.CONFLICT)


def _is_kept(use: FileUse) -> bool:
    """A foreign machine that is off may be a template for disks; ours are written to once their nodes start."""
    return use.is_up or use.cluster is not None
