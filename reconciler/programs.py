"""Where the host's programs are, and the environment they are started with: the only place that finds them.

An ordinary user's PATH, and those of su, cron and agents, lack the directories of daemons and network tools. An empty
or relative entry in PATH means the caller's directory: nothing is ever looked up there, nor where other users could put
a program, as in the PATH of the user who called sudo(8).
"""

import os
import shutil
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from reconciler.errors import HostCapabilityMissing
from reconciler.files.exposure import exposure_of

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
    """The directories in which programs are looked up: those of PATH that can be trusted, then the system's."""
    return _trusted_path(os.environ.get("PATH", ""))


@lru_cache(maxsize=8)  # only those who are trusted now can change the answer
def _trusted_path(path: str) -> str:
    own = [entry for entry in path.split(os.pathsep) if _is_trusted(entry)]
    return os.pathsep.join(dict.fromkeys([*own, *_SYSTEM_DIRECTORIES]))


def _is_trusted(entry: str) -> bool:
    if not entry.startswith("/"):
        return False
    try:
        return entry in _SYSTEM_DIRECTORIES or exposure_of(Path(entry)) is None
    except OSError:
        return False


def find_program(name: str) -> str | None:
    """The absolute path of a program; None if it is not installed."""
    if "/" in name:
        return name if os.path.isabs(name) and shutil.which(name) else None  # noqa: PTH117
    return shutil.which(name, path=search_path())


def require_program(name: str) -> str:
    """The absolute path of a program. Raises `HostCapabilityMissing` if it is not installed."""
    if (found := find_program(name)) is None:
        raise HostCapabilityMissing(f"the program {name!r} is not installed", hint="`host_doctor` names the package")
    return found


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a program: only the user's identity and directories from ours, and `more`.

    Nothing in it makes the program load code, read other settings or behave differently than on a fresh login.
    """
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("LC_")}
    return {**kept, "PATH": search_path(), **(more or {})}


def proxies() -> dict[str, str]:
    """The proxy settings of our environment, for programs that download something."""
    return {name: value for name, value in os.environ.items() if name.lower() in _PROXIES}
