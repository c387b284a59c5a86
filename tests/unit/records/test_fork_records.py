"""The record of a fork."""

from ipaddress import IPv4Address, IPv4Network
from itertools import islice
from pathlib import Path

import pytest

from reconciler.desired.compile import seed_inputs
from reconciler.desired.tunnels import addresses_for_visitors, free_addresses
from reconciler.errors import Conflict
from reconciler.model import names
from reconciler.model.document import ClusterDocument, Snapshot
from reconciler.model.record import ClusterRecord, ForkedFrom, WantedPower
from reconciler.model.snapshot import FrozenDisk, SnapshotNode, SnapshotPower
from reconciler.model.topology import Firmware
from reconciler.records import record_changes
from reconciler.records.change_descriptions import change_in_words
from reconciler.records.fork_records import (
    addresses_for_forks,
    fork_names,
    fork_obstacles,
    forked,
    memory_of_fork_mb,
)
from tests.simulation.worlds import cluster_spec, extra_disk, node_spec, running_record

ORIGIN = running_record("alpha", "beta")
OF = ForkedFrom(cluster="lab", snapshot="warm", identity="lab", lenders=("lab",), store="0a", generation=3)


def part(power: SnapshotPower, *disks: str) -> SnapshotNode:
    frozen = {disk: FrozenDisk(path=Path(f"/overlays/lab/{disk}"), format="qcow2") for disk in ("vda", *disks)}
    memory = None if power is SnapshotPower.OFF else Path("/overlays/lab/snapshots/warm/n.memory")
    return SnapshotNode(power=power, disks=frozen, memory=memory)


SNAPSHOT = Snapshot(
    request=1,
    include_memory=True,
    nodes={"alpha": part(SnapshotPower.RUNNING), "beta": part(SnapshotPower.OFF)},
)
FORK = forked(ORIGIN, "try", OF, SNAPSHOT, IPv4Address("192.168.77.254"))


def with_node(**changes: object) -> ClusterRecord:
    node = ORIGIN.spec.nodes["alpha"].model_copy(update=changes)
    spec = ORIGIN.spec.model_copy(update={"nodes": {**ORIGIN.spec.nodes, "alpha": node}})
    return ORIGIN.model_copy(update={"spec": spec})


def test_guests_keep_their_names_and_addresses_and_the_host_gets_other_ones() -> None:
    for name, node in FORK.spec.nodes.items():
        was = ORIGIN.spec.nodes[name]
        assert (node.ip, node.mac, node.base_image) == (was.ip, was.mac, was.base_image)
        assert node.tap == names.tap_name("try", name) != was.tap
    assert FORK.spec.network.subnet == ORIGIN.spec.network.subnet
    assert FORK.spec.network.bridge != ORIGIN.spec.network.bridge
    assert FORK.spec.network.name != ORIGIN.spec.network.name
    assert {name: (of.instance_id, of.hosts, of.mac) for name, of in seed_inputs(FORK).items()} == {
        name: (of.instance_id, of.hosts, of.mac) for name, of in seed_inputs(ORIGIN).items()
    }


def test_nodes_continue_in_the_power_of_the_snapshot() -> None:
    alpha, beta = FORK.nodes["alpha"], FORK.nodes["beta"]
    assert (alpha.power, alpha.based_on, alpha.resumes_memory) == (WantedPower.RUNNING, "warm", True)
    assert (beta.power, beta.based_on, beta.resumes_memory) == (WantedPower.OFF, "warm", False)


def test_extra_disks_are_files_that_the_fork_neither_makes_nor_deletes() -> None:
    origin = with_node(extra_disks={"vdb": extra_disk("alpha")})
    snapshot = SNAPSHOT.model_copy(update={"nodes": {**SNAPSHOT.nodes, "alpha": part(SnapshotPower.RUNNING, "vdb")}})
    assert [*fork_obstacles(origin, "warm", snapshot)] == []
    assert forked(origin, "try", OF, snapshot, IPv4Address("192.168.77.254")).spec.extra_files == ()


