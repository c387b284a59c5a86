"""QEMU's own words in a domain's log, where libvirt writes the command line at each start. Pure.

libvirt's own lines begin `2026-11-29 02:06:35.544+0000: `, those of QEMU's error_report `2026-11-29T02:06:09.135256Z `
(`-msg timestamp=on`). What QEMU prints about KVM (accel/kvm/kvm-all.c, target/i386/kvm/kvm.c) has no time, nor have the
registers after it. Seen with libvirt 9.0 and QEMU 7.2.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

WORDS_LIMIT = 400
_LINES = 4

_START = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+0000: starting up libvirt version", re.MULTILINE)
_LIBVIRT = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+0000): (.*)$")
_QEMU = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z) (?:\S*qemu-\S+: )?(.*)$")
_REGISTERS = re.compile(r"^(?:[A-Z][A-Z0-9]{0,5} *=|Code=|extra data\[)")
_NO_COMPLAINT = re.compile(r"^char device redirected to |^warning: |^\S*qemu-\S+: warning: |^\s*$")
_STOPS = re.compile(r"^KVM\b|^error: kvm run failed|^emulation failure|Unrecoverable error detected")
"""What QEMU prints before it stops a machine for an internal error: accel/kvm, target/i386/kvm, hw/vfio."""

_TALKED_TO = "is tainted: custom-monitor"
_END = "shutting down, reason="


@dataclass(frozen=True, slots=True)
class QemuWords:
    """The last words of QEMU in one run of a machine; empty if it printed nothing.

    `at` is their time, if the log has it. `stops` says whether QEMU stops a machine with such words (it continues if
    the guest was in user space), `talked_to` whether QEMU's monitor was used directly.
    """

    text: str = ""
    at: datetime | None = None
    stops: bool = False
    talked_to: bool = False


def parse_last_run(log: bytes, written_at: datetime) -> QemuWords:
    """The words of the last run from the end of a log last written at `written_at`; bounded, on one line."""
    text = log.decode("utf-8", "backslashreplace")
    starts = [found.start() for found in _START.finditer(text)]
    lines = list(_after_command(text[starts[-1] if starts else 0 :].splitlines()))
    said: list[str] = []
    at: datetime | None = None
    for line in lines:
        if (complaint := _complaint(line)) is not None:
            stamped = _QEMU.match(line)
            at = (stamped and _moment(stamped[1])) or written_at
            said.append(complaint)
        elif own := _LIBVIRT.match(line):
            ended = own[2].startswith(_END)
            at = _moment(own[1]) if ended else None if at == written_at else at
    talked_to = any(_LIBVIRT.match(line) and _TALKED_TO in line for line in lines)
    return QemuWords(_bounded(said), at, any(map(_STOPS.search, said)), talked_to)


def _moment(text: str) -> datetime | None:
    """None for what only looks like a time: a guest may choose some of QEMU's words."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _after_command(lines: list[str]) -> Iterator[str]:
    """The lines after the command line, each line of which except the last ends with a backslash."""
    went_on = [number for number, line in enumerate(lines) if line.endswith("\\")]
    yield from lines[went_on[-1] + 2 if went_on else 0 :]


def _complaint(line: str) -> str | None:
    said = stamped[2] if (stamped := _QEMU.match(line)) else line
    ignored = _LIBVIRT.match(line) or _REGISTERS.match(said) or _NO_COMPLAINT.match(said)
    return None if ignored else said.strip()


def _bounded(said: list[str]) -> str:
    text = "; ".join(dict.fromkeys(said[-_LINES:]))
    escaped = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return escaped if len(escaped) <= WORDS_LIMIT else f"{escaped[: WORDS_LIMIT - 1]}…"
