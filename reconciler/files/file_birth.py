"""Identifies a file among all that ever had its name or its inode: statx(2), which Python does not offer.

The device is omitted on purpose: its number changes when a host boots or a file system is mounted elsewhere.
"""

import ctypes
import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

_AT_FDCWD, _AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = -100, 0x100, 0x1000
_STATX_INO, _STATX_BTIME = 0x100, 0x800
_SIZE_BYTES, _INODE_AT, _BIRTH_AT = 256, 32, 80  # struct statx, linux/stat.h


@dataclass(frozen=True, slots=True)
class Birth:
    """The inode of a file and when it was created; 0 if the file system does not record the time."""

    inode: int
    born_ns: int = 0


def birth_of(file: int | str | Path) -> Birth:
    """The birth of an open file, or of a path, whose last link is not followed. Raises `OSError`."""
    if isinstance(file, int):
        return _statx(file, b"", _AT_EMPTY_PATH)
    return _statx(_AT_FDCWD, os.fsencode(file), _AT_SYMLINK_NOFOLLOW)


def _statx(directory: int, path: bytes, flags: int) -> Birth:
    answer = ctypes.create_string_buffer(_SIZE_BYTES)
    if _LIBC.statx(directory, path, flags, _STATX_INO | _STATX_BTIME, answer) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), os.fsdecode(path) or None)
    (told,) = struct.unpack_from("=I", answer)
    (inode,) = struct.unpack_from("=Q", answer, _INODE_AT)
    seconds, nanoseconds = struct.unpack_from("=qI", answer, _BIRTH_AT)
    return Birth(inode, seconds * 10**9 + nanoseconds if told & _STATX_BTIME else 0)


_LIBC = ctypes.CDLL(None, use_errno=True)
if sys.platform == "linux":  # glibc 2.28, musl 1.1.24
    _LIBC.statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
