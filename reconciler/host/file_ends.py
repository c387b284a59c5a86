"""Reads the first and last bytes of a file, without opening anything that is not a regular file."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.host.magic import ENDING_BYTES

_FIRST_READ_BYTES = 4096
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a link",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}


class NoFile(Exception):
    """Not a regular file; the text is its kind."""

    def __init__(self, mode: int) -> None:
        super().__init__(_KINDS.get(stat.S_IFMT(mode), "a special file"))
        self.is_block_device = stat.S_ISBLK(mode)


@dataclass(frozen=True, slots=True)
class Ends:
    """The beginning and end of a file, and its length."""

    head: bytes
    ending: bytes
    size_bytes: int


@contextmanager
def open_file(path: Path | str, *, follow: bool = True) -> Iterator[int]:
    """A regular file, open for reading; the opened file is checked, whatever has its name a moment later.

    Without `follow`, a link is not accepted.
    Raises `OSError`, and `NoFile` for anything else: opening a FIFO or a device may block, or have an effect.
    """
    flags = os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    place = os.open(path, flags)  # does not open a device or FIFO itself (open(2))
    try:
        _require_file(os.fstat(place))
        file = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(place)
    try:
        yield file
    finally:
        os.close(file)


def read_ends(path: Path | str, span: Callable[[bytes], int]) -> Ends:
    """The first bytes of a regular file, as many as `span` requests after seeing the first of them, and the last.

    Raises as `open_file` does.
    """
    with open_file(path) as file:
        return ends_of(file, span)


def ends_of(file: int, span: Callable[[bytes], int]) -> Ends:
    """The same for an open file."""
    size_bytes = os.fstat(file).st_size
    head = os.pread(file, _FIRST_READ_BYTES, 0)
    wanted = span(head)
    head = os.pread(file, wanted, 0) if wanted > len(head) else head
    ending = os.pread(file, ENDING_BYTES, max(0, size_bytes - ENDING_BYTES))
    return Ends(head, ending, size_bytes)


def _require_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NoFile(status.st_mode)
