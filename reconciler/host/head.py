"""The first and last bytes of a file, read without touching anything that is not one."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reconciler.host.magic import ENDING_BYTES

_FIRST_READ_BYTES = 4096
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}


class NoFile(Exception):
    """Something else than a regular file; the text is its kind."""

    def __init__(self, mode: int) -> None:
        super().__init__(_KINDS.get(stat.S_IFMT(mode), "a special file"))
        self.is_block_device = stat.S_ISBLK(mode)


@dataclass(frozen=True, slots=True)
class Ends:
    """How a file begins and ends, and how long it is."""

    head: bytes
    ending: bytes
    size_bytes: int


def read_ends(path: Path | str, span: Callable[[bytes], int]) -> Ends:
    """The first bytes of a regular file, as many as `span` asks for having seen the first of them, and the last.

    Raises `OSError`, and `NoFile` for anything else: to open a FIFO or a device may wait, or do something.
    """
    _require_file(os.stat(path))  # noqa: PTH116  a layer's name is text
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(file)
        _require_file(status)
        head = os.pread(file, _FIRST_READ_BYTES, 0)
        wanted = span(head)
        head = os.pread(file, wanted, 0) if wanted > len(head) else head
        ending = os.pread(file, ENDING_BYTES, max(0, status.st_size - ENDING_BYTES))
        return Ends(head, ending, status.st_size)
    finally:
        os.close(file)


def _require_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NoFile(status.st_mode)
