"""Which Debian release the other one is; pure."""

from collections.abc import Mapping

_OLDER, _NEWER = "bookworm", "trixie"


def is_newer(os_release: Mapping[str, str]) -> bool:
    """Whether that is not the older of the two."""
    return os_release.get("ID") != "debian" or os_release.get("VERSION_CODENAME") != _OLDER


def other_release(os_release: Mapping[str, str]) -> str:
    """The code name of the release to test on beside that of a host with this `os_release` (os-release(5))."""
    return _OLDER if is_newer(os_release) else _NEWER
