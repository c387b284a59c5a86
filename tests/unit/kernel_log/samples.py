"""Kernel messages of our own making, in the words of the kernel's sources; none is a copy of a real machine's log."""

NULL_POINTER = """\
BUG: kernel NULL pointer dereference, address: 0000000000000010
#PF: supervisor write access in kernel mode
#PF: error_code(0x0002) - not-present page
PGD 0 P4D 0
Oops: 0002 [#1] PREEMPT SMP NOPTI
CPU: 0 PID: 417 Comm: sh Tainted: G           OE      6.1.0-test #1
Hardware name: test machine
RIP: 0010:provoke_null+0x10/0x20 [provoke]
Code: 00 00 0f 1f 44 00 00
RSP: 0018:ffff00000000 EFLAGS: 00010246
Call Trace:
 <TASK>
 ? __die_body.cold+0x1a/0x1f
 provoke_store+0x2a/0x40 [provoke]
 </TASK>
Modules linked in: provoke(OE) virtio_net
CR2: 0000000000000010
---[ end trace 0000000000000000 ]---
RIP: 0010:provoke_null+0x10/0x20 [provoke]
note: sh[417] exited with irqs disabled"""

WARN = """\
------------[ cut here ]------------
counter went below zero
WARNING: CPU: 0 PID: 12 at drivers/test/provoke.c:41 provoke_warn+0x1b/0x30 [provoke]
Modules linked in: provoke(OE)
CPU: 0 PID: 12 Comm: sh Not tainted 6.1.0-test #1
Call Trace:
 <TASK>
 provoke_store+0x2a/0x40 [provoke]
 </TASK>
---[ end trace 0000000000000000 ]---"""

PANIC = """\
Kernel panic - not syncing: sysrq triggered crash
CPU: 0 PID: 1 Comm: sh Not tainted 6.1.0-test #1
Call Trace:
 <TASK>
 panic+0x118/0x2f4
 </TASK>
Kernel Offset: disabled
---[ end Kernel panic - not syncing: sysrq triggered crash ]---"""

KASAN = """\
==================================================================
BUG: KASAN: slab-out-of-bounds in provoke_oob+0x5c/0x80 [provoke]
Write of size 1 at addr ffff000000000041 by task sh/33

CPU: 0 PID: 33 Comm: sh Not tainted 6.1.0-test #1
Call Trace:
 dump_stack_lvl+0x49/0x63
The buggy address belongs to the object at ffff000000000000
 which belongs to the cache kmalloc-64 of size 64
Memory state around the buggy address:
>ffff000000000000: 00 00 01 fc fc fc
=================================================================="""

UBSAN = """\
------------[ cut here ]------------
UBSAN: array-index-out-of-bounds in drivers/test/provoke.c:77:9
index 8 is out of range for type 'int [4]'
CPU: 0 PID: 33 Comm: sh Not tainted 6.1.0-test #1
---[ end trace ]---"""

KCSAN = """\
==================================================================
BUG: KCSAN: data-race in provoke_read / provoke_write

write to 0xffffffff80000000 of 4 bytes by task 3 on cpu 1:
 provoke_write+0x10/0x20
value changed: 0x00000001 -> 0x00000002
=================================================================="""

LOCKDEP = """\
======================================================
WARNING: possible circular locking dependency detected
6.1.0-test #1 Not tainted
------------------------------------------------------
sh/41 is trying to acquire lock:
ffffffffc0000000 (lock_b){+.+.}-{3:3}, at: provoke_ab+0x20/0x40
but task is already holding lock:
ffffffffc0000040 (lock_a){+.+.}-{3:3}, at: provoke_ab+0x10/0x40

stack backtrace:
CPU: 0 PID: 41 Comm: sh Not tainted 6.1.0-test #1
 dump_stack_lvl+0x49/0x63"""

HUNG_TASK = """\
INFO: task provoke:77 blocked for more than 120 seconds.
      Not tainted 6.1.0-test #1
"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.
task:provoke         state:D stack:0     pid:77    ppid:1      flags:0x00004000
Call Trace:
 <TASK>
 schedule+0x5a/0xd0
 </TASK>"""

SOFT_LOCKUP = """\
watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [provoke:88]
Modules linked in: provoke(OE)
CPU: 0 PID: 88 Comm: provoke Tainted: G           OE      6.1.0-test #1
RIP: 0010:provoke_spin+0x4/0x10 [provoke]"""

HARD_LOCKUP = """\
watchdog: Watchdog detected hard LOCKUP on cpu 1
Modules linked in: provoke(OE)
CPU: 1 PID: 89 Comm: provoke Not tainted 6.1.0-test #1"""

