"""Where a report begins and ends, on any machine, and whatever else is printed meanwhile."""

import pytest

from reconciler.kernel_log.console import parse_console
from reconciler.kernel_log.kernel_events import EVENT_LINES_LIMIT
from reconciler.kernel_log.kmsg_records import parse_kmsg
from reconciler.kernel_log.line import LogLine
from reconciler.kernel_log.report import ReportSource, log_report
from reconciler.model.kernel_log import LogSource
from tests.unit.kernel_log.architectures import ARM64, REPORTS, X86_SOFT_LOCKUP
from tests.unit.kernel_log.samples import EVENTS, LOCKDEP, WARN, find_events

BEFORE, AFTER = "virtio_net virtio0: before", "virtio_net virtio0: after"
KMSG = ReportSource(LogSource.KMSG)

SLEEPING = """\
BUG: sleeping function called from invalid context at kernel/test.c:5
in_atomic(): 1, irqs_disabled(): 0, non_block: 0, pid: 41, name: sh
preempt_count: 1, expected: 0
RCU nest depth: 0, expected: 0
1 lock held by sh/41:
 #0: ffff000000000001 (&test->lock){+.+.}-{3:3}, at: provoke_store+0x2a/0x40
Preemption disabled at:
[<ffffffff81000001>] provoke_store+0x1a/0x40
CPU: 0 PID: 41 Comm: sh Not tainted 6.1.0-test #1
Call Trace:
 <TASK>
 dump_stack_lvl+0x49/0x63
 </TASK>"""

BAD_PAGE = """\
BUG: Bad page state in process sh  pfn:01234
page:ffffea0000001000 refcount:0 mapcount:-1 mapping:0000000000000000 index:0x0 pfn:0x1234
flags: 0x100000000000000(node=0|zone=1)
raw: 0100000000000000 dead000000000100 dead000000000122 0000000000000000
page dumped because: nonzero mapcount
Modules linked in: provoke(OE)
CPU: 0 PID: 41 Comm: sh Tainted: G    B      OE      6.1.0-test #1
Call Trace:
 bad_page+0x7a/0xa0
Disabling lock debugging due to kernel taint"""

HUNG_WITH_LOCKS = """\
INFO: task provoke:77 blocked for more than 143 seconds.
      Not tainted 6.1.0-test #1
"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.
task:provoke         state:D stack:0     pid:77    ppid:1      flags:0x00004000
Call Trace:
 schedule+0x5a/0xd0

Showing all locks held in the system:
1 lock held by khungtaskd/30:
 #0: ffffffff82000000 (rcu_read_lock){....}-{1:2}, at: debug_show_all_locks+0x10/0x100

=============================================

NMI backtrace for cpu 1
CPU: 1 PID: 30 Comm: khungtaskd Not tainted 6.1.0-test #1
Call Trace:
 dump_stack_lvl+0x49/0x63
Sending NMI from CPU 1 to CPUs 0:
NMI backtrace for cpu 0 skipped: idling at default_idle+0xb/0x10"""

PANIC = """\
Kernel panic - not syncing: Fatal exception
SMP: stopping secondary CPUs
Kernel Offset: disabled
CPU features: 0x00000,02070084,26017203
Memory Limit: none
Rebooting in 5 seconds.."""

TASKS = """\
INFO: rcu_tasks detected stalls on tasks:
00000000aabbccdd: .. nvcsw: 3/3 holdout: 1 idle_cpu: -1/1
task:provoke         state:R  running task     stack:0     pid:77    ppid:1      flags:0x00004000
Call Trace:
 schedule+0x5a/0xd0"""

DUMP = """\
Modules linked in: provoke(OE)
CPU: 0 PID: 41 Comm: sh Not tainted 6.1.0-test #1
RIP: 0010:provoke_store+0x2a/0x40
Call Trace:
 <TASK>
 vfs_write+0xb5/0x390
 </TASK>
---[ end trace 0000000000000000 ]---"""
CUT = "------------[ cut here ]------------"
DIED = f"invalid opcode: 0000 [#1] PREEMPT SMP\n{DUMP}"

