"""The format of a disk that guests write to: fixed when it is first used, and never again told by its content.

A guest that has a raw disk writes what it likes at its beginning, also the header of a qcow2 image that names files
of the host. So what a disk was first used as is noted on its file, where it outlives records and definitions, and
goes along with every name of the file. Where a file system keeps no such notes, records and definitions have it.
"""

import errno
import os
from pathlib import Path

from reconciler.host.magic import QCOW2, RAW

_ATTRIBUTE = "user.vmcluster.format"
_NO_NOTE = (errno.ENODATA, errno.ENOTSUP)
_CANNOT_BE_NOTED = (errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


def noted_format(file: int | Path) -> str | None:
    """What a file was first used as; None where nothing is noted. Raises `OSError`."""
    try:
        noted = os.getxattr(file, _ATTRIBUTE)
    except OSError as error:
        if error.errno in _NO_NOTE:
            return None
        raise
    return QCOW2 if noted == QCOW2.encode() else RAW  # whatever else stands there, nothing is read into the content


def note_format(file: Path, used_as: str) -> None:
    """Note what a file is used as. Once raw it stays raw: who had it may have written any header. Raises `OSError`."""
    if noted_format(file) not in {RAW, used_as}:
        try:
            os.setxattr(file, _ATTRIBUTE, used_as.encode())
        except OSError as error:
            if error.errno not in _CANNOT_BE_NOTED:
                raise
