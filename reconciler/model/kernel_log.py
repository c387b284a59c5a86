"""What the tools return about a node's kernel log and console."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from reconciler.model.abridging import Abridgeable
from reconciler.model.base import Frozen
from reconciler.model.message_text import MessageText
from reconciler.model.timestamps import Moment

FilterLevel = Literal["all", "warn+", "err+"]
Level = Literal["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"]
Classified = Literal["oops", "panic", "warn", "kasan", "ubsan", "normal"]


class LogSource(StrEnum):
    """Where the lines come from: the kernel's own buffer, the host's log of the console, or the log then the buffer."""

    KMSG = "kmsg"
    CONSOLE = "console"
    CONSOLE_THEN_KMSG = "console+kmsg"


class MarkerState(StrEnum):
    """Whether the requested marker was found, and if not, why.

    `reverted`: the node has since resumed from a snapshot's memory, which does not contain the marker.
    """

    NOT_ASKED = "not_asked"
    FOUND = "found"
    OVERWRITTEN = "overwritten"
    NEW_BOOT = "new_boot"
    REVERTED = "reverted"
    NOT_FOUND = "not_found"


class DmesgLine(Frozen):
    """One line of a kernel log. What the source does not say is null: a console shows no levels."""

    timestamp: float | None = Field(description="Seconds since the node's boot.")
    level: Level | None = Field(description="Null if the source does not say.")
    facility: str | None = Field(description="`kern` for the kernel itself; anything else is a program.")
    text: str = Field(description="Without timestamp and level.")
    classified_as: Classified | None = Field(description="Null if the line is not from the kernel.")
    sequence: int | None = Field(default=None, description="The record's sequence number in this boot.")


class KernelEvent(Abridgeable):
    """A problem that a kernel reported, with its trace, even where `filter_level` removes its lines from `lines`."""

    kind: str = Field(
        description="panic, null_pointer, oops, bug_on, warn, kasan, kfence, kmsan, ubsan, kcsan, lockdep, hung_task, "
        "soft_lockup, hard_lockup, rcu_stall, slab (SLUB and SLAB debugging), memory_leak (kmemleak), reference_leak "
        "(a device or file system that cannot be released) or bug."
    )
    classified_as: Classified = Field(description="The class of its first line.")
    summary: str = Field(description="The line that announces it.")
    timestamp: float | None = Field(description="Seconds since the node's boot; null if the source does not say.")
    sequence: int | None = Field(
        default=None, description="Sequence number of its first record in this boot; null from a console."
    )
    place: str | None = Field(default=None, description="Where in the code, if the report says so.")
    lines: tuple[str, ...] = Field(description="The whole report, as text.")


class DmesgResult(Abridgeable):
    """A node's kernel log; counts cover everything since the marker, before `filter_level`.

    Each event counts once: as a warning if the kernel continues after it (WARN, UBSAN, lockdep, KCSAN, memory leaks),
    otherwise as an error.
    """

    lines: tuple[DmesgLine, ...] = Field(description="Since the marker, of the requested level.")
    oops_detected: bool = Field(description="The kernel hit an error that it may have survived.")
    panic_detected: bool = Field(description="The kernel died.")
    warning_count: int = Field(description="Warnings, and events that the kernel continues after.")
    error_count: int = Field(description="Errors and all other events.")
    events: tuple[KernelEvent, ...] = Field(default=(), description="Problems that were reported, oldest first.")
    source: LogSource = Field(default=LogSource.KMSG, description="Where the lines come from.")
    boot_id: str | None = Field(default=None, description="The boot that was read; null from a console.")
    marker: MarkerState = Field(default=MarkerState.NOT_ASKED, description="Whether the requested marker was found.")
    message: MessageText | None = Field(default=None, description="What is missing from this log, and why.")
    omitted_lines: int = Field(default=0, description="Lines, those of events too, omitted from a very long answer.")


class ConsoleResult(Abridgeable):
    """The end of a node's serial console, as logged on the host, with control characters neutralised."""

    node_name: str = Field(description="Name of the node.")
    lines: tuple[str, ...] = Field(description="Oldest first.")
    marker: MarkerState = Field(default=MarkerState.NOT_ASKED, description="Whether the requested marker was found.")
    message: MessageText | None = Field(default=None, description="What is missing, and why; null if nothing is.")
    written_at: Moment | None = Field(default=None, description="When the node last wrote to it.")
    omitted_lines: int = Field(default=0, description="Lines omitted from a very long answer.")