SLAB_THAT_WARNS = f"""\
=============================================================================
BUG provoke (Not tainted): Objects remaining on __kmem_cache_shutdown()
-----------------------------------------------------------------------------

Object 0xffff888012345678 @offset=0
CPU: 0 UID: 0 PID: 41 Comm: rmmod Not tainted 6.14.0-test #1
Call Trace:
 <TASK>
 dump_stack_lvl+0x49/0x63
 </TASK>
{CUT}
WARNING: CPU: 0 PID: 41 at mm/slub.c:1127 slab_err+0x1/0x2
{DUMP}"""

POOLS = """\
BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 40s!
BUG: workqueue lockup - pool cpus=0-1 flags=0x4 nice=0 stuck for 41s!
Showing busy workqueues and worker pools:
workqueue events: flags=0x0
  pwq 6: cpus=1 node=0 flags=0x0 nice=0 active=2 refcnt=3
    pending: provoke_work
pool 8: cpus=0-1 flags=0x4 nice=0 hung=41s workers=4 idle: 55"""

ANNOUNCED_TWICE = {
    "a corrupt list": (
        "bug_on",
        (
            "list_add corruption. prev->next should be next (ffff8880), but was 0.\n"
            f"{CUT}\nkernel BUG at lib/list_debug.c:28!\n{DIED}"
        ),
    ),
    "a corrupt list that only warns": (
        "warn",
        (
            f"{CUT}\nlist_del corruption, ffff8880->next is LIST_POISON1 (dead)\n"
            f"WARNING: CPU: 0 PID: 41 at lib/list_debug.c:53 __list_del_entry+0x1/0x2\n{DUMP}"
        ),
    ),
    "a user copy": (
        "bug_on",
        (
            "usercopy: Kernel memory exposure attempt detected from SLUB object (offset 0, size 5)!\n"
            f"{CUT}\nkernel BUG at mm/usercopy.c:101!\n{DIED}"
        ),
    ),
    "a failed assertion": (
        "bug_on",
        (
            "XFS (vda1): Assertion failed: x == 0, file: fs/xfs/xfs_inode.c, line: 1770\n"
            f"{CUT}\nkernel BUG at fs/xfs/xfs_message.c:102!\n{DIED}"
        ),
    ),
    "an omen without a known announcement": ("warn", f"detected buffer overflow in strcpy\n{CUT}\n{DUMP}"),
    "a forbidden call": ("oops", f"CFI failure at f+0x1/0x2 (target: g+0x0/0x8; expected type: 0x12345678)\n{DIED}"),
    "a forbidden call that only warns": (
        "oops",
        (
            "CFI failure at f+0x1/0x2 (target: g+0x0/0x8; expected type: 0x1)\n"
            f"WARNING: CPU: 0 PID: 41 at f+0x1/0x2\n{DUMP}"
        ),
    ),
    "an abort": (
        "oops",
        (
            "8<--- cut here ---\nUnhandled fault: imprecise external abort (0x1406) at 0x00000000\n"
            f"[00000000] *pgd=00000000\nInternal error: : 1406 [#1] SMP ARM\n{DUMP}"
        ),
    ),
    "busy inodes": (
        "reference_leak",
        (
            f"{CUT}\nVFS: Busy inodes after unmount of vda1 (ext4)\n"
            f"WARNING: CPU: 0 PID: 41 at fs/super.c:650 generic_shutdown_super+0x1/0x2\n{DUMP}"
        ),
    ),
    "a cache in use": (
        "slab",
        (
            f"{CUT}\nkmem_cache_destroy provoke: Slab cache still has objects when called from f+0x1/0x2\n"
            f"WARNING: CPU: 0 PID: 41 at mm/slab_common.c:500 kmem_cache_destroy+0x1/0x2\n{DUMP}"
        ),
    ),
    "objects left over": ("slab", SLAB_THAT_WARNS),
    "several pools": ("bug", POOLS),
    "an interrupt": (
        "bug",
        (
            'irq 16: nobody cared (try booting with the "irqpoll" option)\nCPU: 0 PID: 0\n'
            "Call Trace:\n <IRQ>\n dump_stack_lvl+0x49/0x63\n </IRQ>\nhandlers:\n[<0000000012345678>] f [provoke]\n"
            "Disabling IRQ #16"
        ),
    ),
    "another CPU of a POWER machine": (
        "hard_lockup",
        (
            "watchdog: CPU 2 detected hard LOCKUP on other CPUs 3\n"
            "watchdog: CPU 2 TB:1234, last SMP heartbeat TB:12 (10ms ago)"
        ),
    ),
}

