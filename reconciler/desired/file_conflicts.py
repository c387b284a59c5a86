"""Which files of a topology are in use elsewhere: files below disks, and files that machines write to."""

from collections.abc import Iterator

from reconciler.desired.topology_values import TopologyValues
from reconciler.errors import ErrorCode
from reconciler.host.disks.files_in_use import FilesInUse
from reconciler.model.file_use import FileUse
from reconciler.source.problems import Finding, Location


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
