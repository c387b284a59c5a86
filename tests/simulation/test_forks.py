"""A fork on a simulated host: killed and refused anywhere, it ends whole, and holds what it stands on all the while."""

from ipaddress import IPv4Address
from pathlib import Path
from random import Random

import pytest

from reconciler.model.document import BackingFile, ClusterDocument, PowerState, Snapshot
from reconciler.model.plan import CreateLayer, HoldSnapshot, ReleaseSnapshot, ResumeMemory
from reconciler.model.record import EVERYTHING, ClusterRecord, Deletion, ForkedFrom
from reconciler.model.snapshot import FrozenDisk, SnapshotNode, SnapshotPower
from reconciler.records.fork_records import forked
from tests.simulation.acting import Disturbance, run_round
from tests.simulation.host import SimulatedHost
from tests.simulation.worlds import CLUSTER, running_record

ORIGIN = running_record("alpha", "beta").model_copy(update={"cluster_name": "origin"})
FROZEN = {node: Path(f"/overlays/origin/{node}.vda.r0.0.qcow2") for node in ORIGIN.nodes}
MEMORIES = {node: Path(f"/overlays/origin/snapshots/warm/{node}.memory") for node in ORIGIN.nodes}
IMAGE = BackingFile(path=Path("/images/base.qcow2"), format="qcow2")
LENT = Snapshot(
    request=0,
    include_memory=True,
    held=False,
    below=dict.fromkeys(FROZEN.values(), (IMAGE,)),
    nodes={
        node: SnapshotNode(
            power=SnapshotPower.RUNNING,
            disks={"vda": FrozenDisk(path=FROZEN[node], format="qcow2")},
            memory=MEMORIES[node],
        )
        for node in ORIGIN.nodes
    },
)
FORKED_FROM = ForkedFrom(
    cluster="origin",
    snapshot="warm",
    identity="origin",
    lenders=("origin",),
    store="0a",
    generation=1,
)
CALM_ROUNDS = 12


def forked_record() -> ClusterRecord:
    record = forked(ORIGIN, CLUSTER, FORKED_FROM, LENT, IPv4Address("192.168.77.254"))
    return record.model_copy(update={"consent": (EVERYTHING,)})


class Origin(SimulatedHost):
    """A host on which the snapshot is there to be held."""

    def __init__(self, chance: Random) -> None:
        super().__init__(ClusterDocument(), chance)
        self.memories = {MEMORIES[node]: {"vda": (str(FROZEN[node]),)} for node in FROZEN}

    def observe(self) -> ClusterDocument:
        observed = super().observe()
        return observed.model_copy(update={"snapshots": {"warm": LENT, **observed.snapshots}})


def until_settled(host: SimulatedHost, record: ClusterRecord) -> None:
    for _ in range(CALM_ROUNDS):
        todo, _ = run_round(host, record, Disturbance(Random(0)))
        if todo.converged:
            return
    raise AssertionError(f"it does not settle: {todo}")


def test_one_round_holds_the_snapshot_first_and_continues_from_its_memory() -> None:
    host = Origin(Random(0))
    todo, _ = run_round(host, forked_record(), Disturbance(Random(0)))
    kinds = [type(action) for action in todo.actions]
    assert kinds[0] is HoldSnapshot
    assert kinds.index(HoldSnapshot) < kinds.index(CreateLayer)
    assert kinds.count(ResumeMemory) == len(FROZEN)
    until_settled(host, forked_record())
    domain = host.domains["alpha"]
    assert [file.path for file in domain.disks["vda"].backing] == [FROZEN["alpha"], IMAGE.path]  # type: ignore[union-attr]
    assert not {str(path) for path in FROZEN.values()} & host.layers.keys()


@pytest.mark.parametrize("seed", range(60))
def test_killed_and_refused_anywhere_it_ends_whole_and_then_goes_without_a_trace(seed: int) -> None:
    chance = Random(seed)
    host, record = Origin(chance), forked_record()
    for _ in range(4):
        run_round(host, record, Disturbance(chance, refusals=0.1, killed_after=chance.randrange(1, 40)))
        assert not host.layers or host.snapshots["warm"].held  # type: ignore[union-attr]
    until_settled(host, record)
    assert {of.state for of in host.power.values()} == {PowerState.RUNNING}  # type: ignore[union-attr]

    gone = record.model_copy(update={"deletion": Deletion(remove_overlays=True)})
    for _ in range(3):
        run_round(host, gone, Disturbance(chance, refusals=0.1, killed_after=chance.randrange(1, 20)))
        assert not host.layers or host.snapshots["warm"].held  # type: ignore[union-attr]
    until_settled(host, gone)
    assert (host.layers, host.domains, host.networks, host.seeds, host.snapshots) == ({}, {}, {}, {}, {})


def test_the_snapshot_is_let_go_last() -> None:
    host, record = Origin(Random(0)), forked_record()
    until_settled(host, record)
    gone = record.model_copy(update={"deletion": Deletion(remove_overlays=True)})
    todo, _ = run_round(host, gone, Disturbance(Random(0)))
    assert not any(isinstance(action, ReleaseSnapshot) for action in todo.actions)
    todo, _ = run_round(host, gone, Disturbance(Random(0)))
    assert [type(action) for action in todo.actions] == [ReleaseSnapshot]
    until_settled(host, gone)


def test_a_fork_whose_disks_are_kept_goes_on_holding_what_they_stand_on() -> None:
    host, record = Origin(Random(0)), forked_record()
    until_settled(host, record)
    until_settled(host, record.model_copy(update={"deletion": Deletion(remove_overlays=False)}))
    assert host.layers
    assert host.snapshots["warm"].held  # type: ignore[union-attr]


def test_a_fork_whose_snapshot_is_gone_makes_nothing_and_says_so() -> None:
    host = SimulatedHost(ClusterDocument(), Random(0))
    todo, _ = run_round(host, forked_record(), Disturbance(Random(0)))
    assert not host.domains
    assert any("warm" in obstacle.message for obstacle in todo.obstacles)
