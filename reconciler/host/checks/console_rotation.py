"""What keeps the logs of serial consoles short: virtlogd, or only the controller."""

import re
from pathlib import Path

from reconciler.model.examination import CheckResult, ok, warning

_CONFIGURATION = Path("/etc/libvirt")
_NAME = "console logs"
_DEFAULT_SIZE = 2 * 1024 * 1024
_DEFAULT_BACKUPS = 3


def check_consoles(limit_mb: int, configuration: Path = _CONFIGURATION) -> CheckResult:
    """Whether a guest that writes to its console without end is limited, by what, and to which size."""
    try:
        handler = _value(configuration / "qemu.conf", "stdio_handler") or "logd"
        size = _number(configuration / "virtlogd.conf", "max_size", _DEFAULT_SIZE)
        backups = _number(configuration / "virtlogd.conf", "max_backups", _DEFAULT_BACKUPS)
    except OSError as error:
        return warning(_NAME, f"{error.filename} cannot be read: {error.strerror}", "run as root")
    if handler == "logd" and size:
        kept = (backups + 1) * size / 1024 / 1024
        return ok(_NAME, f"virtlogd keeps the newest {kept:.4g} MiB of each node")
    cause = "max_size = 0 in virtlogd.conf" if handler == "logd" else f'stdio_handler = "{handler}" in qemu.conf'
    remedy = "remove that line and restart libvirt, or keep `vmcluster watch` running"
    return warning(_NAME, f"{cause}: they are only truncated in each round, to {limit_mb} MiB a node", remedy)


def _number(file: Path, key: str, default: int) -> int:
    value = _value(file, key)
    return int(value) if value and value.isdecimal() else default


def _value(file: Path, key: str) -> str | None:
    """The value of a key in a libvirt configuration file; None if file or key is missing. Raises `OSError`."""
    try:
        text = file.read_text(errors="replace")
    except FileNotFoundError:
        return None
    found = re.findall(rf"^[ \t]*{key}[ \t]*=[ \t]*[\"']?([\w]+)", text, re.MULTILINE)
    return found[-1] if found else None
