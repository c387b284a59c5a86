"""Whether a QEMU writes to an image, whatever libvirt believes: read from the locks that it holds on the file.

A process that may write to an image holds a lock on its byte 101 (QEMU, `block/file-posix.c`: `RAW_LOCK_PERM_BASE` 100
and the bit of `BLK_PERM_WRITE`; open file description locks, fcntl(2)). A machine whose memory was saved or restored
holds none until its CPUs run: a lock proves that the image is in use, but no lock proves nothing.
"""

import fcntl
import os
import struct
from pathlib import Path

_WRITER_BYTE = 101
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid


def is_written_to(path: Path) -> bool:
    """Whether some process has that image open for writing; False if there is no such file."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _WRITER_BYTE, 1, 0)
        kind, *_ = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_OFD_GETLK, question))
    finally:
        os.close(file)
    return bool(kind != fcntl.F_UNLCK)
