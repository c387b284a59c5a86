"""Oopses and lockups of our own making, as the kernel of each architecture prints them (`die`, `show_regs` of each)."""

X86_SOFT_LOCKUP = """\
watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [provoke:88]
Modules linked in: provoke(OE) virtio_net
irq event stamp: 12345
hardirqs last  enabled at (12344): [<ffffffff81000001>] provoke_spin+0x1/0x10
softirqs last disabled at (12301): [<ffffffff81000002>] provoke_soft+0x1/0x10
CPU: 1 UID: 0 PID: 88 Comm: provoke Tainted: G           OE      6.12.0-test #1
Tainted: [O]=OOT_MODULE, [E]=UNSIGNED_MODULE
Hardware name: test machine
RIP: 0010:provoke_spin+0x4/0x10 [provoke]
Code: 90 90 90 90 90 90 90 90 eb fe <90> 90
RSP: 0018:ffffc900001d3e10 EFLAGS: 00000246
RAX: 0000000000000000 RBX: ffff888000000001 RCX: 0000000000000000
RDX: 0000000000000001 RSI: ffffffff82000000 RDI: 0000000000000000
RBP: ffffc900001d3e20 R08: 0000000000000001 R09: 0000000000000000
R10: 0000000000000001 R11: 0000000000000000 R12: ffff888000000002
R13: ffff888000000003 R14: 0000000000000000 R15: 0000000000000000
FS:  00007f0000000000(0000) GS:ffff88807d000000(0000) knlGS:0000000000000000
CS:  0010 DS: 0000 ES: 0000 CR0: 0000000080050033
CR2: 00007f0000001000 CR3: 0000000001000000 CR4: 0000000000750ef0
DR0: 0000000000000000 DR1: 0000000000000000 DR2: 0000000000000000
PKRU: 55555554
Call Trace:
 <IRQ>
 ? watchdog_timer_fn+0x1a0/0x1b0
 </IRQ>
 <TASK>
 provoke_store+0x2a/0x40 [provoke]
 entry_SYSCALL_64_after_hwframe+0x4b/0x53
RIP: 0033:0x7f0000001234
RSP: 002b:00007ffc00000008 EFLAGS: 00000246 ORIG_RAX: 0000000000000001
 </TASK>"""

X86_OLD = """\
BUG: unable to handle kernel paging request at ffffdead00000000
IP: [<ffffffffa0000010>] provoke_old+0x10/0x20 [provoke]
PGD 1a0d067 PUD 1a0f067 PMD 0
Oops: 0000 [#1] SMP
Modules linked in: provoke(OE)
CPU: 0 PID: 41 Comm: sh Tainted: G           OE   4.4.0-test #1
task: ffff880000000001 ti: ffff880000000002 task.ti: ffff880000000002
Stack:
 ffff880000000003 0000000000000000 ffffffff81000001 ffff880000000004
Call Trace:
 [<ffffffff81000001>] ? provoke_caller+0x1/0x10
 [<ffffffff81000002>] sys_write+0x1/0x10
RIP  [<ffffffffa0000010>] provoke_old+0x10/0x20 [provoke]
 RSP <ffff880000000005>
CR2: ffffdead00000000
---[ end trace 0123456789abcdef ]---"""

ARM64 = """\
Unable to handle kernel NULL pointer dereference at virtual address 0000000000000010
Mem abort info:
  ESR = 0x0000000096000044
  EC = 0x25: DABT (current EL), IL = 32 bits
Data abort info:
  ISV = 0, ISS = 0x00000044
user pgtable: 4k pages, 48-bit VAs, pgdp=0000000041000000
[0000000000000010] pgd=0000000000000000, p4d=0000000000000000
Internal error: Oops: 0000000096000044 [#1] PREEMPT SMP
Modules linked in: provoke(OE)
CPU: 0 PID: 41 Comm: sh Tainted: G           OE      6.1.0-test #1
Hardware name: linux,dummy-virt (DT)
pstate: 60400005 (nZCv daif +PAN -UAO -TCO -DIT -SSBS BTYPE=--)
pc : provoke_null+0x10/0x20 [provoke]
lr : provoke_store+0x2a/0x40 [provoke]
sp : ffff800009000cd0
x29: ffff800009000cd0 x28: ffff000000000001 x27: 0000000000000000
x2 : 0000000000000001 x1 : 0000000000000000 x0 : 0000000000000010
Call trace:
 provoke_null+0x10/0x20 [provoke]
 el0_svc+0x2c/0x84
Code: d503201f d503233f aa1e03e9 d503201f (b9000001)
---[ end trace 0000000000000000 ]---"""