RCU_STALL = """\
rcu: INFO: rcu_preempt self-detected stall on CPU
rcu: \t0-....: (5249 ticks this GP) idle=51e4/1/0x4000000000000000 softirq=309/309 fqs=2563
\t(t=5250 jiffies g=-319 q=608 ncpus=2)
NMI backtrace for cpu 0
CPU: 0 PID: 67 Comm: provoke Not tainted 6.1.0-test #1"""

BUG_ON = """\
------------[ cut here ]------------
kernel BUG at drivers/test/provoke.c:55!
invalid opcode: 0000 [#1] PREEMPT SMP
CPU: 0 PID: 9 Comm: sh Not tainted 6.1.0-test #1
---[ end trace 0000000000000000 ]---"""

EVENTS = {
    "null_pointer": NULL_POINTER,
    "warn": WARN,
    "panic": PANIC,
    "kasan": KASAN,
    "ubsan": UBSAN,
    "kcsan": KCSAN,
    "lockdep": LOCKDEP,
    "hung_task": HUNG_TASK,
    "soft_lockup": SOFT_LOCKUP,
    "hard_lockup": HARD_LOCKUP,
    "rcu_stall": RCU_STALL,
    "bug_on": BUG_ON,
}

HEADS = {
    "WARNING: CPU: 3 PID: 1 at 0xffffffff81000000": "warn",
    "WARNING: fs/test.c:12 at test_it+0x4/0x9, CPU#2: sh/99": "warn",
    "BUG: unable to handle page fault for address: ffffdead00000000": "oops",
    "BUG: unable to handle kernel NULL pointer dereference at 0000000000000008": "null_pointer",
    "Oops: Oops: 0000 [#1] SMP NOPTI": "oops",
    "Oops: general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] SMP": "oops",
    "general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#2] SMP": "oops",
    "Unable to handle kernel paging request at virtual address ffff800000000000": "oops",
    "Internal error: Oops: 0000000096000004 [#1] PREEMPT SMP": "oops",
    "BUG: KFENCE: use-after-free read in test_it+0x4/0x9": "kfence",
    "UBSAN: shift-out-of-bounds in lib/test.c:9:3": "ubsan",
    "WARNING: inconsistent lock state": "lockdep",
    "WARNING: suspicious RCU usage": "lockdep",
    "INFO: task kworker/u8:3:1234 blocked for more than 241 seconds.": "hung_task",
    "NMI watchdog: BUG: soft lockup - CPU#3 stuck for 23s! [a b:9]": "soft_lockup",
    "watchdog: CPU28: Watchdog detected hard LOCKUP on cpu 28": "hard_lockup",
    "NMI watchdog: Watchdog detected hard LOCKUP on cpu 2": "hard_lockup",
    "INFO: rcu_sched detected stalls on CPUs/tasks: { 2} (detected by 0, t=60002 jiffies)": "rcu_stall",
    "rcu: INFO: rcu_sched detected expedited stalls on CPUs/tasks: { 1-... } 21 jiffies s: 9": "rcu_stall",
    "BUG: scheduling while atomic: sh/1/0x00000002": "bug",
    "BUG: sleeping function called from invalid context at kernel/test.c:5": "bug",
}

LOOK_ALIKES = (
    "sysrq: Trigger a crash",
    "test: Kernel panic - not syncing: quoted",
    "panic: not the kernel's",
    "Kernel panic handlers registered",
    "Kernel command line: root=/dev/vda panic=0 oops=panic",
    "audit: comm=panic",
    " BUG: kernel NULL pointer dereference, address: 0",
    "usb 1-1: WARNING: CPU: 0 PID: 1 at home",
    "WARNING: this is a driver's own word",
    "WARNING: CPU: a PID: b at all",
    "kasan: KernelAddressSanitizer initialized",
    "KASAN: init done",
    "UBSAN: disabled",
    "UBSAN: enabled in config",
    "kcsan: enabled early",
    "rcu: Hierarchical RCU implementation.",
    "rcu: RCU calculated value of scheduler-enlistment delay is 25 jiffies.",
    "INFO: task force was blocked for good",
    "NMI watchdog: Enabled. Permanently consumes one hw-PMU counter.",
    "watchdog: Delayed init of the lockup detector failed",
    "lockdep is turned off.",
    "Oops: somebody said",
    "oops: 0000 [#1]",
    "invalid opcode: 0000",
    "DEBUG: KASAN: nothing",
    "EXT4-fs (vda1): mounted filesystem with ordered data mode",
)
