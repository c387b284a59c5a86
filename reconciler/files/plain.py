"""Regular files, opened without waiting: a named pipe in a file's place may have nobody at its other end."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_plain(path: Path) -> BinaryIO:
    """A regular file, open for reading. Raises `OSError` for anything else, `ValueError` for what cannot be a path."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_plain_file(path: Path) -> bytes:
    """The contents of a regular file. Raises as `open_plain` does."""
    with open_plain(path) as file:
        return file.read()
