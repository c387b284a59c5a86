"""What the tools answer about a node's kernel log and console."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from reconciler.model.base import Frozen
from reconciler.model.moments import Moment
from reconciler.model.omission import Abridgeable
from reconciler.model.prose import Prose

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
    level: Level | None = Field(description="Null where the source does not say.")
    facility: str | None = Field(description="`kern`: the kernel itself; all others are programs.")
    text: str = Field(description="Without stamp and level.")
    classified_as: Classified | None = Field(description="Null: not a line of the kernel's.")
    sequence: int | None = Field(default=None, description="The record's number since the boot.")


class KernelEvent(Abridgeable):
    """Something bad that a kernel said, with its trace, whatever `filter_level` leaves out of `lines`."""

    kind: str = Field(
        description="panic, null_pointer, oops, bug_on, warn, kasan, kfence, kmsan, ubsan, kcsan, lockdep, hung_task, "
        "soft_lockup, hard_lockup, rcu_stall, slab (SLUB and SLAB debugging), memory_leak (kmemleak), reference_leak "
        "(a device or file system that cannot go away) or bug."
    )
    classified_as: Classified = Field(description="The class of its first line.")
    summary: str = Field(description="The line that announces it.")
    timestamp: float | None = Field(description="Seconds since the node's boot; null where the source does not say.")
    sequence: int | None = Field(
        default=None, description="The first record's number since the boot; null from a console."
    )
    lines: tuple[str, ...] = Field(description="All of the report, as text.")


class DmesgResult(Abridgeable):
    """A node's kernel log; counts are of everything since the marker, before `filter_level`.

    An event counts once: as a warning what the kernel goes on after (WARN, UBSAN, lockdep, KCSAN, memory leaks), else
    as an error.
    """

    lines: tuple[DmesgLine, ...] = Field(description="Since the marker, of the level that was asked for.")
    oops_detected: bool = Field(description="The kernel met an error that it may have gone on after.")
    panic_detected: bool = Field(description="The kernel died.")
    warning_count: int = Field(description="Warnings and events that the kernel goes on after.")
    error_count: int = Field(description="Errors and all other events.")
    events: tuple[KernelEvent, ...] = Field(default=(), description="What was bad, the oldest first.")
    source: LogSource = Field(default=LogSource.KMSG, description="Where it was read.")
    boot_id: str | None = Field(default=None, description="Of the boot that was read; null from a console.")
    marker: MarkerState = Field(
        default=MarkerState.NOT_ASKED, description="Whether the marker that was asked for is there."
    )
    message: Prose | None = Field(default=None, description="What is missing from this log, and why.")
    omitted_lines: int = Field(default=0, description="Lines and lines of events left out of a very long answer.")


class ConsoleResult(Abridgeable):
    """The end of a node's serial console, as its log on the host has it, control characters made harmless."""

    node_name: str = Field(description="Name of the node.")
    lines: tuple[str, ...] = Field(description="The oldest first.")
    marker: MarkerState = Field(
        default=MarkerState.NOT_ASKED, description="Whether the marker that was asked for is there."
    )
    message: Prose | None = Field(default=None, description="What is missing, and why; null where nothing is.")
    written_at: Moment | None = Field(default=None, description="When the node last wrote to it.")
    omitted_lines: int = Field(default=0, description="How many were left out of a very long answer.")