ARM = """\
8<--- cut here ---
Unable to handle kernel paging request at virtual address dead0004 when write
[dead0004] *pgd=00000000
Internal error: Oops: 805 [#1] SMP ARM
Modules linked in:
CPU: 0 PID: 41 Comm: sh Not tainted 6.1.0-test #1
Hardware name: Generic DT based system
PC is at provoke_null+0x10/0x20
LR is at provoke_store+0x2a/0x40
pc : [<c0100010>]    lr : [<c0100030>]    psr: 60000013
sp : d0801e50  ip : 00000000  fp : d0801e64
r10: 00000000  r9 : c1000001  r8 : c1000002
r3 : 00000001  r2 : 00000000  r1 : 00000000  r0 : dead0004
Flags: nZCv  IRQs on  FIQs on  Mode SVC_32  ISA ARM  Segment none
Control: 10c5387d  Table: 40004059  DAC: 00000051
Register r0 information: non-paged memory
Process sh (pid: 41, stack limit = 0x(ptrval))
Stack: (0xd0801e50 to 0xd0802000)
1e40:                                     c1000001 c1000002 00000000 00000001
1e60: c0100030 c1000003 c1000004 00000000 00000001 00000002 c1000005 c1000006
Backtrace:
[<c0100000>] (provoke_null) from [<c0100030>] (provoke_store+0x2a/0x40)
 provoke_store from vfs_write+0x100/0x200
Code: e92d4010 e1a04000 e3a03001 e5843000 (e5803000)
---[ end trace 0000000000000000 ]---"""

RISCV = """\
Unable to handle kernel access to user memory without uaccess routines at virtual address 0000000000000010
Oops [#1]
Modules linked in: provoke(OE)
CPU: 0 PID: 41 Comm: sh Tainted: G           OE      6.1.0-test #1
Hardware name: riscv-virtio,qemu (DT)
epc : provoke_null+0x10/0x20 [provoke]
 ra : provoke_store+0x2a/0x40 [provoke]
epc : ffffffff01000010 ra : ffffffff01000030 sp : ff20000000000d00
 gp : ffffffff81000001 tp : ff60000000000001 t0 : 0000000000000001
 s10: 0000000000000000 s11: 0000000000000000 t3 : 0000000000000002
status: 0000000200000120 badaddr: 0000000000000010 cause: 000000000000000f
[<ffffffff01000010>] provoke_null+0x10/0x20 [provoke]
[<ffffffff80000001>] ret_from_syscall+0x0/0x2
Code: 0001 0001 1141 e422 0800 (c39c)
---[ end trace 0000000000000000 ]---"""

POWERPC = """\
Kernel attempted to write user page (10) - exploit attempt? (uid: 0)
BUG: Kernel NULL pointer dereference on write at 0x00000010
Faulting instruction address: 0xc008000000000010
Oops: Kernel access of bad area, sig: 11 [#1]
LE PAGE_SIZE=64K MMU=Radix SMP NR_CPUS=2048 NUMA pSeries
Modules linked in: provoke(OE)
CPU: 0 PID: 41 Comm: sh Tainted: G           OE      6.1.0-test #1
NIP:  c008000000000010 LR: c008000000000030 CTR: c008000000000000
REGS: c000000010000001 TRAP: 0300   Tainted: G           OE       (6.1.0-test)
MSR:  800000000280b033 <SF,VEC,VSX,EE,FP,ME,IR,DR,RI,LE>  CR: 24002422  XER: 00000000
CFAR: c008000000000008 DAR: 0000000000000010 DSISR: 42000000 IRQMASK: 0
GPR00: c008000000000030 c000000010000002 c008000000008100 0000000000000010
NIP [c008000000000010] provoke_null+0x10/0x20 [provoke]
LR [c008000000000030] provoke_store+0x2a/0x40 [provoke]
Call Trace:
[c000000010000003] [c000000010000004] 0xc000000010000004 (unreliable)
[c000000010000005] [c0000000004f0000] vfs_write+0x100/0x200
--- interrupt: c00 at 0x7fff00001234
Instruction dump:
60000000 60000000 60000000 60000000 3c4c0000 38427ff0 39200001 <91230000>
---[ end trace 0000000000000000 ]---"""

