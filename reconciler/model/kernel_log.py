"""What the tools answer about a node's kernel log and console."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from reconciler.model.base import Frozen
from reconciler.model.omission import Abridgeable

FilterLevel = Literal["all", "warn+", "err+"]
Level = Literal["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"]
Classified = Literal["oops", "panic", "warn", "kasan", "ubsan", "normal"]


class LogSource(StrEnum):
    """Where lines were read: the kernel's own buffer, the console's file on the host, or first this, then that."""

    KMSG = "kmsg"
    CONSOLE = "console"
    CONSOLE_THEN_KMSG = "console+kmsg"


class MarkerState(StrEnum):
    """Whether the marker that was asked for is there, and if not, why.

    `reverted`: the node went on from a snapshot's memory since, in which the marker is not.
    """

    NOT_ASKED = "not_asked"
    FOUND = "found"
    OVERWRITTEN = "overwritten"
    NEW_BOOT = "new_boot"
    REVERTED = "reverted"
    NOT_FOUND = "not_found"


class DmesgLine(Frozen):
    """One line of a kernel's log. What the source does not say is null: a console shows no levels."""

    timestamp: float | None = Field(description="Seconds since the node's boot.")
    level: Level | None
    facility: str | None = Field(description="`kern`: the kernel itself; all others are programs.")
    text: str
    classified_as: Classified | None = Field(description="Null: not a line of the kernel's.")
    sequence: int | None = Field(default=None, description="The record's number since the boot.")


class KernelEvent(Abridgeable):
    """Something bad that a kernel said, with its trace, whatever `filter_level` leaves out of `lines`."""

    kind: str = Field(
        description="panic, null_pointer, oops, bug_on, warn, kasan, kfence, kmsan, ubsan, kcsan, lockdep, hung_task, "
        "soft_lockup, hard_lockup, rcu_stall, slab (SLUB and SLAB debugging), memory_leak (kmemleak), reference_leak "
        "(a device or file system that cannot go away) or bug."
    )
    classified_as: Classified
    summary: str = Field(description="The line that announces it.")
    timestamp: float | None
    sequence: int | None = None
    lines: tuple[str, ...]


class DmesgResult(Abridgeable):
    """A node's kernel log; counts are of everything since the marker, before `filter_level`.

    An event counts once: as a warning what the kernel goes on after (WARN, UBSAN, lockdep, KCSAN, memory leaks), else
    as an error.
    """

    lines: tuple[DmesgLine, ...]
    oops_detected: bool
    panic_detected: bool
    warning_count: int
    error_count: int
    events: tuple[KernelEvent, ...] = ()
    source: LogSource = LogSource.KMSG
    boot_id: str | None = Field(default=None, description="Of the boot that was read; null from a console.")
    marker: MarkerState = MarkerState.NOT_ASKED
    message: str | None = Field(default=None, description="What is missing from this log, and why.")
    omitted_lines: int = Field(default=0, description="Lines and lines of events left out of a very long answer.")


class ConsoleResult(Abridgeable):
    """The end of a node's serial console, as its log on the host has it, control characters made harmless."""

    node_name: str
    lines: tuple[str, ...]
    marker: MarkerState = MarkerState.NOT_ASKED
    message: str | None = None
    written_at: datetime | None = Field(default=None, description="When the node last wrote to it.")
    omitted_lines: int = 0
