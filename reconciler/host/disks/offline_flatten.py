"""Flattens a layer while its machine is off: copies what the layers between it and a base hold into it.

`qemu-img rebase` copies that into the layer and changes the header last, so it loses nothing if it is killed.
But it works in place: a full disk or a power failure could leave a layer that is larger, leaks clusters or has a torn
header, and it is the only copy of what the guest has written. So a copy is rebased, synced and renamed over the
layer: at every moment the name stands for a whole layer with the same contents.

(`qemu-img convert -B` cannot do this: it copies only the clusters of the topmost layer, and omits those of the layers
in between. Tried with QEMU 7.2.22: where only a layer in between was written, the result reads as the base does.)
"""

import asyncio
import errno
import os
from pathlib import Path

from reconciler import process
from reconciler.errors import OperationFailed
from reconciler.files.atomic import fsync_path
from reconciler.files.marked_files import create_file, second_name
from reconciler.files.ownership import OwnedKind, delete_owned, require_owned, write_mark
from reconciler.files.space import RESERVE_BYTES, allocated_bytes, free_bytes
from reconciler.host.disks.image_file import read_image_facts
from reconciler.host.disks.layers import LAYER_MODE
from reconciler.host.magic import QCOW2
from reconciler.model.document import BackingFile

_REBASE_TIMEOUT_S = 3600.0
_COPY_BYTES = 64 << 20


async def flatten_offline(path: Path, base: BackingFile | None, *, cluster: str) -> None:
    """Make the layer at `path` stand directly on `base` (None: on nothing), with the same contents.

    No machine may have it open. Repeating it is harmless; after a kill the layer is unchanged. Needs room for a second
    copy of the layer and for what it absorbs. Raises `Conflict` if it is not one of our layers, and `HostCommandFailed`
    with qemu-img's message.
    """
    if _stands_on(path, base):
        return
    copy = second_name(path)
    try:
        await asyncio.to_thread(_copy_layer, path, copy, cluster)
        await process.run(rebase_command(copy, base), timeout_s=_REBASE_TIMEOUT_S)
        await asyncio.to_thread(_put_in_place, copy, path, cluster)
    finally:
        await asyncio.to_thread(delete_owned, copy, cluster)


def require_flatten_space(path: Path, base: Path, *, copied: bool) -> None:
    """Raise `OperationFailed` if what the layer would absorb might not leave the reserve free.

    A running machine's layer only grows; that of one that is off is copied, too. Overlapping layers count in full.
    """
    needed = allocated_bytes(path) if copied else 0
    below = _file_below(path)
    while below is not None and below != base:
        needed += allocated_bytes(below)
        below = _file_below(below)
    free = free_bytes(path.parent)
    if free - needed < RESERVE_BYTES:
        raise OperationFailed(
            f"flattening {path} may take {needed >> 20} MiB, but {free >> 20} MiB are free, of which "
            f"{RESERVE_BYTES >> 20} MiB are kept as a reserve",
            hint="free some space on that file system; until then the chain stays long, which does no harm",
        )


def rebase_command(layer: Path, base: BackingFile | None) -> list[str]:
    """The command that makes a layer stand on another file, or on none, with the same contents."""
    below = ["-b", ""] if base is None else ["-b", str(base.path), "-F", base.format]
    return ["qemu-img", "rebase", "-q", "-f", QCOW2, *below, str(layer)]


def _file_below(path: Path) -> Path | None:
    backing = read_image_facts(path).backing
    return None if backing is None else path.parent / backing


def _stands_on(path: Path, base: BackingFile | None) -> bool:
    facts = read_image_facts(path)
    return facts.backing == (None if base is None else str(base.path))


def _copy_layer(path: Path, copy: Path, cluster: str) -> None:
    mark = require_owned(path, cluster, OwnedKind.LAYER)
    delete_owned(copy, cluster)
    create_file(copy, lambda file: _copy_data(path, file), mark, mode=LAYER_MODE)


def _copy_data(path: Path, target: int) -> None:
    """Copy a file without its holes; where the file system can, the data is shared (copy_file_range(2))."""
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(source).st_size
        os.ftruncate(target, size)
        start = _next_data(source, 0)
        while start is not None:
            end = os.lseek(source, start, os.SEEK_HOLE)
            _copy_range(source, target, start, end)
            start = _next_data(source, end)
    finally:
        os.close(source)


def _next_data(file: int, offset: int) -> int | None:
    try:
        return os.lseek(file, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # only a hole is left (lseek(2))
            return None
        raise


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        copied = os.copy_file_range(source, target, min(end - start, _COPY_BYTES), start, start)
        if copied == 0:
            raise OSError(errno.EIO, "the layer became shorter while it was copied")
        start += copied


def _put_in_place(copy: Path, path: Path, cluster: str) -> None:
    mark = require_owned(copy, cluster)
    try:
        write_mark(copy, mark, name=path)
        fsync_path(copy)
        copy.rename(path)
        fsync_path(path.parent)
    except OSError as error:
        raise OperationFailed(f"cannot replace {path}: {error.strerror}", hint="see the host's kernel log") from error
