"""One line of a kernel's log, from any source, with nothing in it that affects a terminal."""

import re
from typing import NamedTuple

from reconciler.model.kernel_log import Level

LEVELS: tuple[Level, ...] = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
"""Numbered as in linux/kern_levels.h."""
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

_TERMINAL = re.compile(
    r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b\n]{0,256}(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78cDEHMNOZ])"
)
_CONTROL = (*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0))
_SHOWN = {code: f"\\x{code:02x}" for code in _CONTROL}
_CONTROL_BYTES = bytes([*range(0x09), *range(0x0B, 0x20), 0x7F])
_BLURRED = bytes.maketrans(_CONTROL_BYTES, b"?" * len(_CONTROL_BYTES))
_SHOWN_LIMIT = 1024
"""Control characters of one line that are examined individually; if there are more, all become `?`."""
_RAW_LIMIT = 4 * TEXT_LIMIT
"""Bytes that are examined for a text of `TEXT_LIMIT`: no UTF-8 character has more than four."""


class LogLine(NamedTuple):
    """A line of text; what its source does not say is None. A tuple, because there are hundreds of thousands of them.

    `timestamp_us` counts from the boot. `level` is an index into `LEVELS`. `kernel` says whether the kernel itself may
    have printed it: what programs write to the kernel's log or to the console is not evidence. `caller` is the task or
    CPU that printed it, as `T12` or `C1` (CONFIG_PRINTK_CALLER). `inline` says that it followed other text on the same
    line.
    """

    text: str
    timestamp_us: int | None = None
    level: int | None = None
    facility: str | None = None
    sequence: int | None = None
    kernel: bool = True
    caller: str | None = None
    inline: bool = False


def logged(
    text: str,
    priority: int | bytes | str | None,
    timestamp_us: int | None = None,
    sequence: int | None = None,
    caller: str | None = None,
    *,
    inline: bool = False,
) -> LogLine:
    """A line with a priority packed as by syslog(3): facility times eight, plus level."""
    if priority is None:
        return LogLine(text, timestamp_us, None, None, sequence, True, caller, inline)
    facility, level = divmod(int(priority), 8)
    named = facility < len(_NAMED_FACILITIES)
    name = _NAMED_FACILITIES[facility] if named else f"facility{facility}"
    return LogLine(text, timestamp_us, level, name, sequence, facility == 0, caller, inline)


def readable(raw: bytes) -> str:
    """The text of a line's bytes, harmless and cut at the limit; bytes far beyond the limit are not examined."""
    if len(raw) <= _SHOWN_LIMIT and (text := raw.decode(errors="replace")).isprintable():
        return text
    kept = raw[:_RAW_LIMIT]
    if len(kept) > _SHOWN_LIMIT and len(kept) - len(kept.translate(None, _CONTROL_BYTES)) > _SHOWN_LIMIT:
        kept = kept.translate(_BLURRED)
    return harmless(kept.decode(errors="replace"), unseen=len(raw) - len(kept))


def harmless(text: str, unseen: int = 0) -> str:
    """The text without terminal sequences, with control characters except tabs as `\\x1b`, cut at the limit."""
    if text.isprintable() and len(text) <= TEXT_LIMIT and not unseen:
        return text
    if "\x1b" in text:
        text = _TERMINAL.sub("", text)
    kept = text[:TEXT_LIMIT].translate(_SHOWN)
    more = max(0, len(text) - TEXT_LIMIT) + unseen
    return f"{kept} […{more} more]" if more else kept
