"""Reads a file that a person wrote: bounded, and without blocking."""

import os
import stat
from pathlib import Path

from reconciler.source.decoding import MAX_FILE_BYTES


class SourceUnreadable(Exception):
    """The file does not exist or cannot be read; the message is the reason in plain words."""


def read_source_file(path: Path) -> bytes:
    """The contents of a regular file, at most one byte more than the limit; raises `SourceUnreadable`."""
    try:
        with open(path, "rb", opener=_open_without_waiting) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise SourceUnreadable("not a regular file")
            return stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SourceUnreadable(getattr(error, "strerror", None) or str(error)) from error


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # opening a named pipe would wait for its writer
