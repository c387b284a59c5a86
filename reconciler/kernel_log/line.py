"""One line of a kernel's log, wherever it was read, with nothing in it that could harm a terminal."""

import re
from dataclasses import dataclass

from reconciler.model.kernel_log import Level

LEVELS: tuple[Level, ...] = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
"""As linux/kern_levels.h numbers them."""
ERR = LEVELS.index("err")
WARNING = LEVELS.index("warning")

_NAMED_FACILITIES = (
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
)

TEXT_LIMIT = 8192
"""Characters of a line that are kept; a record of the kernel is shorter (printk.c, PRINTK_MESSAGE_MAX is 2048)."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TERMINAL = re.compile(
    r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b\n]{0,256}(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78cDEHMNOZ])"
)


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of text; what its source did not say is None.

    `timestamp_us` counts from the boot. `level` indexes `LEVELS`. `kernel` says whether the kernel itself may have
    said it: what programs write to the kernel's log or to the console means nothing.
    """

    text: str
    timestamp_us: int | None = None
    level: int | None = None
    facility: str | None = None
    sequence: int | None = None
    kernel: bool = True


def logged(text: str, priority: int | None, timestamp_us: int | None = None, sequence: int | None = None) -> LogLine:
    """A line with a priority as syslog(3) packs it: facility times eight, and level."""
    if priority is None:
        return LogLine(text, timestamp_us, sequence=sequence)
    facility, level = divmod(priority, 8)
    named = facility < len(_NAMED_FACILITIES)
    name = _NAMED_FACILITIES[facility] if named else f"facility{facility}"
    return LogLine(text, timestamp_us, level, name, sequence, kernel=facility == 0)


def harmless(text: str) -> str:
    """The text without terminal sequences, other control characters but tabs shown as `\\x1b`, and cut at the limit."""
    if "\x1b" in text:
        text = _TERMINAL.sub("", text)
    kept = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text[:TEXT_LIMIT])
    return kept if len(text) <= TEXT_LIMIT else f"{kept} […{len(text) - TEXT_LIMIT} more]"
