"""A cluster over several hosts: each works on its part, and together they are what one host would be."""

from collections.abc import Mapping
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired.part import part_of, revert_of
from reconciler.model.document import ClusterDocument, Snapshot
from reconciler.model.plan import Plan
from reconciler.model.record import ClusterRecord
from reconciler.model.snapshot import SnapshotNode, SnapshotPower
from reconciler.records.record_changes import reverted, with_spec
from reconciler.store.merged_status import nodes_by_host
from tests.simulation.acting import Disturbance, run_round
from tests.simulation.host import SimulatedHost
from tests.simulation.test_convergence import settle
from tests.simulation.worlds import records, running_record

HOME, OTHER, THIRD = "one", "two", "three"
_hosts = st.sampled_from(["", HOME, OTHER])


def placed(record: ClusterRecord, hosts: Mapping[str, str]) -> ClusterRecord:
    """The record with each of its nodes on a host."""
    nodes = {name: of.model_copy(update={"host": hosts[name]}) for name, of in record.spec.nodes.items()}
    return record.model_copy(update={"spec": record.spec.model_copy(update={"nodes": nodes})})


@st.composite
def placed_records(draw: st.DrawFn) -> ClusterRecord:
    record = draw(records())
    return placed(record, {name: draw(_hosts) for name in record.spec.nodes})


@given(placed_records(), st.integers(0, 2**32))
def test_the_parts_of_all_hosts_are_together_what_one_host_would_be(record: ClusterRecord, seed: int) -> None:
    parts = {name: SimulatedHost(ClusterDocument(), Random(seed)) for name in (HOME, OTHER, THIRD)}
    for name, host in parts.items():
        assert settle(host, part_of(record, name, HOME)) == Plan()
    alone = SimulatedHost(ClusterDocument(), Random(seed))
    settle(alone, record)
    whole, seen = alone.observe(), {name: host.observe() for name, host in parts.items()}
    for kind in ("domains", "power", "seeds", "layers", "links", "taps"):
        together = [item for of in seen.values() for item in getattr(of, kind).items()]
        assert dict(together) == getattr(whole, kind), kind
        assert len(together) == len(getattr(whole, kind)), f"{kind} of one node on two hosts"
    assert seen[THIRD] == ClusterDocument(), "a host without a node has nothing of the cluster"
    with_network = {name for name, of in seen.items() if of.networks}
    assert with_network == (set() if record.deletion else set(nodes_by_host(record, HOME)))


def test_each_revert_has_a_name_of_its_own_also_after_nodes_have_gone() -> None:
    snapshot = Snapshot(
        request=1,
        include_memory=False,
        nodes={name: SnapshotNode(power=SnapshotPower.OFF, disks={}) for name in ("alpha", "beta", "gamma")},
    )
    three = running_record("alpha", "beta", "gamma")
    seen = []
    for _ in range(2):
        three = reverted(three, "clean", snapshot, restart_after=False)
        seen.append(revert_of(three))
    spec = three.spec.model_copy(
        update={"nodes": {name: of for name, of in three.spec.nodes.items() if name != "gamma"}}
    )
    two = with_spec(three, three.cluster_name, spec)
    for _ in range(3):
        two = reverted(two, "clean", snapshot, restart_after=False)
        seen.append(revert_of(two))
    assert len(set(seen)) == 5
    assert None not in seen


def test_a_node_that_moves_leaves_its_old_host_only_with_consent_and_begins_on_new_disks() -> None:
    before = placed(running_record("alpha", "beta"), {"alpha": HOME, "beta": OTHER})
    hosts = {name: SimulatedHost(ClusterDocument(), Random(1)) for name in (HOME, OTHER)}
    for name, host in hosts.items():
        settle(host, part_of(before, name))
    moved = placed(before, {"alpha": OTHER, "beta": OTHER})
    silent = moved.model_copy(update={"consent": ()})
    todo, _ = run_round(hosts[HOME], part_of(silent, HOME), Disturbance(Random(0)))
    assert any("layer/alpha/vda" in of.message or of.node == "alpha" for of in todo.obstacles)
    assert hosts[HOME].observe().layers
    for name, host in hosts.items():
        settle(host, part_of(moved, name))
    assert hosts[HOME].observe() == ClusterDocument()
    assert hosts[OTHER].observe().domains.keys() == {"alpha", "beta"}
