"""Actions that a libvirtd meets while it hangs: given up in time, and carried out once when it goes on."""

import os
import signal
import threading
from pathlib import Path

import libvirt
import pytest

from reconciler.host.libvirt import libvirt_connection
from reconciler.model.event import EventKind
from tests.integration.bed import Bed, Session, audit
from tests.integration.clusters.test_kills import CLUSTER, ask_for_power_cycle, carry_out, define, domain_ids, start
from tests.integration.kills import run, run_in_child, wait_for
from tests.integration.snapshots.films import assert_nothing_is_left_over, small_nodes, states

LIMIT_S = 1.0
HUNG_S = 2.5


class Hanging:
    """A checkpoint at which libvirtd is stopped for a while, the first time that it is reached."""

    def __init__(self, at: str) -> None:
        self._at: str | None = at

    def __call__(self, name: str) -> None:
        if name == self._at:
            self._at = None
            pid = int(Path("/run/libvirtd.pid").read_text())
            os.kill(pid, signal.SIGSTOP)
            threading.Timer(HUNG_S, os.kill, (pid, signal.SIGCONT)).start()


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt_connection, "ANSWER_TIMEOUT_S", LIMIT_S)
    monkeypatch.setattr(libvirt_connection, "_PROBE_INTERVAL_S", LIMIT_S / 3)


@pytest.mark.parametrize("action", ["CutPower", "Start"])
def test_a_power_cycle_during_which_libvirtd_hangs_is_told_of_and_happens_once(bed: Bed, action: str) -> None:
    async def tells(session: Session) -> None:
        failed = [of for of in await session.runtime.store.events(CLUSTER) if of.kind is EventKind.ACTION_FAILED]
        assert [(of.subject, of.node) for of in failed] == [(action, "n0")]
        assert "has not answered" in failed[0].message

    bed.write_topology(CLUSTER)
    run(bed, define, start)
    before, whole = domain_ids(), audit(bed)
    run(bed, ask_for_power_cycle)
    assert wait_for(run_in_child(bed, carry_out, Hanging(f"before {action}:n0")))
    run(bed, tells, carry_out)
    assert domain_ids() == {**before, f"{CLUSTER}.n0": max(before.values()) + 1}
    assert audit(bed).files == whole.files


def test_a_snapshot_during_which_libvirtd_hangs_is_taken_when_it_goes_on_and_nothing_is_left_over(bed: Bed) -> None:
    async def boot(session: Session) -> None:
        await session.clusters.start(CLUSTER, wait_for_ssh=False)

    async def take(session: Session) -> None:
        await session.snapshots.create(CLUSTER, "whole", include_memory=True)

    async def tells(session: Session) -> None:
        failed = [of for of in await session.runtime.store.events(CLUSTER) if of.kind is EventKind.ACTION_FAILED]
        assert "TakeSnapshot" in {of.subject for of in failed}

    bed.write_topology(CLUSTER, edit=small_nodes)
    run(bed, define, boot)
    assert wait_for(run_in_child(bed, take, Hanging("after Suspend")))
    run(bed, tells)
    assert set(states(CLUSTER).values()) == {libvirt.VIR_DOMAIN_RUNNING}
    assert_nothing_is_left_over(bed, CLUSTER)
