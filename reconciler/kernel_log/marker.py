"""Markers: a unique line, the same on every node, that divides a log into before and after."""

import re
from collections.abc import Sequence

from reconciler.errors import InvalidArgument
from reconciler.kernel_log.line import LogLine

PRIORITY = 1 * 8 + 3
"""Facility user, level err: a console set to `quiet` shows it too (console_loglevel.h, 4 with `quiet`)."""

_MARKER = re.compile(r"vmcluster-mark:(?P<s>[0-9]{10,11})\.(?P<us>[0-9]{6}):[0-9a-f]{16}")


def render_marker(now_us: int, token: str) -> str:
    """The marker of a moment (microseconds since 1970 by the host's clock); `token` is 16 hexadecimal digits."""
    return f"vmcluster-mark:{now_us // 1_000_000}.{now_us % 1_000_000:06d}:{token}"


def marked_at_s(marker: str) -> float:
    """When a marker was made, by the host's clock. Raises `InvalidArgument` if it is not one of our markers."""
    if (found := _MARKER.fullmatch(marker)) is None:
        raise InvalidArgument(f"{marker[:200]!r} is not a marker", hint="`dmesg_mark` returns one")
    return int(found["s"]) + int(found["us"]) / 1_000_000


def is_marker(line: LogLine) -> bool:
    """Whether a line is a marker, from any run."""
    return _MARKER.fullmatch(line.text) is not None


def after_marker(lines: Sequence[LogLine], marker: str) -> Sequence[LogLine] | None:
    """Everything after the marker, including lines with the same time stamp; None if it is not there."""
    for index in range(len(lines) - 1, -1, -1):
        if lines[index].text == marker:
            return lines[index + 1 :]
    return None
