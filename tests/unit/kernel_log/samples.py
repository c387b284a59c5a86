"""Kernel messages of our own making, in the words of the kernel's sources; none is a copy of a real machine's log."""

from collections.abc import Sequence

from reconciler.kernel_log.kernel_events import Event, find_all
from reconciler.kernel_log.line import LogLine

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

SLAB = """\
=============================================================================
BUG kmalloc-96 (Tainted: G    B             ): Redzone overwritten
-----------------------------------------------------------------------------

0xffff000000001060-0xffff000000001067 @offset=96. First byte 0x0 instead of 0xcc
Allocated in provoke_store+0x2a/0x40 age=12 cpu=1 pid=31
 __kmalloc+0x1c0/0x2f0
Freed in provoke_free+0x1a/0x30 age=15 cpu=0 pid=30
Slab 0xffff0000000f0000 objects=42 used=3 fp=0xffff000000001180 flags=0x200
Object   ffff000000001000: 6b 6b 6b 6b 6b 6b 6b 6b  kkkkkkkk
Redzone  ffff000000001060: 00 00 00 00 00 00 00 00  ........
CPU: 1 PID: 31 Comm: sh Tainted: G    B              6.1.0-test #1
Call Trace:
 dump_stack_lvl+0x49/0x63
FIX kmalloc-96: Restoring Redzone 0xffff000000001060-0xffff000000001067=0xcc"""

MEMORY_LEAK = """\
kmemleak: unreferenced object 0xffff000000002000 (size 128):
kmemleak:   comm "insmod", pid 77, jiffies 4294900000
kmemleak:   hex dump (first 32 bytes):
kmemleak:     00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f  ................
kmemleak:   backtrace (crc 0):
kmemleak:     [<0000000000001234>] provoke_leak+0x20/0x40 [provoke]"""