OTHERS = {
    "sleeping in atomic context": ("bug", SLEEPING),
    "bad page": ("bug", BAD_PAGE),
    "all locks and all CPUs": ("hung_task", HUNG_WITH_LOCKS),
    "a panic without a trace": ("panic", PANIC),
    "tasks that RCU waits for": ("rcu_stall", TASKS),
}
ALL = {**REPORTS, **OTHERS, **ANNOUNCED_TWICE}


def said(text: str, caller: str | None = None) -> list[LogLine]:
    return [LogLine(line, caller=caller) for line in text.split("\n")]


@pytest.mark.parametrize("name", ALL)
def test_a_report_is_one_event_from_its_first_line_to_its_last(name: str) -> None:
    kind, text = ALL[name]
    (event,) = find_events(said(f"{BEFORE}\n{text}\n{AFTER}\n{AFTER}"))
    assert event.kind.value == kind
    assert event.members == list(range(1, 1 + len(text.split("\n"))))


@pytest.mark.parametrize("name", ALL)
def test_a_report_counts_once_whatever_the_levels_of_its_lines(name: str) -> None:
    kind, text = ALL[name]
    lines = [LogLine(line, level=4, facility="kern") for line in text.split("\n")]
    answer = log_report([*lines, LogLine("slow", level=4, facility="kern")], KMSG)
    assert answer.warning_count + answer.error_count == 2
    assert [event.kind for event in answer.events] == [kind]


def test_a_warning_after_a_complete_report_is_an_event_of_its_own() -> None:
    slab = "\n".join(SLAB_THAT_WARNS.split("\n")[:10])
    other = f"{CUT}\nWARNING: CPU: 0 PID: 41 at kernel/other.c:5 f+0x1/0x2\n{DUMP}"
    assert [event.kind.value for event in find_events(said(f"{slab}\n{other}"))] == ["slab", "warn"]


def test_a_trace_without_an_event_is_no_warning_for_each_of_its_frames() -> None:
    refused = "sh: page allocation failure: order:9\nCPU: 0 PID: 41 Comm: sh\nCall Trace:\n f+0x1/0x2\n g+0x1/0x2"
    answer = log_report([LogLine(line, level=4, facility="kern") for line in refused.split("\n")], KMSG)
    assert (answer.warning_count, answer.events) == (1, ())


@pytest.mark.parametrize(
    "text", ["IP: routing cache hash table of 1024 buckets", "e1000: 00:00 up", "raid6: avx2x4 gen()"]
)
def test_what_only_looks_like_a_trace_is_counted_by_its_level(text: str) -> None:
    assert log_report([LogLine(text, level=4, facility="kern")], KMSG).warning_count == 1


def test_cpus_that_speak_at_once_are_told_apart_by_their_callers() -> None:
    first, second, noise = said(ARM64, "T41"), said(X86_SOFT_LOCKUP, "C1"), said("\n".join([BEFORE] * 40), "T7")
    mixed = [line for lines in zip(first, second[: len(first)], noise, strict=False) for line in lines]
    mixed += second[len(first) :]
    events = find_events(mixed)
    assert [event.kind.value for event in events] == ["null_pointer", "soft_lockup"]
    for event, lines in zip(events, (first, second), strict=True):
        assert [mixed[index] for index in event.members] == lines


def test_what_other_cpus_say_when_asked_belongs_to_the_one_that_asked() -> None:
    asked = said("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\nSending NMI from CPU 0 to CPUs 1:", "C0")
    answered = said("NMI backtrace for cpu 1\nCPU: 1 PID: 9 Comm: sh\nRIP: 0010:spin+0x1/0x2", "C1")
    (event,) = find_events([*asked, *answered, *said(BEFORE, "C1")])
    assert event.members == list(range(5))


