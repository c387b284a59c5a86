"""The texts with which the kernel announces each kind of event.

The patterns are anchored at the beginning of the line, so that a quotation does not match.

Texts as of Linux 2.6.32 to 6.19: kernel/{panic,watchdog,hung_task,cfi}.c, kernel/rcu/{tree_stall,tasks}.h,
kernel/locking/lockdep.c, kernel/kcsan/report.c, lib/{bug,ubsan}.c, mm/{slub,slab,kmemleak}.c,
mm/{kasan,kfence,kmsan}/report.c, net/core/dev.c, fs/super.c, and for each architecture what its `die` prints and how
its page faults begin: x86, arm, arm64, riscv, powerpc, s390, mips, loongarch, sparc, parisc.

Every repetition is bounded and no two of them can match the same text, so a line costs no more than its length.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property

from reconciler.kernel_log.event_kinds import KernelEventKind
from reconciler.kernel_log.pattern_prefixes import beginnings

_N = "[0-9]{1,10}"
_SYMBOL = r"[^, ]{1,400}+(?: \[[^], ]{1,64}\])?"
_DIE = r"\[#[0-9]{1,6}\]"

_TRAPS = (
    "general protection fault[^\\[:]{0,100}|segment-related general protection fault|invalid opcode|divide[ _]error|"
    "overflow|bounds|stack segment|double fault|int3|debug|invalid TSS|segment not present|alignment check|"
    "control protection(?: fault)?|coprocessor (?:segment overrun|error)|(?:fpu|simd|iret|FPU|SIMD) exception|"
    "stack guard page|SMP kernel stack overflow|kernel stack overflow \\([a-z -]{1,30}\\)|machine check|VE fault|"
    "unexpected #[A-Z]{2} exception|virtualization exception|device not available|Bad pagetable|trace trap"
)
"""x86: the texts that `die` is called with (traps.c, fault.c, dumpstack.c)."""
_TRAP_OF_ANY_NAME = rf"[a-z#][A-Za-z0-9#_ ,()/-]{{2,100}}+: [0-9a-f]{{4}} {_DIE} (?:PREEMPT|SMP|DEBUG|KASAN|PTI|NOPTI)"
_KERNEL_CODE = (
    "Break instruction in kernel code|Trap instruction in kernel code|Reserved instruction in kernel code|"
    "Unhandled kernel unaligned (?:access|or invalid instruction)|Kernel (?:ade|ale|unaligned instruction) access|"
    "FP exception in kernel code|(?:Data|Instruction) bus error|Machine check|Illegal instruction"
)
"""mips, loongarch, riscv."""

_LOCKDEP = (
    "possible circular locking dependency detected|possible recursive locking detected|"
    "possible irq lock inversion dependency detected|inconsistent lock state|bad unlock balance detected!|"
    "bad contention detected!|held lock freed!|[Nn]ested lock was not taken|suspicious RCU usage|"
    "suspicious rcu_dereference_check\\(\\) usage|"
    "lock held when returning to user space!|lock held at task exit time!|Invalid wait context|"
    "circular locking deadlock detected!|[A-Za-z_-]{3,40}-safe -> [A-Za-z_-]{3,40}-unsafe lock order detected|"
    rf"(?s:.{{1,64}})/-?{_N} still has locks held!"
)

_ORC = (
    "kernel stack (?:regs|frame pointer) at |can't (?:access|dereference) (?:iret )?registers|"
    "unknown (?:SP|FP) base reg|missing [A-Z0-9]{2,3} value|stack (?:recursion on|going in the wrong direction)|"
    "unrecognized unwind stack type|unknown \\.orc_unwind entry type"
)
"""x86: unwind_orc.c and unwind_frame.c."""

_HANG = rf":-?{_N} (?:<[a-z]{{1,16}}> )?(?:blocked(?: in I/O wait)?|can't die) for more than {_N} seconds"

_TEXTS: tuple[tuple[KernelEventKind, tuple[str, ...]], ...] = (
    (
        KernelEventKind.PANIC,
        (r"Kernel panic - not syncing(?:: |$)", r"(?:traps: )?PANIC: early exception "),
    ),
    (
        KernelEventKind.NULL_POINTER,
        (
            r"BUG: (?:[uU]nable to handle )?[kK]ernel NULL pointer dereference",
            rf"(?:CPU {_N} )?Unable to handle kernel NULL pointer dereference",
        ),
    ),
    (
        KernelEventKind.BUG_ON,
        (r"[kK]ernel BUG at \S", rf"(?:Kernel bug detected|Kernel BUG) ?{_DIE}"),
    ),
    (
        KernelEventKind.OOPS,
        (
            r"BUG: [uU]nable to handle ",
            r"BUG: corrupted kernel stack",
            r"(?:traps: )?BUG: (?:[A-Z0-9#]{2,8} )?stack guard page was hit",
            rf"(?:CPU {_N} )?Unable to handle kernel ",
            r"(?:traps: )?PANIC: double fault",
            rf"(?:Oops: )?(?:{_TRAPS}): [0-9a-f]{{4}} {_DIE}",
            _TRAP_OF_ANY_NAME,
            rf"Oops(?=[ :\[])[^\[]{{0,160}}+{_DIE}",
            rf"Internal error: [^\[]{{0,120}}+{_DIE}",
            rf"(?:{_KERNEL_CODE}) ?{_DIE}",
            rf"[A-Za-z][a-z -]{{2,60}}: [0-9a-f]{{4}} ilc:[0-9] {_DIE}",
            rf"[^ (]{{1,16}}\({_N}\): Oops ",
            rf"Bad mode in [A-Za-z ]{{1,60}} handler detected(?: on CPU{_N}|, code 0x)",
            rf"SError Interrupt on CPU{_N}, code 0x",
            r"CFI failure ",
            r"Fixing recursive fault but reboot is needed!",
            r"Insufficient stack space to handle exception!",
            r"Kernel stack overflow(?: in process|\.$)",
            r"Kernel Fault: Code=",
            r"Oops: [A-Za-z ]{4,80}, sig: [0-9]",
            rf"Unhandled [a-z0-9 -]{{3,40}} exception on CPU{_N}, ESR 0x",
            r"Unhandled (?:fault|prefetch abort): (?:a?synchronous|(?:im)?precise) [a-z ]{1,60}\(0x",
        ),
    ),
    (
        KernelEventKind.WARN,
        (
            rf"WARNING: CPU: {_N} PID: -?{_N} at ",
            rf"WARNING: (?:\[.{{0,1024}}?\] )?(?:[^ ]{{1,400}}:{_N} )?at {_SYMBOL}, CPU#[0-9]",
            rf"WARNING: at [^ ]{{1,400}}:{_N} ",
            rf"Badness at [^ ]{{1,400}}:{_N}$",
            r"WARNING: kmemcheck: Caught ",
            rf"sched: CPU {_N} need_resched set for > {_N} ns ",
            rf"WARNING: (?:{_ORC})",
        ),
    ),
    (
        KernelEventKind.KASAN,
        (r"BUG: KAS(?:AN|an): ", r"KASAN: (?:null-ptr-deref|maybe wild-memory|probably user-memory)"),
    ),
    (KernelEventKind.KFENCE, (r"BUG: KFENCE: ",)),
    (KernelEventKind.KMSAN, (r"BUG: KMSAN: ",)),
    (KernelEventKind.KCSAN, (r"BUG: KCSAN: ",)),
    (
        KernelEventKind.UBSAN,
        (
            rf"UBSAN: [a-z][a-z0-9 -]{{1,60}} in [^ ]{{1,400}}:{_N}(?::{_N})?(?: |$)",
            rf"UBSAN: Undefined behaviour in [^ ]{{1,400}}:{_N}",
        ),
    ),
    (
        KernelEventKind.LOCKDEP,
        (
            rf"(?:WARNING|BUG|INFO|\[ (?:INFO|BUG|WARNING)): (?:{_LOCKDEP})",
            r"BUG: MAX_(?:LOCKDEP|LOCK|STACK)_",
            r"INFO: trying to register non-static key\.",
        ),
    ),
    (
        KernelEventKind.HUNG_TASK,
        (rf"INFO: task (?s:.{{1,64}}?){_HANG}",),
    ),
    (KernelEventKind.SOFT_LOCKUP, (r"(?:NMI )?(?:watchdog: )?BUG: soft lockup",)),
    (
        KernelEventKind.HARD_LOCKUP,
        (
            rf"(?:NMI )?(?:watchdog: )?(?:CPU{_N}: )?Watchdog detected hard LOCKUP on cpu ?{_N}",
            rf"watchdog: CPU {_N} (?:self-detected hard|detected hard|Hard) LOCKUP",
            r"(?:BUG: )?NMI Watchdog detected LOCKUP",
            r"(?:smp: )?csd: Detected non-responsive CSD lock ",
        ),
    ),
    (
        KernelEventKind.RCU_STALL,
        (
            r"(?:rcu: )?INFO: [a-z_]{1,40} (?:self-detected stall |detected (?:expedited )?stalls? )on ",
            rf"(?:rcu: )?rcu_[a-z_]{{1,36}} kthread (?:starved for|timer wakeup didn't happen for) {_N} jiffies",
            rf"INFO: RCU detected CPU (?:{_N} stall|stalls)",
        ),
    ),
    (
        KernelEventKind.SLAB,
        (
            r"BUG [^ ].{0,100}? \((?:Not tainted|Tainted: [^)]{1,80})\): (?!kasan: )",
            r"BUG [\w.:-]{1,64}: [A-Z]",
            r"slab error in [a-z_]{1,60}\(\): ",
            r"Slab corruption(?: \([^)]{1,80}\))?: ",
            rf"(?:INFO: )?(?:Allocated|Freed) in .{{1,200}}? age=[0-9]{{1,20}} cpu={_N} pid=-?{_N}",
            r"kmem_cache_destroy .{1,64}?: Slab cache still has objects",
            r"pagealloc: (?:single bit error|memory corruption)",
        ),
    ),
    (
        KernelEventKind.MEMORY_LEAK,
        (
            r"BUG: memory leak",
            r"(?:kmemleak: )?unreferenced object (?:\(percpu\) )?0x[0-9a-f]{4,16} \(size [0-9]{1,20}\)",
            rf"kmemleak: {_N} new suspected memory leaks",
        ),
    ),
    (
        KernelEventKind.REFERENCE_LEAK,
        (
            r"unregister_netdevice: waiting for .{1,64}? to become free",
            r"VFS: Busy inodes after unmount of ",
            r"VFS: Close: file count is (?:0|zero)",
        ),
    ),
    (
        KernelEventKind.BUG,
        (
            r"BUG: \S",
            r"\[ BUG: ",
            r"bad: scheduling from the idle thread!",
            rf"huh, entered softirq {_N} ",
            rf"irq {_N}: nobody cared ",
            rf"irq event {_N}: bogus return value ",
            rf"mm/pgtable-generic\.c:{_N}: bad p[4gmu]d ",
            r"(?:get_swap_device|(?:_|)swap_info_get|__swap_duplicate|swap_dup|swap_free): (?:Bad|Unused) swap ",
        ),
    ),
)

LEADS = {
    "cut": (r"-{12} ?\[ cut here \] ?-{12}$", r"8<--- cut here ---$"),
    "fence": (r"={20,120}$",),
    "omen": (
        r"kasan: (?:GPF could be caused|CONFIG_KASAN_INLINE enabled)",
        r"kernel tried to (?:exec|execute|access) ",
        r"Kernel attempted to (?:read|write|access|execute) user page",
        r"list_(?:add|del)(?: (?:double add|corruption)[:.,])",
        r"usercopy: Kernel memory (?:exposure|overwrite) attempt detected ",
        r"detected buffer overflow in ",
        r"XFS(?: \([^)]{1,64}\))?: Assertion failed: ",
        r"(?:traps: )?Missing ENDBR: ",
        r"Bad kernel stack pointer [0-9a-f]{1,16} at ",
    ),
    "plain": (r"WARNING: ",),
}
"""What may precede an announcement: a rule, or words on the cause (an omen).

