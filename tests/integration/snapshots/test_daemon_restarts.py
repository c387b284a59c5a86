"""libvirtd dies in the middle of a snapshot or a revert and comes back: as before or as asked, to the byte."""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import libvirt
import pytest

from reconciler.errors import ClusterError, SnapshotFailed
from tests.integration.bed import Bed, Session
from tests.integration.snapshots.films import (
    CLUSTER,
    NODES,
    RUNNING,
    assert_blocks,
    assert_nothing_is_left_over,
    states,
    top_layers,
    write,
)
from tests.lab.daemons import forget_lost_starts, start_libvirtd, stop_libvirtd


class DaemonRestart:
    """A checkpoint at whose first visit libvirtd has so long to live; it is started again as soon as it is dead."""

    def __init__(self, at: str, after_s: float) -> None:
        self._at = at
        self._thread = threading.Thread(target=self._restart, args=(after_s,))

    def __call__(self, name: str) -> None:
        if name == self._at and self._thread.ident is None:
            self._thread.start()

    def wait(self) -> None:
        """Return when it answers again."""
        assert self._thread.ident is not None, f"{self._at} was not come by"
        self._thread.join()

    @staticmethod
    def _restart(after_s: float) -> None:
        time.sleep(after_s)
        stop_libvirtd(signal.SIGKILL)
        forget_lost_starts()
        start_libvirtd()


@contextmanager
def restart(at: str, after_s: float) -> Iterator[DaemonRestart]:
    """The restart that happens while the body runs; it is over when this ends."""
    restart = DaemonRestart(at, after_s)
    yield restart
    restart.wait()


async def revert(session: Session) -> None:
    await session.snapshots.revert(CLUSTER, "one", wait=False)


async def settle(session: Session) -> None:
    """What the next controller does with what was left to it."""
    record = await session.runtime.store.get(CLUSTER)
    assert record is not None
    await session.runtime.controller.converge(record, timeout_s=120)


async def listed(session: Session) -> list[str]:
    return [info.snapshot_name for info in await session.snapshots.listing(CLUSTER)]


def assert_exact(bed: Bed, pattern: int) -> None:
    assert states(CLUSTER) == RUNNING
    for node in NODES:
        assert_blocks(top_layers(CLUSTER, node)["vda"], {0: pattern})
    assert_nothing_is_left_over(bed, CLUSTER)


async def test_a_snapshot_during_which_libvirtd_restarts_is_taken_or_never_listed(bed: Bed, film: Session) -> None:
    moments = [("after Suspend", 0.0, False), ("after Suspend", 0.05, True), ("after Switch", 0.0, True)]
    for at, after_s, include_memory in moments:
        taken = await is_taken(bed, at, after_s, include_memory=include_memory)
        await settle(film)
        assert await listed(film) == (["one"] if taken else [])
        assert_exact(bed, 1)
        if taken:
            write(2)
            await revert(film)
            assert_exact(bed, 1)
            await film.snapshots.delete(CLUSTER, "one")
        else:
            await know_the_layers_again(film)


async def know_the_layers_again(session: Session) -> None:
    """Do what the error says: libvirtd may have been killed in the moment in which it added a layer."""
    for node in NODES:
        await session.clusters.crash(CLUSTER, node, wait_for_ssh=False)


async def is_taken(bed: Bed, at: str, after_s: float, *, include_memory: bool) -> bool:
    """Whether the call that lost libvirtd says that there is a snapshot."""
    with restart(at, after_s) as checkpoint:
        async with bed.runtime(checkpoint) as runtime:
            try:
                await Session(runtime).snapshots.create(CLUSTER, "one", include_memory=include_memory)
            except SnapshotFailed as error:
                print(f"{at} + {after_s} s: {error}")
                return False
    return True


async def test_a_revert_during_which_libvirtd_restarts_is_finished_by_it_or_by_the_next_round(
    bed: Bed, film: Session
) -> None:
    await film.snapshots.create(CLUSTER, "one", include_memory=True)
    for at, after_s in (("before CutPower:n0", 0.05), ("before DefineDomain:n0", 0.0), ("before ResumeMemory:n0", 0.1)):
        write(2)
        with restart(at, after_s) as checkpoint:
            async with bed.runtime(checkpoint) as runtime:
                try:
                    await revert(Session(runtime))
                except ClusterError as error:
                    print(f"{at} + {after_s} s: {error}")
        await settle(film)
        assert await listed(film) == ["one"]
        assert_exact(bed, 1)


async def test_a_start_that_libvirtd_never_lets_go_of_is_told_with_a_remedy_that_helps(film: Session) -> None:
    lose_start("n0")
    record = await film.runtime.store.get(CLUSTER)
    assert record is not None
    with pytest.raises(ClusterError, match=r"n0: the guest is being started.*killed.*/run/libvirt/qemu"):
        await film.runtime.controller.converge(record, timeout_s=5)
    assert states(CLUSTER)["n1"] == libvirt.VIR_DOMAIN_RUNNING
    stop_libvirtd()
    assert forget_lost_starts() == [f"{CLUSTER}.n0"]
    start_libvirtd()
    await settle(film)
    assert states(CLUSTER) == RUNNING


def lose_start(node: str) -> None:
    """Leave what libvirtd leaves that is killed after it has noted a start, and before QEMU has a process id."""
    stop_libvirtd()
    pid_file, status = (Path(f"/run/libvirt/qemu/{CLUSTER}.{node}.{suffix}") for suffix in ("pid", "xml"))
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    began = re.sub(
        r"<domstatus .*>", "<domstatus state='paused' reason='starting up' pid='0'>", status.read_text(), count=1
    )
    began = re.sub(r"  <job .*", "  <job type='none' async='start' flags='0x4' asyncStarted='1'/>", began, count=1)
    status.write_text(began)
    start_libvirtd()