def test_a_few_lines_of_somebody_else_do_not_end_a_report_where_no_caller_is_named() -> None:
    lines = said(LOCKDEP)
    mixed = [*lines[:3], *said(BEFORE), *lines[3:], *said(AFTER)]
    (event,) = find_events(mixed)
    assert event.members == list(range(len(lines) + 1))


def test_a_second_oops_after_the_end_of_the_first_is_another_event() -> None:
    assert [event.kind.value for event in find_events(said(f"{ARM64}\n{ARM64}"))] == ["null_pointer"] * 2


def test_words_on_the_cause_stand_before_the_announcement_also_right_after_another_report() -> None:
    omen = "kernel tried to execute NX-protected page - exploit attempt? (uid: 0)"
    first, second = WARN.split("\n"), [omen, "BUG: unable to handle page fault for address: ffffdead00000000"]
    events = find_events(said("\n".join([*first, *second])))
    assert [len(event.members) for event in events] == [len(first), len(second)]


def test_a_line_long_after_a_report_is_not_its_own() -> None:
    lines = parse_console(b"[    1.000000] BUG: test\n[    1.000001]  f+0x1/0x2\n[   99.000000]  vda: vda1\n")
    (event,) = find_events(lines)
    assert event.members == [0, 1]


def test_a_cut_with_a_trace_is_a_warning_also_where_its_announcement_is_lost() -> None:
    lines = [line for line in WARN.split("\n") if not line.startswith("WARNING")]
    (event,) = find_events(said("\n".join([BEFORE, *lines, AFTER])))
    assert (event.kind.value, event.head, event.members) == ("warn", 2, list(range(1, 1 + len(lines))))


def test_a_warning_in_words_that_nobody_knows_is_one_where_the_kernel_traces_it() -> None:
    known_by_trace = "WARNING: something odd\nCPU: 0 PID: 41 Comm: sh Not tainted\nCall Trace:\n f+0x1/0x2"
    assert [event.kind.value for event in find_events(said(known_by_trace))] == ["warn"]
    assert find_events(said(f"WARNING: something odd\n{BEFORE}\n{AFTER}")) == []
    elsewhere = "sh: page allocation failure: order:9\nCPU: 0 PID: 41 Comm: sh\nCall Trace:\n f+0x1/0x2"
    assert find_events(said(f"WARNING: something odd\n{BEFORE}\n{elsewhere}")) == []


def test_a_task_whose_name_has_several_lines_is_recognised() -> None:
    console = b"[   99.000000][   T30] INFO: task a\n[   99.000000][   T30] b:c:77 blocked for more than 143 seconds.\n"
    kmsg = rb"3,9,99000000,-,caller=T30;INFO: task a\x0ab\x0a:77 blocked for more than 143 seconds." + b"\n"
    for lines in (parse_console(console), parse_kmsg(kmsg)):
        assert [event.kind.value for event in find_events(lines)] == ["hung_task"]
    apart = b"[   99.000000] INFO: task a\n[   99.500000] b:77 blocked for more than 143 seconds.\n"
    assert find_events(parse_console(apart)) == []


def test_of_a_very_long_report_all_lines_are_its_own_and_the_first_are_shown() -> None:
    lines = [LogLine(line, level=4) for line in ["WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2", *[" f+0x1/0x2"] * 1000]]
    answer = log_report(lines, KMSG)
    assert answer.warning_count == 1
    assert len(answer.events[0].lines) == EVENT_LINES_LIMIT + 1
    assert answer.events[0].lines[-1] == "[… 601 more lines of this report]"


def test_every_sample_is_recognised_on_consoles_of_all_styles() -> None:
    for name, text in [*((kind, text) for kind, text in EVENTS.items()), *ALL.values()]:
        for stamp in (
            "",
            "<4>",
            "[    1.000000] ",
            "[    1.000000][  T41] ",
            "[  T41] ",
            "<4>[12345678901.000000 ][ C1 ] ",
        ):
            console = "".join(f"{stamp}{line}\r\n" for line in text.split("\n")).encode()
            kinds = [event.kind.value for event in find_events(parse_console(console))]
            assert kinds == [name], (name, stamp)
