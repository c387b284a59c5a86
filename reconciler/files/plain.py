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


def read_plain_file(path: Path, *, limit_bytes: int | None = None) -> bytes:
    """The contents of a regular file. Raises as `open_plain` does, and `OSError` for one above the limit."""
    with open_plain(path) as file:
        if limit_bytes is not None and os.fstat(file.fileno()).st_size > limit_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return file.read()