REFERENCE_LEAK = """\
unregister_netdevice: waiting for veth7 to become free. Usage count = 3
ref_tracker: netdev@ffff000000003000 has 1/2 users at
     provoke_hold+0x30/0x50
     process_one_work+0x1d0/0x3d0"""

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
    "slab": SLAB,
    "memory_leak": MEMORY_LEAK,
    "reference_leak": REFERENCE_LEAK,
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
    'WARNING: [index >= limit && "odd ] text"] fs/test.c:12 at test_it+0x4/0x9 [test], CPU#2: sh/99': "warn",
    "WARNING: CPU: 0 PID: -17 at kernel/test.c:1 test_it+0x4/0x9": "warn",
    "WARNING: at kernel/test.c:12 test_it+0x4/0x9()": "warn",
    "WARNING: kernel stack frame pointer at 00000000aabbccdd in sh:12 has bad value 0000000000000001": "warn",
    "WARNING: can't access registers at test_entry+0x4/0x9": "warn",
    "WARNING: stack recursion on stack type 4": "warn",
    "BUG: unable to handle kernel ": "oops",
    "BUG: TASK stack guard page was hit at 00000000aabbccdd (stack is 0000000011223344..0000000055667788)": "oops",
    "Oops: stack guard page: 0000 [#1] SMP NOPTI": "oops",
    "stack guard page: 0000 [#1] PREEMPT SMP": "oops",
    "kernel stack overflow (double-fault): 0000 [#1] SMP": "oops",
    "segment-related general protection fault: a000 [#1] SMP": "oops",
    "divide_error: 0000 [#1]": "oops",
    "fpu exception: 0000 [#1] SMP": "oops",
    "simd exception: 0000 [#1] SMP": "oops",
    "iret exception: 0000 [#3] PREEMPT SMP": "oops",
    "a trap of tomorrow: 0000 [#1] PREEMPT SMP": "oops",
    "traps: PANIC: double fault, error_code: 0x0": "oops",
    "PANIC: early exception 0x0e IP 10:ffffffff81000000 error 0 cr2 0x8": "panic",
    "Unable to handle kernel write to read-only memory at virtual address ffff800008000000": "oops",
    "Unable to handle kernel NULL pointer dereference at virtual address 00000004 when read": "null_pointer",
    "Internal error: Oops - undefined instruction: 0 [#1] SMP ARM": "oops",
    "Internal error: : 1008 [#2] PREEMPT ARM": "oops",
    "Bad mode in Error handler detected on CPU1, code 0xbf000002 -- SError": "oops",
    "Insufficient stack space to handle exception!": "oops",
    "Oops [#1]": "oops",
    "Oops - load access fault [#2]": "oops",
    "Kernel BUG [#1]": "bug_on",
    "Oops[#1]:": "oops",
    "Kernel bug detected[#1]:": "bug_on",
    "CPU 1 Unable to handle kernel paging request at virtual address 00000010, epc == 80112233, ra == 80112244": "oops",
    "BUG: Kernel NULL pointer dereference on read at 0x00000010": "null_pointer",
    "BUG: Unable to handle kernel data access on write at 0xc00800000f000000": "oops",
    "Oops: Kernel access of bad area, sig: 11 [#1]": "oops",
    "Unable to handle kernel pointer dereference in virtual kernel address space": "oops",
    "Oops: 0004 ilc:2 [#1] SMP": "oops",
    "Low-address protection: 0004 ilc:2 [#1] SMP": "oops",
    "Bad mode in Synchronous Abort handler detected, code 0x86000004 -- IABT (current EL)": "oops",
    "SError Interrupt on CPU0, code 0x00000000be000011 -- SError": "oops",
    "Fixing recursive fault but reboot is needed!": "oops",
    "Watchdog detected hard LOCKUP on cpu 3": "hard_lockup",
    "Unhandled fault: synchronous external abort (0x96000010) at 0xffff000012345678": "oops",
    "Unhandled fault: imprecise external abort (0x1406) at 0x00000000": "oops",
    "illegal operation: 0001 ilc:1 [#1] SMP": "oops",
    "sh(41): Oops [#1]": "oops",
    "Kernel BUG at test_it+0x4/0x9 [verbose debug info unavailable]": "bug_on",
    "[ INFO: possible circular locking dependency detected ]": "lockdep",
    "[ INFO: suspicious RCU usage. ]": "lockdep",
    "[ INFO: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected ]": "lockdep",
    "[ BUG: held lock freed! ]": "lockdep",
    "[ BUG: sh/41 still has locks held! ]": "lockdep",
    "INFO: task sh:41 can't die for more than 143 seconds.": "hung_task",
    "INFO: task sh:-41 blocked for more than 143 seconds.": "hung_task",
    "INFO: task sh:41 blocked in I/O wait for more than 120 seconds.": "hung_task",
    "INFO: rcu_tasks detected stalls on tasks:": "rcu_stall",
    "rcu: INFO: rcu_tasks_trace detected stalls on tasks:": "rcu_stall",
    "INFO: rcu_sched_state detected stall on CPU 1 (t=2100 jiffies)": "rcu_stall",
    "watchdog: CPU 4 self-detected hard LOCKUP @ test_it+0x4/0x9": "hard_lockup",
    "BUG test-cache: Object already free": "slab",
    "slab error in test_redzone_free(): cache `size-64': memory outside object was overwritten": "slab",
    "unreferenced object 0xffff000000002000 (size 128):": "memory_leak",
    "VFS: Busy inodes after unmount of vdb (ext4)": "reference_leak",
    "CFI failure at test_it+0x4/0x9 (target: test_other+0x0/0x9; expected type: 0x12345678)": "oops",
    "kmemleak: 12 new suspected memory leaks (see /sys/kernel/debug/kmemleak)": "memory_leak",
    "BUG: scheduling while atomic: sh/1/0x00000002": "bug",
    "[ INFO: suspicious rcu_dereference_check() usage. ]": "lockdep",
    "BUG: KASan: out of bounds access in test_it+0x4/0x9 at addr ffff000000000041": "kasan",
    "WARNING: kmemcheck: Caught 32-bit read from uninitialized memory (ffff000000000041)": "warn",
    "Badness at kernel/test.c:12": "warn",
    "sched: CPU 1 need_resched set for > 100000000 ns (25 ticks) without schedule": "warn",
    "Oops: kernel access of bad area, sig: 11": "oops",
    "Unhandled 64-bit el1h sync exception on CPU0, ESR 0x0000000002000000 -- Unknown/Uncategorized": "oops",
    "smp: csd: Detected non-responsive CSD lock (#1) on CPU#2, waiting 5000000032 ns for CPU#00 f+0x0/0x9(0x0).": (
        "hard_lockup"
    ),
    "INFO: RCU detected CPU 1 stall (t=10000 jiffies)": "rcu_stall",
    "INFO: RCU detected CPU stalls: 1 (detected by 0, t=10002 jiffies)": "rcu_stall",
    "bad: scheduling from the idle thread!": "bug",
    "huh, entered softirq 3 NET_RX 00000000aabbccdd with preempt_count 00000101, exited with 00000100?": "bug",
    'irq 16: nobody cared (try booting with the "irqpoll" option)': "bug",
    "irq event 16: bogus return value ffffffff": "bug",
    "swap_info_get: Bad swap file entry 3ffffffffffff": "bug",
    "_swap_info_get: Unused swap offset entry 00000017": "bug",
    "mm/pgtable-generic.c:50: bad pmd 00000000aabbccdd(0000000000000001)": "bug",
    "get_swap_device: Bad swap file entry 3ffffffffffff": "bug",
    "swap_free: Unused swap offset entry 00000017": "bug",
    "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 33s!": "bug",
    "BUG: sleeping function called from invalid context at kernel/test.c:5": "bug",
}

