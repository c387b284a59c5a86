"""How much memory a host has, from `/proc/meminfo` (proc(5))."""

import re
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)
_TOTALS = re.compile(r"^(Mem|Swap)Total:\s+(\d+) kB$", re.MULTILINE)


def observe_memory_mb() -> int | None:
    """RAM and swap together, in MiB; None if that cannot be read."""
    try:
        return parse_memory_mb(_MEMINFO.read_text())
    except OSError:
        return None


def parse_memory_mb(meminfo: str) -> int | None:
    """The same from the file's text; None if it does not say how much RAM there is."""
    totals = {kind: int(size_kb) for kind, size_kb in _TOTALS.findall(meminfo)}
    return sum(totals.values()) >> 10 if "Mem" in totals else None


def observe_available_memory_mb() -> int | None:
    """What programs could still use without swapping, in MiB; None if that cannot be read."""
    try:
        found = _AVAILABLE.search(_MEMINFO.read_text())
    except OSError:
        return None
    return int(found[1]) >> 10 if found else None
