"""The kinds of events, and the contract's words for them."""

from enum import StrEnum


class Classification(StrEnum):
    """The contract's word for a line."""

    OOPS = "oops"
    PANIC = "panic"
    WARN = "warn"
    KASAN = "kasan"
    UBSAN = "ubsan"
    NORMAL = "normal"


class KernelEventKind(StrEnum):
    """What happened, in more detail than the contract's word."""

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
    SLAB = "slab"
    MEMORY_LEAK = "memory_leak"
    REFERENCE_LEAK = "reference_leak"
    BUG = "bug"


CLASSIFICATIONS = {
    KernelEventKind.PANIC: Classification.PANIC,
    KernelEventKind.NULL_POINTER: Classification.OOPS,
    KernelEventKind.OOPS: Classification.OOPS,
    KernelEventKind.BUG_ON: Classification.OOPS,
    KernelEventKind.KASAN: Classification.KASAN,
    KernelEventKind.KFENCE: Classification.KASAN,
    KernelEventKind.KMSAN: Classification.KASAN,
    KernelEventKind.UBSAN: Classification.UBSAN,
}
"""All others are `warn`."""

OOPSES = frozenset({KernelEventKind.NULL_POINTER, KernelEventKind.OOPS, KernelEventKind.BUG_ON})
WARNINGS = frozenset(
    {
        KernelEventKind.WARN,
        KernelEventKind.LOCKDEP,
        KernelEventKind.KCSAN,
        KernelEventKind.UBSAN,
        KernelEventKind.MEMORY_LEAK,
    }
)
"""Events after which the kernel continues as if nothing had happened; all others count as errors."""


def classification_of(kind: KernelEventKind) -> Classification:
    """The contract's word for a kind of event."""
    return CLASSIFICATIONS.get(kind, Classification.WARN)
