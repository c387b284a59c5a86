"""One cluster over three hosts on a real etcd: each does its part, and all answer for the whole."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import ApprovalRequired, ClusterError, OperationFailed, SnapshotFailed
from reconciler.faults.requests import Sides, partition_request
from reconciler.model.document import Domain, Network, Power, PowerState
from reconciler.model.plan import CutPower
from reconciler.model.status import ConditionType
from reconciler.records.approval import Approval
from reconciler.runtime import Runtime
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_address import EtcdCredentials
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_requests import delete, delete_below
from reconciler.usecases.consoles import Consoles
from reconciler.usecases.inspection import Inspection
from reconciler.usecases.network_faults import Faults
from reconciler.usecases.snapshots import Snapshots
from tests.etcd import RunningEtcd, running_etcd
from tests.simulation.many_hosts import Hosts, Member, eventually, spec_over
from tests.simulation.worlds import CLUSTER

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEtcd]:
    with running_etcd(tmp_path_factory.mktemp("etcd") / "data") as running:
        yield running


@pytest.fixture
async def etcd(server: RunningEtcd) -> AsyncIterator[EtcdClient]:
    client = EtcdClient(server.address, EtcdCredentials())
    await client.change((), [delete_below(keys.ROOT)])
    yield client
    await client.close()


@pytest.fixture
async def hosts(
    server: RunningEtcd, etcd: EtcdClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Hosts]:
    async with Hosts(server, tmp_path).simulate(monkeypatch) as all_of_them:
        yield all_of_them


def opened(member: Member) -> Runtime:
    assert member.runtime is not None
    return member.runtime


async def test_each_host_makes_its_own_nodes_and_whoever_asks_is_answered_when_all_are_done(hosts: Hosts) -> None:
    status = await hosts["one"].verbs.apply("lab", wait_for_ssh=False)
    assert {name: of.nodes() for name, of in hosts.items()} == {"one": {"alpha"}, "two": {"beta"}, "three": {"gamma"}}
    assert {node.domain_state for node in status.nodes} == {"running"}
    assert status.network_active
    assert {of.type: of.status for of in status.conditions}[ConditionType.READY] == "True"
    stopped = await hosts["two"].verbs.stop(CLUSTER)
    assert {node.domain_state for node in stopped.nodes} == {"shut off"}
    await hosts["three"].verbs.destroy(CLUSTER, remove_overlays=True)
    assert [of.nodes() or of.machine.layers for of in hosts.values()] == [{}, {}, {}]
    assert await opened(hosts["one"]).store.get(CLUSTER) is None


async def test_a_host_that_loses_its_last_node_leaves_the_cluster(hosts: Hosts) -> None:
    await hosts["one"].verbs.apply("lab", wait_for_ssh=False)
    hosts.spec = spec_over({"alpha": "one", "beta": "one"})
    with pytest.raises(ClusterError) as refused:
        await hosts["one"].verbs.apply("lab", wait_for_ssh=False)
    assert refused.value.code is ErrorCode.APPROVAL_REQUIRED


async def test_a_host_from_which_nodes_are_used_has_their_network_for_that_time(hosts: Hosts, etcd: EtcdClient) -> None:
    hosts.spec = spec_over({"alpha": "one", "beta": "two"})
    await hosts["one"].verbs.apply("lab", wait_for_ssh=False)
    visitor, store = hosts["three"], opened(hosts["one"]).store
    record = await store.get(CLUSTER)
    assert record is not None
    assert not visitor.machine.networks
    await opened(visitor).visits.enter(record)
    (network,) = visitor.machine.networks.values()
    assert isinstance(network, Network)
    assert network.tunnel is not None
    assert network.tunnel.peers == ("10.0.0.1", "10.0.0.2")
    assert visitor.nodes() == set()

    def peers(host: str) -> set[str]:
        (of,) = hosts[host].machine.networks.values()
        return set(of.tunnel.peers) if isinstance(of, Network) and of.tunnel else set()

    async def all_know() -> bool:
        return [peers("one"), peers("two")] == [{"10.0.0.2", "10.0.0.3"}, {"10.0.0.1", "10.0.0.3"}]

    await eventually(all_know)
    for host, said in (("one", "beta: its console is on two"), ("two", "the console log .* cannot be read")):
        with pytest.raises(OperationFailed, match=said):
            await Consoles(opened(hosts[host])).show(CLUSTER, "beta")
    await visitor.stop()
    await etcd.change((), [delete(keys.ALIVE + b"three")])
    assert (await hosts["one"].verbs.stop(CLUSTER)).nodes[0].domain_state == "shut off", "nobody waits for a visitor"
    await visitor.start()
    await etcd.change((), [delete_below(keys.visitors(CLUSTER))])  # as its lease ends

    async def all_is_as_before() -> bool:
        return not visitor.machine.networks and [peers("one"), peers("two")] == [{"10.0.0.2"}, {"10.0.0.1"}]

    await eventually(all_is_as_before)
    await opened(visitor).visits.enter(record)
    await hosts["two"].verbs.destroy(CLUSTER, remove_overlays=True)
    assert not visitor.machine.networks
    assert await store.get(CLUSTER) is None


async def test_a_snapshot_is_taken_and_reverted_to_on_all_hosts_or_on_none(hosts: Hosts) -> None:
    await hosts["one"].verbs.apply("lab", wait_for_ssh=False)
    snapshots = Snapshots(opened(hosts["two"]), actor="test")
    taken = await snapshots.create(CLUSTER, "clean")
    assert set(taken.per_node) == {"alpha", "beta", "gamma"}
    assert [of.per_node["gamma"].size_bytes for of in await snapshots.listing(CLUSTER)] == [4096]
    hosts["three"].refusal = SnapshotFailed("the disk is full")
    with pytest.raises(SnapshotFailed):
        await snapshots.create(CLUSTER, "again")
    assert [sorted(of.machine.snapshots) for of in hosts.values()] == [["clean"]] * 3
    record = await opened(hosts["one"]).store.get(CLUSTER)
    assert record is not None
    assert "again" not in record.snapshots, "it is not taken later"
    hosts["three"].refusal = None
    await snapshots.revert(CLUSTER, "clean", wait=False)
    for node, member in zip(("alpha", "beta", "gamma"), hosts.values(), strict=True):
        assert [of.node for of in member.actions if isinstance(of, CutPower)] == [node], "each is cut once"
        assert any(f"{node}.vda.r1." in path for path in member.machine.layers)
    await snapshots.delete(CLUSTER, "clean")
    assert [of.machine.snapshots for of in hosts.values()] == [{}, {}, {}]


async def test_a_lost_host_makes_its_nodes_unknown_and_nothing_else(hosts: Hosts, etcd: EtcdClient) -> None:
    await hosts["one"].verbs.apply("lab", wait_for_ssh=False)
    await hosts["two"].stop()
    await etcd.change((), [delete(keys.ALIVE + b"two")])  # as its lease ends
    with pytest.raises(ClusterError, match=r"host two (has not answered|does not answer).*beta") as lost:
        await hosts["one"].verbs.stop(CLUSTER)
    assert lost.value.code is ErrorCode.HOST_LOST
    seen = await Inspection(opened(hosts["three"])).status(CLUSTER)
    assert {node.name: node.domain_state for node in seen.nodes} == {
        "alpha": "shut off",
        "beta": "unknown",
        "gamma": "shut off",
    }
    ready = {of.type: of for of in seen.conditions}[ConditionType.READY]
    assert (ready.status, ready.reason) == ("Unknown", "HostLost")
    beta = seen.nodes[1]
    for told in (beta.message, beta.ssh_error and beta.ssh_error.message):
        assert re.search(r"host two has not answered since 20\S+Z; start `vmcluster watch` there, or, if", told or "")
        assert "no machine" not in (told or "")
    (warning,) = (await hosts["one"].verbs.plan("lab")).difference.warnings
    assert re.match(r"host two has not .*: nothing is planned for its nodes \(beta\) until it is back; start", warning)
    assert hosts["two"].nodes() == {"beta"}
    await hosts["two"].start()

    async def converged() -> bool:
        status = await opened(hosts["one"]).store.status(CLUSTER)
        return status is not None and status.converged

    await eventually(converged)
    assert (await hosts["one"].verbs.stop(CLUSTER)).nodes[1].domain_state == "shut off"


async def test_a_forgotten_host_holds_nothing_up(hosts: Hosts, etcd: EtcdClient) -> None:
    await hosts["one"].verbs.apply("lab", wait_for_ssh=False)
    await hosts["two"].stop()
    await etcd.change((), [delete(keys.ALIVE + b"two")])
    with pytest.raises(ClusterError, match=r"host two (has not answered|does not answer)"):
        await hosts["one"].verbs.destroy(CLUSTER, remove_overlays=True)
    store = opened(hosts["one"]).store
    assert await store.get(CLUSTER) is not None, "it may come back, and has disks"
    await store.remove_host("two")

    async def gone() -> bool:
        return await store.get(CLUSTER) is None

    await eventually(gone)


async def test_a_forgotten_host_is_named_until_its_nodes_are_placed_again(hosts: Hosts, etcd: EtcdClient) -> None:
    await hosts["one"].verbs.apply("lab", wait_for_ssh=False)
    await hosts["two"].stop()
    await etcd.change((), [delete(keys.ALIVE + b"two")])
    await opened(hosts["one"]).store.remove_host("two")
    status = await opened(hosts["three"]).store.status(CLUSTER)
    assert status is not None
    assert [of.message.partition(";")[0] for of in status.obstacles] == [
        "host two was forgotten, and nodes beta with it"
    ]
    seen = await Inspection(opened(hosts["three"])).status(CLUSTER)
    assert (seen.nodes[1].message or "").startswith("its state is unknown: host two was forgotten; `cluster_apply")
    hosts.spec = spec_over({"alpha": "one", "beta": "three", "gamma": "three"})
    done = await hosts["one"].verbs.apply("lab", approval=Approval(data_loss=True), wait_for_ssh=False)
    assert {node.domain_state for node in done.nodes} == {"running"}
    assert hosts["three"].nodes() == {"beta", "gamma"}
    assert hosts["two"].nodes() == {"beta"}, "nobody reaches it to stop its machine"
    await hosts["one"].verbs.stop(CLUSTER)  # a change that agrees to no loss
    await hosts["two"].start()

    async def waits_for_approval() -> bool:
        found = await opened(hosts["one"]).store.status(CLUSTER)
        return found is not None and any(of.code is ErrorCode.APPROVAL_REQUIRED for of in found.obstacles)

    await eventually(waits_for_approval)
    assert hosts["two"].nodes() == {"beta"}
    with pytest.raises(ApprovalRequired, match="beta: what host two still has of it is removed"):
        await hosts["one"].verbs.apply("lab", wait_for_ssh=False)
    await hosts["one"].verbs.apply("lab", approval=Approval(data_loss=True), wait_for_ssh=False)

    async def nothing_is_left() -> bool:
        return not hosts["two"].nodes() and not hosts["two"].machine.layers

    await eventually(nothing_is_left)
    assert hosts["three"].nodes() == {"beta", "gamma"}
    assert {of.host for of in await opened(hosts["one"]).store.events(CLUSTER)} == {"one", "two", "three"}
    await hosts["two"].start()

    async def left() -> bool:
        entry = await opened(hosts["one"]).store.standing(CLUSTER)
        assert entry is not None
        assert entry.hosts is not None
        is_done = entry.status is not None and entry.status.converged
        return is_done and not hosts["two"].nodes() and "two" not in entry.hosts.words

    await eventually(left)
    assert hosts["three"].nodes() == {"beta", "gamma"}


async def test_what_a_node_takes_up_at_a_restart_only_is_asked_for_on_whichever_host_it_is(hosts: Hosts) -> None:
    await hosts["one"].verbs.apply("lab", wait_for_ssh=False)
    larger = {name: of.model_copy(update={"vcpus": 2}) for name, of in hosts.spec.nodes.items() if name == "gamma"}
    hosts.spec = hosts.spec.model_copy(update={"nodes": {**hosts.spec.nodes, **larger}})
    with pytest.raises(ApprovalRequired, match=r"gamma: it restarts on host three \(vcpus\)"):
        await hosts["one"].verbs.apply("lab", wait_for_ssh=False)
    await hosts["one"].verbs.apply("lab", approval=Approval(restart=True), wait_for_ssh=False)
    gamma, power = hosts["three"].machine.domains["gamma"], hosts["three"].machine.power["gamma"]
    assert isinstance(gamma, Domain)
    assert isinstance(power, Power)
    assert (gamma.vcpus, power.state, power.boot_epoch) == (2, PowerState.RUNNING, 1)


async def test_a_start_resumes_what_is_paused_on_any_host(hosts: Hosts) -> None:
    await hosts["one"].verbs.apply("lab", start=False, wait_for_ssh=False)
    await hosts["two"].verbs.start(CLUSTER, paused=True)
    assert {node.domain_state for node in (await Inspection(opened(hosts["one"])).status(CLUSTER)).nodes} == {"paused"}
    started = await hosts["two"].verbs.start(CLUSTER, wait_for_ssh=False)
    assert {node.domain_state for node in started.nodes} == {"running"}


async def test_a_fault_ends_on_time_on_every_host_while_etcd_is_away(
    hosts: Hosts, server: RunningEtcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(*_: object) -> None:
        """No healer is left behind: it would work on the real host."""

    monkeypatch.setattr(Runtime, "start_healer", nobody)
    await hosts["one"].verbs.apply("lab", wait_for_ssh=False)
    split = partition_request(Sides(partition_a=("alpha",), partition_b=("beta", "gamma")))
    await Faults(opened(hosts["one"]), actor="test").inject(CLUSTER, split, duration_s=3)
    assert [bool(of.machine.links()) for of in hosts.values()] == [True, True, True]
    (listed,) = await Faults(opened(hosts["two"]), actor="test").listing(CLUSTER)
    assert (listed.applied, set(listed.observed)) == (True, {"alpha", "beta", "gamma"})
    server.stop()
    try:
        await eventually(lambda: _true(not any(of.machine.links() for of in hosts.values())))
    finally:
        server.start()


async def _true(holds: bool) -> bool:
    return holds
