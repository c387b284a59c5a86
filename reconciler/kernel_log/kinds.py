"""What a line of the kernel announces: patterns that begin where the line begins, so that a quotation is none.

Texts as of Linux 5.10 to 6.17: kernel/panic.c, kernel/watchdog.c, kernel/hung_task.c, kernel/rcu/tree_stall.h,
kernel/locking/lockdep.c, kernel/kcsan/report.c, lib/bug.c, lib/ubsan.c, mm/kasan/report.c, mm/kfence/report.c,
arch/x86/kernel/dumpstack.c, arch/x86/mm/fault.c, arch/arm64/kernel/traps.c.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Classification(StrEnum):
    """The contract's word for a line."""

    OOPS = "oops"
    PANIC = "panic"
    WARN = "warn"
    KASAN = "kasan"
    UBSAN = "ubsan"
    NORMAL = "normal"


class EventKind(StrEnum):
    """What happened, finer than the contract's word."""

    PANIC = "panic"
    NULL_POINTER = "null_pointer"
    OOPS = "oops"
    BUG_ON = "bug_on"
    WARN = "warn"
    KASAN = "kasan"
    KFENCE = "kfence"
    KMSAN = "kmsan"
    UBSAN = "ubsan"
    KCSAN = "kcsan"
    LOCKDEP = "lockdep"
    HUNG_TASK = "hung_task"
    SOFT_LOCKUP = "soft_lockup"
    HARD_LOCKUP = "hard_lockup"
    RCU_STALL = "rcu_stall"
    BUG = "bug"


CLASSIFICATIONS = {
    EventKind.PANIC: Classification.PANIC,
    EventKind.NULL_POINTER: Classification.OOPS,
    EventKind.OOPS: Classification.OOPS,
    EventKind.BUG_ON: Classification.OOPS,
    EventKind.KASAN: Classification.KASAN,
    EventKind.KFENCE: Classification.KASAN,
    EventKind.KMSAN: Classification.KASAN,
    EventKind.UBSAN: Classification.UBSAN,
}
"""All others are `warn`."""

OOPSES = frozenset({EventKind.NULL_POINTER, EventKind.OOPS, EventKind.BUG_ON})
WARNINGS = frozenset({EventKind.WARN, EventKind.LOCKDEP, EventKind.KCSAN, EventKind.UBSAN})
"""What the kernel goes on after as if nothing had been; everything else counts as an error."""

_TRAPS = (
    "Oops|general protection fault[^:]{0,100}|invalid opcode|divide error|stack segment|double fault|int3|bounds|"
    "invalid TSS|segment not present|alignment check|control protection|SMP kernel stack overflow"
)


@dataclass(frozen=True, slots=True)
class _Pattern:
    kind: EventKind
    regex: re.Pattern[str]


def _pattern(kind: EventKind, *texts: str) -> _Pattern:
    return _Pattern(kind, re.compile("|".join(f"(?:{text})" for text in texts)))


_PATTERNS = (
    _pattern(EventKind.PANIC, r"Kernel panic - not syncing: "),
    _pattern(
        EventKind.NULL_POINTER,
        r"BUG: kernel NULL pointer dereference, address: ",
        r"BUG: unable to handle kernel NULL pointer dereference at ",
        r"Unable to handle kernel NULL pointer dereference at virtual address ",
    ),
    _pattern(
        EventKind.OOPS,
        r"BUG: unable to handle (?:page fault for address: |kernel paging request )",
        r"BUG: corrupted kernel stack|BUG: (?:IRQ |NMI )?stack guard page was hit",
        r"Unable to handle kernel [a-z ]{1,60} at virtual address ",
        rf"(?:Oops: )?(?:{_TRAPS}): [0-9a-f]{{4}} \[#[0-9]{{1,6}}\]",
        r"Internal error: [^\[]{1,120}\[#[0-9]{1,6}\]",
    ),
    _pattern(EventKind.BUG_ON, r"kernel BUG at [^ ]{1,400}:[0-9]{1,7}!", r"kernel BUG at 0?x?[0-9a-f]{8,16}!"),
    _pattern(
        EventKind.WARN,
        r"WARNING: CPU: [0-9]{1,5} PID: [0-9]{1,10} at ",
        r"WARNING: (?:[^ ]{1,400}:[0-9]{1,7} )?at [^ ]{1,400}, CPU#[0-9]{1,5}: ",
    ),
    _pattern(
        EventKind.KASAN, r"BUG: KASAN: [a-z]", r"KASAN: (?:null-ptr-deref|maybe wild-memory|probably user-memory)"
    ),
    _pattern(EventKind.KFENCE, r"BUG: KFENCE: "),
    _pattern(EventKind.KMSAN, r"BUG: KMSAN: "),
    _pattern(EventKind.UBSAN, r"UBSAN: [a-z][a-z0-9 -]{1,60} in [^ ]{1,400}:[0-9]{1,7}(?::[0-9]{1,5})?(?: |$)"),
    _pattern(EventKind.UBSAN, r"UBSAN: Undefined behaviour in [^ ]{1,400}:[0-9]{1,7}"),
    _pattern(EventKind.KCSAN, r"BUG: KCSAN: (?:data-race|assert: race) in "),
    _pattern(
        EventKind.LOCKDEP,
        r"WARNING: possible (?:circular locking dependency|recursive locking|irq lock inversion dependency) detected",
        r"WARNING: (?:inconsistent lock state|bad unlock balance detected!|bad contention detected!|held lock freed!)",
        r"WARNING: (?:Nested lock was not taken|suspicious RCU usage|lock held when returning to user space!)",
        r"WARNING: [A-Z_-]{3,40}-safe -> [A-Z_-]{3,40}-unsafe lock order detected",
        r"WARNING: [^ ]{1,16}/[0-9]{1,10} still has locks held!",
        r"\[ BUG: Invalid wait context \]",
        r"BUG: MAX_(?:LOCKDEP|LOCK|STACK)_",
        r"INFO: trying to register non-static key\.",
    ),
    _pattern(
        EventKind.HUNG_TASK,
        r"INFO: task .{1,64}:[0-9]{1,10} (?:<[a-z]{1,16}> )?blocked (?:in I/O wait )?for more than [0-9]{1,8} seconds",
    ),
    _pattern(
        EventKind.SOFT_LOCKUP,
        r"(?:NMI )?(?:watchdog: )?BUG: soft lockup - CPU#[0-9]{1,5} stuck for [0-9]{1,8}s!",
    ),
    _pattern(
        EventKind.HARD_LOCKUP,
        r"(?:NMI )?(?:watchdog: )?(?:CPU[0-9]{1,5}: )?Watchdog detected hard LOCKUP on cpu ?[0-9]{1,5}",
    ),
    _pattern(
        EventKind.RCU_STALL,
        r"(?:rcu: )?INFO: [a-z_]{1,40} (?:self-detected stall on CPU|detected (?:expedited )?stalls on CPUs/tasks)",
        r"(?:rcu: )?[a-z_]{1,40} kthread (?:starved for|timer wakeup didn't happen for) [0-9]{1,12} jiffies",
    ),
    _pattern(EventKind.BUG, r"BUG: [A-Za-z]"),
)


def kind_of(text: str) -> EventKind | None:
    """What a line announces; None for a line that announces nothing."""
    return next((pattern.kind for pattern in _PATTERNS if pattern.regex.match(text)), None)


def classification_of(kind: EventKind) -> Classification:
    """The contract's word for a kind of event."""
    return CLASSIFICATIONS.get(kind, Classification.WARN)