LOOK_ALIKES = (
    "Unhandled fault: alignment exception (0x001) at 0x0000beef",
    "traps: trial[77] general protection fault ip:7f12 sp:7f34 error:0 in libc.so[7f00+1000]",
    "spectre_v2: WARNING: Unprivileged eBPF is enabled with eIBRS on",
    "ACPI BIOS Warning (bug): 32/64X length mismatch in FADT/Gpe0Block",
    "kernel BUG hunting",
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
    "BUG:",
    "INFO: task",
    "INFO: Stall ended before state dump start",
    "INFO: NMI handler (test_handler) took too long to run: 1.2 msecs",
    "WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks, data leaks possible!",
    "BUG test (Not tainted): kasan: bad access detected",
    "Kernel panic-on-warn is on",
    "rcu: srcu_init: Setting srcu_struct sizes based on contention.",
    "unregister_netdevice: veth7 is gone",
    "VFS: Mounted root (ext4 filesystem) readonly on device 254:1.",
    "kmemleak: Kernel memory leak detector initialized (mem pool available: 15679)",
    "Kernel Offset: disabled",
    "divide error handling enabled",
    "sh(41): Opened [#1]",
    "EXT4-fs (vda1): mounted filesystem with ordered data mode",
    "Kernel command line: console=ttyS0 panic=1 panic_on_warn=1 softlockup_panic=1 oops=panic nmi_watchdog=panic",
    "Command line: BOOT_IMAGE=/boot/BUG.img root=/dev/vda",
    "Bugzilla: starting",
    "BUGGY-HUB: registered",
    "oops_counter: loading out-of-tree module taints kernel.",
    "Oopsie 1.0: loaded [#2]",
    "panic_notifier: module verification failed: signature and/or required key missing - tainting kernel",
    "pstore: Using crash dump compression: deflate",
    "mtdoops: mtd device (mtddev=name/number) must be supplied",
    "ramoops: using module parameters",
    "hung_task: detection is on",
    "INFO: recovery required on readonly filesystem",
    "watchdog: Hard watchdog permanently disabled",
    "kfence: initialized - using 2097152 bytes for 255 objects at 0x(ptrval)-0x(ptrval)",
    "rcu: \tRCU debug extended QS entry/exit.",
    "rcu: \tRCU dyntick-idle grace-period acceleration is enabled.",
    "Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar",
    "ftrace: allocating 41523 entries in 163 pages",
    "irq 16: Affinity broken due to vector space exhaustion.",
    "smp: Bringing up secondary CPUs ...",
    "sched: DL replenish lagged too much",
    "swap_free test passed",
    "Unhandled exception handler registered on CPU0",
    "[Firmware Bug]: TSC ADJUST: CPU0: -4 force to 0",
    "ACPI Error: AE_NOT_FOUND, BUG in table",
    "systemd[1]: Starting panic.service - Oops: handler...",
    "random: crng init done",
    "NMI watchdog: Perf NMI watchdog permanently disabled",
)


def find_events(lines: Sequence[LogLine]) -> list[Event]:
    """All events among the lines, in order."""
    return find_all(lines, len(lines)).events
