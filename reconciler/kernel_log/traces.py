"""Lines that only continue a report: registers, stack frames, dumps, and each report's words on its cause.

A strong line is part of a trace wherever it stands; a weak one belongs to a report only if it follows one. As printed
by x86, arm, arm64, riscv, powerpc, s390, mips and loongarch (show_regs, show_stack, dump_stack of each).
"""

import re

_HEX = "(?:0x)?[0-9a-f]{8,16}"
_SYMBOL = r"[A-Za-z_$][\w.$]{0,255}+\+0x[0-9a-f]"
_FRAME = (
    rf"\s{{0,40}}+(?:\(?\[ ?<[^>]{{1,40}}>\] ?\)?(?:\s|\(|$)|(?:\[{_HEX}\] ?){{1,2}}|[0-9]{{1,10}}: )?"
    rf"(?:\? |\(\[<[^>]{{1,40}}>\] |<[^>]{{1,20}}> ){{0,2}}{_SYMBOL}"
)
"""`[<ffff…>] ? f+0x1/0x2`, `[c000…] [c000…] f+0x1/0x2 (unreliable)`, ` f+0x1/0x2 [module]`, `([<0…>] f+0x1/0x2)`."""
_ADDRESSED = r"\s{0,8}+\(?\[ ?<[0-9a-fA-Fx]{4,18}>\]|\[[0-9a-f]{16}\] \[[0-9a-f]{16}\]|Function entered at \["
_NAMED = "|".join(
    (
        r"Call [Tt]race:|Backtrace:|CPU: ?[0-9]|CPU[0-9]{1,5}: stopping|Modules linked in:|Unloaded tainted modules:",
        r"Hardware name: |Workqueue: |Sched_ext: |Tainted: |Code: |irq event stamp: |(?:hard|soft)irqs last ",
        r"\s?</?(?:TASK|IRQ|NMI|SOFTIRQ|EOI|#DF|#VC|ENTRY_TRAMPOLINE|ENTRY)>|NMI backtrace |Sending NMI ",
        r"task:.{1,64}? (?:state|stack)[:.]|note: .{1,64}?\[[0-9]{1,10}\] exited with |Dumping ftrace buffer",
        r"Process .{1,64}? \(pid: |Stack ?: ?\(?|Exception stack\(|--- (?:interrupt|Exception): ",
        # x86
        r"RIP[: ]|EIP: |IP: (?:\[<|\(null\)|[A-Za-z_][\w.]{0,200}+\+0x)|PGD |\*pde|#PF: |PKRU: |EFLAGS: |ORIG_[RE]AX: ",
        # arm64, arm
        r"Mem abort info|Data abort info|(?:swapper|user) pgtable: |pstate: |pmr_save: |PC is at |LR is at |pgd = ",
        r"\[[0-9a-f]{8,16}\] (?:\*?pgd=|address between)|Flags: [nN][zZ][cC][vV] |Control: [0-9a-f]{8} ",
        r"Register (?:r[0-9]{1,2}|[a-z]{2}) information",
        # riscv, loongarch
        r"epc {0,3}: | ?ra {0,4}: |status: [0-9a-f]{8,16} |ERA: ",
        # powerpc
        r"NIP[: ]|LR \[|REGS: |MSR: |CFAR: |GPR[0-9]{2}: |Instruction dump:|[BL]E PAGE_SIZE=|Faulting instruction addr",
        # s390
        r"Failing address: |Fault in [a-z]{2,12} space mode|AS:[0-9a-f]{8,16} |Krnl |Last Breaking-Event-Address",
        # mips
        r"BadVA ?: |PrId {0,2}: |Cause ?: [0-9a-f]{8}|Hi {0,4}: |Lo {0,4}: ",
    )
)
_REGISTERS = (
    rf"(?:\$ ?[0-9]{{1,2}}|[A-Za-z]{{1,3}}[0-9]{{0,2}}) {{0,4}}: ?(?:[0-9a-f]{{4}}:)?\[?<?{_HEX}|"
    r"[CDEFGS]S: {1,2}[0-9a-f]{4}|[CD]R[0-9]: [0-9a-f]{8}|[a-f0-9]{4}: (?:[0-9a-f]{8} ){4}"
)
_STRONG = re.compile(f"(?:{_FRAME}|{_ADDRESSED}|\\s{{0,8}}+(?:{_REGISTERS})|{_NAMED})")

