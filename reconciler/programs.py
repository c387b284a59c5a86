"""Where the host's programs are, and what they are started with: the one place that finds any of them.

An ordinary user's PATH, and those of su, cron and agents, lack the directories of daemons and network tools. A PATH
with empty or relative entries means the directory of whoever calls: nothing is ever found there.
"""

import os
import shutil
from collections.abc import Mapping

from reconciler.errors import HostCapabilityMissing

_SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_KEPT = frozenset(
    (
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TERM",
        "TMPDIR",
        "XDG_RUNTIME_DIR",
    )  # qemu:///session is there
)
_PROXIES = frozenset(("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"))


def search_path() -> str:
    """The directories that programs are looked for in: those of PATH from the root on, then the system's."""
    own = [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if entry.startswith("/")]
    return os.pathsep.join(dict.fromkeys([*own, *_SYSTEM_DIRECTORIES]))


def find_program(name: str) -> str | None:
    """The absolute path of a program; None where it is not installed."""
    if "/" in name:
        return name if os.path.isabs(name) and shutil.which(name) else None  # noqa: PTH117
    return shutil.which(name, path=search_path())


def require_program(name: str) -> str:
    """The absolute path of a program. Raises `HostCapabilityMissing` where it is not installed."""
    if (found := find_program(name)) is None:
        raise HostCapabilityMissing(
            f"the program {name!r} is not installed", hint="`vmcluster doctor` names the package"
        )
    return found


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a program is started with: of our environment only who and where we are, and `more`.

    Nothing in it makes the program load code, take other settings or go another way than on a fresh login.
    """
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("LC_")}
    return {**kept, "PATH": search_path(), **(more or {})}


def proxies() -> dict[str, str]:
    """The proxies of our environment, for programs that fetch something."""
    return {name: value for name, value in os.environ.items() if name.lower() in _PROXIES}
