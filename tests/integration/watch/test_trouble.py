"""`vmcluster watch` while guests, libvirtd or the store are in trouble: it is told clearly, and nothing made worse."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu
import pytest

from reconciler.errors import ClusterNotRunning, Obstructed
from reconciler.frontends.cli.cluster_commands import CHANGES
from tests.integration.bed import Audit, Bed, Session, audit, host_libvirt
from tests.integration.clusters.test_kills import CLUSTER, define, start, stop
from tests.integration.kills import run
from tests.integration.snapshots.films import small_nodes
from tests.integration.watch.conftest import RESYNC_S, WatchProcess, watching
from tests.integration.watch.test_repairs import conditions, domain, in_session, whole
from tests.lab.daemons import start_libvirtd, stop_libvirtd
from tests.waiting import wait_until

AWAY_S = 20.0
LOCKED_S = 4.0
HUNG_S = 20.0
MOST_CPU_SHARE = 0.1
MOST_THREADS = 24
"""The thread pools are full at some point, whatever hangs; later rounds start no more threads."""

SMALL_DISK_MIB = 96
WRITES_EVERYWHERE = bytes.fromhex(
    "31c0 8ed8 8ed0 bc007c"  # xor ax, ax; mov ds, ax; mov ss, ax; mov sp, 0x7c00
    "b80043 be1e7c cd13"  # again: mov ax, 0x4300; mov si, packet; int 0x13 (write sectors, of the disk in dl)
    "8106267c8000 8316287c00 ebeb"  # add word [lba], 128; adc word [lba + 2], 0; jmp again
)
WRITTEN_FIRST = "1000 0100 007c 0000 8000000000000000"  # packet: one sector from 0x7c00, to sector 128
STOPS_KVM = bytes.fromhex("d9fe ea000000a0")
"""fsin, which a KVM that emulates cannot; then a jump to what is no memory, which no other KVM can."""
SUSPENDS_ONCE = bytes.fromhex(
    "b060 e670 e471 3c5a 740f"  # once: a mark in the CMOS
    "b060 e670 b05a e671 ba0406 b80024 ef"  # set it; out 0x604, 0x2400 (PM1a_CNT of Q35: SLP_EN, to S3)
    "f4 ebfd"
)
PANICKED = "o /1 0x505 1"  # what a guest's kernel writes to pvpanic's port: docs/specs/pvpanic.rst of QEMU


@pytest.fixture
def expected(bed: Bed) -> Audit:
    bed.write_topology(CLUSTER, edit=small_nodes)
    run(bed, define, start)
    return audit(bed)


def obstacles(bed: Bed) -> dict[str | None, str]:
    """What is in the way, by node."""
    said: dict[str | None, str] = {}

    async def read(session: Session) -> None:
        status = await session.runtime.store.status(CLUSTER)
        assert status is not None
        said.update({of.node: of.message for of in status.obstacles})

    asyncio.run(in_session(bed, read))
    return said


def threads(service: WatchProcess) -> int:
    return len(list(Path(f"/proc/{service.process.pid}/task").iterdir()))


def stays_untouched(service: WatchProcess) -> bool:
    """Whether some resyncs more bring no action."""
    before = len(service.logged("action"))
    time.sleep(2.5 * RESYNC_S)
    return len(service.logged("action")) == before


def test_a_panicked_guest_is_reported_with_its_remedy_and_kept_as_it_is(
    bed: Bed, expected: Audit, watch: WatchProcess
) -> None:
    with host_libvirt() as handle:
        command = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
        libvirt_qemu.qemuMonitorCommand(domain(handle), PANICKED, command)
        wait_until(lambda: "panicked" in obstacles(bed).get("n0", ""))
        assert "`node_crash`" in obstacles(bed)["n0"]
        assert stays_untouched(watch)
        assert domain(handle).state() == [libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED]
        domain(handle, "n1").destroy()  # drift of the other one is still repaired
        wait_until(lambda: audit(bed).active == expected.active)
        wait_until(lambda: {entry["node"] for entry in watch.logged("action")} == {"n1"})


@pytest.fixture
def small_disk(bed: Bed) -> Iterator[Path]:
    """A file system for the overlays of this bed that is soon full."""
    place = bed.settings.overlay_dir
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MIB}m,mode=0755", "none", place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def one_node(bed: Bed, sector: bytes, **settings: Any) -> None:
    """Define a cluster of one small node with that boot sector."""

    def edit(document: dict[str, Any]) -> None:
        small_nodes(document)
        document["base_image"] = str(bed.sector_image(sector))
        document["nodes"][0] |= settings

    bed.write_topology(CLUSTER, nodes=1, edit=edit)
    run(bed, define)


async def boot(session: Session) -> None:
    await session.clusters.start(CLUSTER, wait_for_ssh=False)


async def boot_into_trouble(session: Session) -> None:
    """Start the node, whose guest stops by itself: the command says so if the service sees that before it is done."""
    with suppress(Obstructed):
        await boot(session)


def reason(handle: Any) -> list[int]:
    return list(domain(handle).state())


@pytest.mark.skipif(not Path("/dev/kvm").exists(), reason="only a KVM stops a guest by an internal error")
def test_a_guest_that_kvm_cannot_run_is_reported_in_qemus_words_and_never_as_paused_by_somebody(bed: Bed) -> None:
    one_node(bed, STOPS_KVM, virt_type="kvm", cpu="pentium3")
    with watching(bed) as service, host_libvirt() as handle:
        run(bed, boot_into_trouble)
        wait_until(lambda: "stopped by QEMU itself" in obstacles(bed).get("n0", ""), timeout_s=120)
        told = obstacles(bed)["n0"]
        assert all(words in told for words in ("KVM internal error. Suberror: 1", "`node_crash`", "virt_type: qemu"))
        assert f" at {time.strftime('%Y-%m-%d', time.gmtime())} " in told
        assert ("paused" in told, "cluster_start" in told) == (False, False)
        assert reason(handle) == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_UNKNOWN]
        shown = vmcluster(bed, "status", CLUSTER, timeout_s=60).stdout
        assert ("crashed" in shown, "paused" in shown) == (True, False)
        libvirt_qemu.qemuMonitorCommand(domain(handle), "info status", libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
        assert stays_untouched(service)
        still = obstacles(bed)["n0"]
        assert all(words in still for words in ("stopped by QEMU itself at ", ": internal error")), still
    failed = vmcluster(bed, "start", CLUSTER, timeout_s=60)
    assert "KVM internal error" in failed.stderr
    assert failed.returncode == 1
    planned = vmcluster(bed, "plan", CLUSTER, timeout_s=60)
    for words in ("cut power: was stopped by QEMU itself", "KVM internal error", "its memory is lost", "[restart]"):
        assert words in planned.stdout
    assert "needs --allow-restart" in planned.stdout
    assert planned.returncode == CHANGES
    refused = vmcluster(bed, "apply", CLUSTER, "--no-wait", timeout_s=60)
    assert "its memory is lost" in refused.stdout
    assert "`vmcluster doctor` shows whether KVM works" in refused.stdout
    assert "APPROVAL_REQUIRED" in refused.stderr
    with host_libvirt() as handle:
        before = domain(handle).ID()
        agreed = vmcluster(bed, "apply", CLUSTER, "--no-wait", "--allow-restart", timeout_s=120)
        assert domain(handle).ID() not in {-1, before}, agreed
    run(bed, stop)
    assert audit(bed).active == frozenset()


def test_a_guest_that_suspended_itself_is_told_so_and_is_woken_when_asked(bed: Bed) -> None:
    one_node(bed, SUSPENDS_ONCE)
    with watching(bed), host_libvirt() as handle:
        run(bed, boot_into_trouble)
        wait_until(lambda: "has suspended itself to memory" in obstacles(bed).get("n0", ""))
        assert reason(handle)[0] == libvirt.VIR_DOMAIN_PMSUSPENDED
        run(bed, boot)
        wait_until(lambda: reason(handle)[0] == libvirt.VIR_DOMAIN_RUNNING)


def test_a_guest_that_was_stopped_through_qemus_own_monitor_is_paused_by_somebody(
    bed: Bed, expected: Audit, watch: WatchProcess
) -> None:
    with host_libvirt() as handle:
        run(bed, boot)
        libvirt_qemu.qemuMonitorCommand(domain(handle), "stop", libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
        assert reason(handle) == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_UNKNOWN]
        wait_until(lambda: obstacles(bed).get("n0", "").startswith("the guest is paused (since 2"))
        run(bed, boot)
        assert reason(handle)[0] == libvirt.VIR_DOMAIN_RUNNING
        assert whole(bed, expected)
        assert watch.process.poll() is None


def test_a_node_whose_qemu_was_killed_is_said_to_have_ended_unexpectedly_and_started_for_that_reason(
    bed: Bed, expected: Audit
) -> None:
    async def asked(session: Session) -> None:
        with pytest.raises(ClusterNotRunning, match="its QEMU ended unexpectedly at 2"):
            await session.nodes.run(CLUSTER, "n0", "true")

    with host_libvirt() as handle:
        machine = int(Path(f"/run/libvirt/qemu/{domain(handle).name()}.pid").read_text())
        os.kill(machine, signal.SIGKILL)
        wait_until(lambda: reason(handle) == [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED])
        run(bed, asked)
    with watching(bed):
        wait_until(lambda: audit(bed).active == expected.active)
    history = vmcluster(bed, "events", CLUSTER, timeout_s=60)
    assert "its QEMU ended unexpectedly" in history.stdout, history


def test_a_guest_on_a_full_disk_is_reported_with_its_remedy_and_runs_on_when_asked(bed: Bed, small_disk: Path) -> None:
    one_node(bed, WRITES_EVERYWHERE + bytes.fromhex(WRITTEN_FIRST))
    ballast = small_disk / "ballast"
    subprocess.run(["fallocate", "-l", f"{SMALL_DISK_MIB - 8}M", ballast], check=True)
    with watching(bed) as service, host_libvirt() as handle:
        run(bed, boot)
        wait_until(lambda: "I/O error" in obstacles(bed).get("n0", ""))
        assert reason(handle) == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR]
        assert "on vda: no space left" in obstacles(bed)["n0"]
        assert "cluster_start" in obstacles(bed)["n0"]
        assert stays_untouched(service)
        ballast.unlink()
        run(bed, boot)
        assert reason(handle)[0] == libvirt.VIR_DOMAIN_RUNNING


def test_libvirtd_away_costs_no_processor_time_and_what_happened_meanwhile_is_repaired(
    bed: Bed, expected: Audit, watch: WatchProcess
) -> None:
    with host_libvirt() as handle:
        machine = next(int(path.read_text()) for path in Path("/run/libvirt/qemu").glob(f"{domain(handle).name()}.pid"))
    stop_libvirtd()
    try:
        os.kill(machine, signal.SIGKILL)
        before_s = watch.cpu_s()
        time.sleep(AWAY_S)
        share = (watch.cpu_s() - before_s) / AWAY_S
        assert share < MOST_CPU_SHARE, f"{share:.1%} of a core while libvirtd was away"
        assert threads(watch) <= MOST_THREADS
        assert conditions(bed)["Ready"].startswith("Unknown:"), conditions(bed)
    finally:
        start_libvirtd()
    wait_until(lambda: whole(bed, expected))
    assert watch.process.poll() is None


@contextmanager
def locked_store(bed: Bed) -> Iterator[None]:
    """Another program that keeps everybody from writing."""
    with closing(sqlite3.connect(bed.settings.state_dir / "records.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_store_that_is_locked_for_a_while_keeps_nobody_from_repairing(
    bed: Bed, expected: Audit, watch: WatchProcess
) -> None:
    with host_libvirt() as handle, locked_store(bed):
        domain(handle).destroy()
        wait_until(lambda: audit(bed).active == expected.active)
        time.sleep(LOCKED_S)
    wait_until(lambda: conditions(bed)["Ready"] == "True:AsWanted" or not obstacles(bed))
    run(bed, stop, start)
    assert whole(bed, expected)
    assert watch.process.poll() is None


def vmcluster(bed: Bed, *words: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "vmcluster"), *words]
    return subprocess.run(command, env=bed.environment, capture_output=True, text=True, timeout=timeout_s, check=False)


@contextmanager
def hung_libvirtd() -> Iterator[None]:
    pid = int(Path("/run/libvirtd.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_libvirtd_that_hangs_is_named_in_time_and_nothing_is_stuck_afterwards(
    bed: Bed, expected: Audit, watch: WatchProcess
) -> None:
    with hung_libvirtd():
        before_s = watch.cpu_s()
        began_s = time.monotonic()
        answer = vmcluster(bed, "status", CLUSTER, timeout_s=60)
        assert answer.returncode != 0
        assert "LIBVIRT_UNAVAILABLE" in answer.stderr, answer.stderr
        time.sleep(max(0.0, HUNG_S - (time.monotonic() - began_s)))
        assert watch.cpu_s() - before_s < MOST_CPU_SHARE * HUNG_S
        assert threads(watch) <= MOST_THREADS
    with host_libvirt() as handle:
        domain(handle).destroy()
    wait_until(lambda: whole(bed, expected))
    assert watch.end() == 0


def test_two_clients_that_ask_at_once_are_both_answered_and_the_host_is_as_the_last_record_says(
    bed: Bed, expected: Audit, watch: WatchProcess
) -> None:
    async def both(session: Session) -> None:
        async with bed.runtime() as other:
            answers = await asyncio.gather(stop(session), start(Session(other)), return_exceptions=True)
        assert all(answer is None or getattr(answer, "recoverable", False) for answer in answers), answers
        assert sum(answer is None for answer in answers) >= 1

    run(bed, both)
    run(bed, start)
    assert whole(bed, expected)
    assert not watch.logged("internal_error")
