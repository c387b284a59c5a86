"""A machine's saved memory on disk: we prepare and mark the file, libvirt writes it, and we rename it when complete.

libvirt opens an existing file without changing its owner, mode or attributes, and deletes it if the snapshot fails
(seen with 9.0.0). It writes a different magic into the header once everything else is written, so an incomplete file is
recognised (libvirt, `src/qemu/qemu_saveimage.h`).
"""

import os
from pathlib import Path

from reconciler.errors import OperationFailed
from reconciler.files.atomic import fsync_path
from reconciler.files.marked_files import create_file
from reconciler.files.ownership import (
    OwnedKind,
    OwnerMark,
    delete_owned,
    is_owned,
    not_ours,
    read_mark,
    require_owned,
    write_mark,
)
from reconciler.files.plain import open_plain
from reconciler.model.origin import Origin

MEMORY_MODE = 0o600
"""Memory contains every secret of the guest; libvirt opens the file as root and passes the descriptor on."""

_SIZE_BYTES = "size_bytes"
_COMPLETE = b"LibvirtQemudSave"


def partial_path(path: Path) -> Path:
    """The path of the memory until it is published; no name that we observe ends like this."""
    return path.with_name(f"{path.name}.partial")


def prepare_memory(path: Path, *, cluster: str, node: str, origin: Origin | None = None) -> Path:
    """Create our empty file for libvirt to write, replacing an unfinished one; returns its path.

    Raises `Conflict` if `path` exists.
    """
    if path.exists():
        raise not_ours(path, cluster) if not is_owned(path, cluster) else _published_already(path, node)
    partial = partial_path(path)
    delete_owned(partial, cluster)
    mark = OwnerMark(cluster=cluster, node=node, kind=OwnedKind.MEMORY, origin=origin)
    create_file(partial, b"", mark, mode=MEMORY_MODE)
    return partial


def publish_memory(path: Path, *, cluster: str) -> None:
    """Flush a complete memory to disk and give it its name; succeeds if that was done already.

    Takes as long as the disk needs to store it, so it is best done after the machine has resumed. Blocking. Raises
    `OperationFailed` if there is no complete memory.
    """
    partial = partial_path(path)
    if not partial.exists() and is_complete(path):
        return
    if not is_complete(partial):
        raise OperationFailed(f"the memory in {partial} was not written completely", hint="take the snapshot again")
    mark = require_owned(partial, cluster)
    try:
        facts = {**mark.facts, _SIZE_BYTES: str(partial.stat().st_size)}
        write_mark(partial, mark.model_copy(update={"facts": facts}), name=path)
        fsync_path(partial)
        partial.rename(path)
        fsync_path(path.parent)
    except OSError as error:
        raise OperationFailed(f"cannot store {path}: {error.strerror}", hint="see the host's kernel log") from error


def memory_was_taken(path: Path) -> bool:
    """Whether libvirt has written that memory completely, published or not."""
    return is_complete(path) or is_complete(partial_path(path))


def is_complete(path: Path) -> bool:
    """Whether there is a file that libvirt has finished and that, once published, was not truncated."""
    try:
        with open_plain(path) as file:
            finished = file.read(len(_COMPLETE)) == _COMPLETE
            size_bytes = os.fstat(file.fileno()).st_size
        mark = read_mark(path)
        published = mark.facts.get(_SIZE_BYTES) if mark is not None else None
        return finished and published in {None, str(size_bytes)}
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OperationFailed(f"cannot read {path}: {error.strerror}", hint="run as the user who created it") from error


def _published_already(path: Path, node: str) -> OperationFailed:
    return OperationFailed(f"{path} already contains saved memory", node=node, hint="delete it first")