S390 = """\
Unable to handle kernel pointer dereference in virtual kernel address space
Failing address: 0000000000000000 TEID: 0000000000000483
Fault in home space mode while using kernel ASCE.
AS:0000000001000007 R3:0000000002000007 S:0000000003000000 P:000000000000013d
Oops: 0004 ilc:2 [#1] SMP
Modules linked in: provoke(OE)
CPU: 0 PID: 41 Comm: sh Tainted: G           OE      6.1.0-test #1
Hardware name: QEMU 8561 QEMU (KVM/Linux)
Krnl PSW : 0704c00180000000 000003ff80000010 (provoke_null+0x10/0x20 [provoke])
           R:0 T:1 IO:1 EX:1 Key:0 M:1 W:0 P:0 AS:3 CC:0 PM:0 RI:0 EA:3
Krnl GPRS: 0000000000000001 0000000000000002 0000000000000003 0000000000000004
           0000000000000005 0000000000000006 0000000000000007 0000000000000008
Krnl Code: 000003ff80000008: 0707                bcr     0,%r7
          >000003ff80000010: 50102000            st      %r1,0(%r2)
Call Trace:
 [<000003ff80000010>] provoke_null+0x10/0x20 [provoke]
([<000003ff80000030>] provoke_store+0x2a/0x40 [provoke])
Last Breaking-Event-Address:
 [<000003ff80000028>] provoke_store+0x22/0x40 [provoke]
---[ end trace 0000000000000000 ]---"""

MIPS = """\
CPU 0 Unable to handle kernel paging request at virtual address 00000010, epc == 80100010, ra == 80100030
Oops[#1]:
CPU: 0 PID: 41 Comm: sh Tainted: G           OE      6.1.0-test #1
$ 0   : 00000000 00000001 00000010 80000001
$ 4   : 80000002 80000003 00000000 00000000
Hi    : 00000000
Lo    : 00000001
epc   : 80100010 provoke_null+0x10/0x20 [provoke]
ra    : 80100030 provoke_store+0x2a/0x40 [provoke]
Status: 1000a403\tKERNEL EXL IE
Cause : 0080000c (ExcCode 03)
BadVA : 00000010
PrId  : 00019300 (MIPS 24Kc)
Modules linked in: provoke(OE)
Process sh (pid: 41, threadinfo=80000004, task=80000005, tls=77000000)
Stack : 00000000 80000001 00000000 80000002 00000000 80000003 00000000 80000004
        00000000 80000005 00000000 80000006 00000000 80000007 00000000 80000008
Call Trace:
[<80100010>] provoke_null+0x10/0x20 [provoke]
[<80100030>] provoke_store+0x2a/0x40 [provoke]
Code: 00000000  00000000  24020001 <ac820000> 03e00008
---[ end trace 0000000000000000 ]---"""

REPORTS = {
    "x86 soft lockup": ("soft_lockup", X86_SOFT_LOCKUP),
    "x86 before 4.11": ("oops", X86_OLD),
    "arm64": ("null_pointer", ARM64),
    "arm": ("oops", ARM),
    "riscv": ("oops", RISCV),
    "powerpc": ("null_pointer", POWERPC),
    "s390": ("oops", S390),
    "mips": ("oops", MIPS),
}