_WORDS = "|".join(
    (
        # what is running, and why it should not be
        r"in_atomic\(\): |preempt_count: |RCU nest depth: |Preemption disabled at|caller is |bad because of flags",
        r"INFO: lockdep is turned off|no locks held by |[0-9]{1,4} locks? (?:held|on stack) |#[0-9]{1,3}: |Showing ",
        r"INFO: task .{1,64}? (?:is blocked on|<writer>)|Future hung task|\"echo 0 > |Task dump for ",
        r".{1,16} [RSDTtXZPIW] {1,3}(?:[0-9a-f]{8,16}|running task) |<Same stack as pid |Not tainted|Comm: ",
        r"workqueue .{1,64}?: flags|pool [0-9]|rcu: |kmemleak: |ref_tracker: |lock: |Disabling IRQ #|handlers:$",
        r"watchdog: CPU [0-9]{1,10} TB:|turning off the locking correctness validator|P[0-9]{1,10}: ",
        # pages and objects
        r"page[:_ ]|flags: |raw: |head: |memcg:|aops:|addr:|file:|unreferenced object |comm \"|hex dump",
        r"backtrace|(?:Read|Write|Free) of (?:size|addr)|The buggy |Memory state|(?:Allocated|Freed|Created) by ",
        r"Freed in |INFO: (?:Slab|Object|0x)|Slab 0x|Object |Redzone |Padding |Bytes |FIX |-{20,100}$",
        r"0x[0-9a-f]{8,16}-0x|[0-9a-f]{16} ?\(|>[0-9a-f]{8,16}: |[0-9a-f]{8,16}(?: [0-9a-f<>()]{4,18}){3}",
        # locks
        r"other info that|the existing dependency|which lock already|but task is|but there are no more locks",
        r"but this new|the new lock|the dependencies between|and this task|to a[ n]|\.\.\. ",
        r"Possible unsafe|Chain exists of|\*\*\* |stack backtrace|context-|other context|rcu_scheduler_active",
        r"-> #[0-9]|inconsistent \{|\{[A-Z?+._-]{1,40}\} state was|\S{1,64}+ #\S{1,40} (?:Not tainted|Tainted)",
        r"\S{1,40}+ (?:just changed|is (?:trying|just|freeing|leaving|freed) )",
        # a machine that stops
        r"Disabling lock debugging due to kernel taint|Kernel Offset: |CPU features: 0x|Memory Limit: |Rebooting in ",
        r"SMP: stopping secondary CPUs|Shutting down cpus with NMI",
    )
)
_WEAK = re.compile(f"\\s|$|(?:{_WORDS})")

_ENDS = re.compile(r"---\[ end (?:trace |Kernel panic)")
_DUMPS = re.compile(r"CPU: ?[0-9]|Call [Tt]race:|Backtrace:|Modules linked in:|RIP: ")


def is_strong(text: str) -> bool:
    """Whether a line is certainly part of a trace."""
    return _STRONG.match(text) is not None


def is_weak(text: str) -> bool:
    """Whether a line may belong to the report before it."""
    return _WEAK.match(text) is not None


def continues_report(text: str) -> bool:
    """Whether a line makes no sense by itself."""
    return is_strong(text) or (is_weak(text) and not (text.isspace() or text == ""))


def begins_dump(text: str) -> bool:
    """Whether a line begins the dump of a CPU's state, which the kernel prints only in reports."""
    return _DUMPS.match(text) is not None


def ends_report(text: str) -> bool:
    """Whether a line is the last one of a report."""
    return _ENDS.match(text) is not None