@pytest.mark.parametrize(
    ("origin", "snapshot", "said"),
    [
        (with_node(firmware=Firmware.UEFI), None, "nodes.alpha.firmware: UEFI variables are not forked: use"),
        (
            with_node(extra_disks={"vdb": extra_disk("alpha").model_copy(update={"shared": True})}),
            None,
            "nodes.alpha.extra_disks: /disks/alpha-data.qcow2 is shared, and cannot be in a snapshot: remove it",
        ),
        (
            with_node(extra_disks={"vdb": extra_disk("alpha")}),
            SNAPSHOT,
            "nodes.alpha.extra_disks: vdb came or went since snapshot 'warm': fork another one",
        ),
        (running_record("alpha"), SNAPSHOT, "nodes: beta came or went since snapshot 'warm': fork another one"),
    ],
)
def test_what_cannot_be_forked_is_said_with_its_place_and_the_remedy(
    origin: ClusterRecord, snapshot: Snapshot | None, said: str
) -> None:
    (problem,) = fork_obstacles(origin, "warm", snapshot)
    assert problem.startswith(said)


def test_each_fork_has_an_address_for_the_host_that_nobody_else_has() -> None:
    first, second, *_ = addresses_for_forks(ORIGIN.spec, {IPv4Address("192.168.77.254")}, shared=False)
    assert [str(first), str(second)] == ["192.168.77.253", "192.168.77.252"]
    network = ORIGIN.spec.network.model_copy(
        update={"subnet": IPv4Network("192.168.77.8/29"), "gateway": IPv4Address("192.168.77.9")}
    )
    small = cluster_spec({"alpha": node_spec(0)}).model_copy(update={"network": network})
    for shared in (False, True):
        found = [str(of) for of in addresses_for_forks(small, (), shared=shared)]
        assert found == [f"192.168.77.{last}" for last in (14, 13, 12, 11)]


def test_forks_leave_the_addresses_by_which_other_hosts_join_or_visit_until_no_other_is_free() -> None:
    hosts = 16
    joined, visitors = islice(free_addresses(ORIGIN.spec), hosts), addresses_for_visitors(ORIGIN, "", hosts)[:hosts]
    of_forks = [*addresses_for_forks(ORIGIN.spec, (), shared=True)]
    assert {*joined, *visitors} == set(of_forks[-2 * hosts :])
    assert set(of_forks) == {*addresses_for_forks(ORIGIN.spec, (), shared=False)}


def test_only_nodes_that_are_up_need_memory() -> None:
    assert memory_of_fork_mb(ORIGIN, SNAPSHOT) == 512
    assert memory_of_fork_mb(ORIGIN, None) == 1024
    off = ORIGIN.nodes["alpha"].model_copy(update={"power": WantedPower.OFF})
    stopped = ORIGIN.model_copy(update={"nodes": {**ORIGIN.nodes, "alpha": off}})
    assert memory_of_fork_mb(stopped, None) == 512


def test_names_are_numbered_where_there_are_several() -> None:
    assert fork_names("try", 1) == ["try"]
    assert fork_names("try", 3) == ["try-1", "try-2", "try-3"]


def test_a_fork_is_not_changed_to_a_topology() -> None:
    with pytest.raises(Conflict, match="is a fork of lab@warm, and has no topology"):
        record_changes.with_spec(FORK, "try", ORIGIN.spec)
    assert record_changes.with_spec(FORK, "try", FORK.spec) == FORK, "its own history can be restored"


def test_a_record_that_is_rebuilt_takes_what_a_fork_stands_on_for_nobodys_own_snapshot() -> None:
    observed = ClusterDocument(snapshots={"warm": SNAPSHOT.model_copy(update={"held": True}), "own": SNAPSHOT})
    assert [*record_changes.on_kept_disks(FORK, observed).snapshots] == ["own"]


def test_the_history_says_what_it_was_forked_from() -> None:
    assert change_in_words(None, FORK.model_dump(mode="json")) == ("+ cluster of 2 nodes, forked from lab@warm",)
