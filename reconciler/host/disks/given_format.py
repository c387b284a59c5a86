"""The format of a disk that guests write to: fixed at first use, and never detected from its contents again.

A guest with a raw disk can write anything at its beginning, also the header of a qcow2 image that names files on the
host. So the format at first use is recorded on the file itself, where it outlives records and definitions, and is
found under every name of the file. If a file system cannot record it, records and definitions have it.
"""

import errno
import os
from pathlib import Path

from reconciler.host.magic import QCOW2, RAW

_ATTRIBUTE = "user.vmcluster.format"
_NO_NOTE = (errno.ENODATA, errno.ENOTSUP)
_CANNOT_BE_NOTED = (errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


def noted_format(file: int | Path) -> str | None:
    """The recorded format of a file; None if none is recorded. Raises `OSError`."""
    try:
        noted = os.getxattr(file, _ATTRIBUTE)
    except OSError as error:
        if error.errno in _NO_NOTE:
            return None
        raise
    return QCOW2 if noted == QCOW2.encode() else RAW  # with any other value, the contents are never interpreted


def note_format(file: Path, used_as: str) -> None:
    """Record the format of a file. Once raw it stays raw: a guest may have written any header. Raises `OSError`."""
    if noted_format(file) not in {RAW, used_as}:
        try:
            os.setxattr(file, _ATTRIBUTE, used_as.encode())
        except OSError as error:
            if error.errno not in _CANNOT_BE_NOTED:
                raise
