"""Which snapshot stands on which, read from chains of layers."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from reconciler.model.document import ClusterDocument, Layer
from reconciler.model.record import ClusterRecord
from reconciler.model.snapshot import FrozenDisk, Manifest, SnapshotNode, SnapshotPower
from reconciler.observe.snapshot_bases import snapshot_bases
from reconciler.usecases.snapshot_tree import SnapshotTree, snapshot_tree
from tests.simulation.worlds import as_wanted, running_record

BASE = Path("/images/base.qcow2")
FIRST = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def layer(number: int) -> Path:
    return Path(f"/layers/{number}.qcow2")


def manifest(name: str, age: int, **tops: int) -> Manifest:
    """A snapshot by the number of each node's frozen root layer."""
    return Manifest(
        snapshot_name=name,
        cluster_name="lab",
        request=age,
        created_at=FIRST + timedelta(minutes=age),
        include_memory=False,
        pause_s=0,
        nodes={
            node: SnapshotNode(power=SnapshotPower.OFF, disks={"vda": FrozenDisk(path=layer(number), format="qcow2")})
            for node, number in tops.items()
        },
    )


def host(record: ClusterRecord, chains: list[list[int]], **tops: int) -> ClusterDocument:
    """A host with these chains of layers (topmost first), whose nodes write to the layers `tops`."""
    layers = {}
    for chain in chains:
        for number, below in zip(chain, [*chain[1:], None], strict=True):
            backing = BASE if below is None else layer(below)
            layers[str(layer(number))] = Layer(
                node="alpha", disk="vda", size_bytes=1, backing=backing, backing_format="qcow2"
            )
    wanted = as_wanted(record)
    domains = dict(wanted.domains)
    for node, number in tops.items():
        domain = domains[node]
        disk = domain.disks["vda"].model_copy(update={"path": layer(number)})  # type: ignore[union-attr]
        domains[node] = domain.model_copy(update={"disks": {"vda": disk}})
    return wanted.model_copy(update={"layers": layers, "domains": domains})


def parents(tree: SnapshotTree) -> dict[str, str | None]:
    return {place.snapshot_name: place.parent for place in tree.snapshots}


def test_the_tree_is_the_same_from_every_host() -> None:
    record = running_record("alpha", "beta")
    manifests = [manifest("a", 1, alpha=1, beta=2), manifest("b", 2, alpha=3, beta=4)]
    alpha = host(record, [[5, 3, 1]], alpha=5)
    beta = host(record, [[2], [6, 4]], beta=6)
    one, other = snapshot_bases(alpha, manifests), snapshot_bases(beta, manifests)
    from_alpha, from_beta = (
        snapshot_tree(record, alpha, manifests, (), other),
        snapshot_tree(record, beta, manifests, (), one),
    )
    from_a_third = snapshot_tree(record, ClusterDocument(), manifests, (), one.joined(other))
    assert from_alpha == from_beta == from_a_third
    assert parents(from_a_third) == {"a": None, "b": "a"}
    assert from_a_third.standing_on == {"alpha": "b", "beta": "b"}


def test_a_snapshot_stands_on_the_one_whose_layer_comes_next_below() -> None:
    record = running_record("alpha")
    manifests = [manifest("a", 1, alpha=1), manifest("b", 2, alpha=2), manifest("c", 3, alpha=3)]
    tree = snapshot_tree(record, host(record, [[2, 1], [4, 3, 1]], alpha=4), manifests)
    assert parents(tree) == {"a": None, "b": "a", "c": "a"}
    assert tree.standing_on == {"alpha": "c"}


def test_layers_whose_snapshot_was_deleted_are_passed_over() -> None:
    record = running_record("alpha")
    tree = snapshot_tree(
        record, host(record, [[5, 4, 3, 2, 1]], alpha=5), [manifest("a", 1, alpha=1), manifest("d", 2, alpha=4)]
    )
    assert parents(tree) == {"a": None, "d": "a"}
    assert tree.standing_on == {"alpha": "d"}


def test_without_snapshots_nodes_stand_on_none() -> None:
    record = running_record("alpha", "beta")
    assert snapshot_tree(record, as_wanted(record), []).standing_on == {"alpha": None, "beta": None}


def test_a_node_that_was_recreated_does_not_hide_the_parent_of_the_others() -> None:
    record = running_record("alpha", "beta")
    manifests = [manifest("a", 1, alpha=1, beta=2), manifest("b", 2, alpha=3, beta=4)]
    tree = snapshot_tree(record, host(record, [[5, 3, 1], [2], [6, 4]], alpha=5, beta=6), manifests)
    assert parents(tree) == {"a": None, "b": "a"}


def test_a_flattened_node_counts_to_the_snapshot_that_it_was_reverted_to() -> None:
    record = running_record("alpha")
    intent = record.nodes["alpha"].model_copy(update={"based_on": "a"})
    flattened = host(record, [[1], [2]], alpha=2)
    record = record.model_copy(update={"nodes": {"alpha": intent}})
    assert snapshot_tree(record, flattened, [manifest("a", 1, alpha=1)]).standing_on == {"alpha": "a"}
    assert snapshot_tree(record, flattened, []).standing_on == {"alpha": None}


def test_files_that_stand_on_each_other_in_a_ring_end_the_walk() -> None:
    record = running_record("alpha")
    ring = host(record, [[1, 2, 1]], alpha=1)
    assert snapshot_tree(record, ring, []).standing_on == {"alpha": None}