`plain` is a warning in unknown words; only a trace that follows shows that the kernel means it.
"""


_SAME_REPORT = (
    ("CFI failure ", re.compile("WARNING: CPU: ")),
    ("VFS: Busy inodes", re.compile(r"WARNING: .{0,1100}?fs/super\.c:")),
    ("kmem_cache_destroy ", re.compile(r"WARNING: .{0,1100}?mm/sl[au]b_common\.c:")),
    ("BUG ", re.compile(r"WARNING: .{0,1100}?mm/slub\.c:")),
    ("BUG: workqueue lockup", re.compile("BUG: workqueue lockup")),
)
"""How reports begin which the kernel announces again with a WARN or BUG of their own, or once for each of several."""
_AGAIN = tuple({begins for _, again in _SAME_REPORT for begins in beginnings(again.pattern, len("WARNING: "))})


def may_announce_again(text: str) -> bool:
    """Whether an announcement is one that may be part of a report before it."""
    return text.startswith(_AGAIN)


def announced_again(head: str, text: str) -> bool:
    """Whether an announcement is part of the report that began with `head`, though it could begin one."""
    return any(head.startswith(begins) and again.match(text) for begins, again in _SAME_REPORT)


_DYING = (r"\[#", r"\): Oops ")
"""Every text of `die` contains one of these (written as in a pattern)."""


class _Texts:
    """Several patterns compiled into one, with the meaning of each; compiled when a line first needs it."""

    def __init__(self, texts: Sequence[tuple[KernelEventKind | str, str]]) -> None:
        self._texts = texts

    def meaning(self, line: str) -> KernelEventKind | str | None:
        found = self._match(line)
        if found is None:
            return None
        assert found.lastindex is not None
        return self._texts[found.lastindex - 1][0]

    @cached_property
    def _match(self) -> Callable[[str], re.Match[str] | None]:
        """An empty group after each text tells which matched; a group around it would hide its beginning from `re`."""
        return re.compile("|".join(f"(?:{text})()" for _, text in self._texts)).match


_EVERY = tuple((meaning, text) for meaning, texts in (*_TEXTS, *LEADS.items()) for text in texts)
_DEATHS = [of for of in _EVERY if any(word in of[1] for word in _DYING)]
_SAID_BY_DIE = _Texts(_DEATHS)
_BEGIN_CHARACTERS = 5


def _by_beginning() -> dict[str, _Texts]:
    """All texts except those of `die`, by their first characters."""
    found: dict[str, list[tuple[KernelEventKind | str, str]]] = defaultdict(list)
    for meaning, text in _EVERY:
        if (meaning, text) not in _DEATHS:
            for beginning in beginnings(text, _BEGIN_CHARACTERS):
                found[beginning].append((meaning, text))
    return {beginning: _Texts(texts) for beginning, texts in found.items()}


_BY_BEGINNING = _by_beginning()


def announcement(text: str) -> KernelEventKind | str | None:
    """What a line announces: a kind of event, the name of a lead, or nothing."""
    if ("[#" in text or "): Oops " in text) and (means := _SAID_BY_DIE.meaning(text)) is not None:
        return means
    texts = _BY_BEGINNING.get(text[:_BEGIN_CHARACTERS])
    return None if texts is None else texts.meaning(text)


_HANG_ENDS = re.compile(f".{{0,64}}?{_HANG}")


def tells_of_hang(text: str) -> bool:
    """Whether a line completes the announcement of a hung task whose name began on an earlier line."""
    return " for more than " in text and _HANG_ENDS.match(text) is not None


def announced_kind(text: str) -> KernelEventKind | None:
    """The kind of event that a line announces; None if the line alone announces none."""
    found = announcement(text)
    return found if isinstance(found, KernelEventKind) else None
