"""Whether a user may open a file by its path. An access control list is taken to admit: its author knows that."""

import os
import stat
from pathlib import Path

from reconciler.model.account import Account

_ACCESS_LIST = "system.posix_acl_access"
_READ, _ENTER = stat.S_IROTH, stat.S_IXOTH


def closed_directory(account: Account, directory: Path) -> Path | None:
    """The first directory on the way to this one, or itself, that the account cannot enter.

    Links are followed; a directory that does not exist yet is taken to be created open.
    """
    real = directory.resolve()
    there = (path for path in (*reversed(real.parents), real) if path.exists())
    return next((path for path in there if not _grants(account, path, _ENTER)), None)


def may_read(account: Account, file: Path) -> bool:
    """Whether the account may read a file that it reaches."""
    return _grants(account, file, _READ)


def _grants(account: Account, path: Path, wanted: int) -> bool:
    found = path.stat()
    if account.uid == 0 or _ACCESS_LIST in os.listxattr(path):
        return True
    if account.uid == found.st_uid:
        return bool(found.st_mode >> 6 & wanted)
    return bool((found.st_mode >> 3 if found.st_gid in account.gids else found.st_mode) & wanted)
