"""What is said and decided of the hosts of a store."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from ipaddress import ip_address
from pathlib import Path

import pytest

from reconciler.daemon import entry
from reconciler.daemon.host_reports import differs
from reconciler.errors import Conflict, HostNotFound, PlacementRefused, SshError
from reconciler.host.checks.member_check import check_address
from reconciler.host.disks.image_digests import ImageDigests
from reconciler.model.document import PowerState
from reconciler.model.examination import CheckOutcome
from reconciler.model.host import HostImage
from reconciler.model.record import ClusterRecord
from reconciler.model.status import NodeReport
from reconciler.records.node_addresses import addresses
from reconciler.records.record_changes import with_spec
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.usecases.clusters import Clusters
from reconciler.usecases.doctor import check_member
from reconciler.usecases.hosts import Hosts, own_report
from reconciler.usecases.placing import placed, placed_again, where_they_are
from tests.etcd import running_etcd
from tests.kvm_verdict import give_kvm_verdict
from tests.unit.store.samples import sample_record, sample_status
from tests.waiting import eventually

pytestmark = pytest.mark.processes


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Runtime]:
    """A runtime of host `one`, whose store is an etcd."""
    give_kvm_verdict(tmp_path)
    with running_etcd(tmp_path / "etcd") as etcd:
        settings = Settings(
            state_dir=tmp_path, store=str(etcd.address), host_name="one", host_labels={"rack": "r1"}, ssh_key_path="/no"
        )
        async with Runtime(settings) as runtime:
            yield runtime


def hosts_of(runtime: Runtime) -> Hosts:
    return Hosts(runtime, Clusters(runtime, actor="test"))


def with_image(record: ClusterRecord, path: Path) -> ClusterRecord:
    nodes = {
        name: node.model_copy(update={"base_image": node.base_image.model_copy(update={"path": path})})
        for name, node in record.spec.nodes.items()
    }
    return record.model_copy(update={"spec": record.spec.model_copy(update={"nodes": nodes})})


async def test_a_store_in_a_directory_has_this_host_with_all_nodes(tmp_path: Path) -> None:
    give_kvm_verdict(tmp_path)
    async with Runtime(Settings(state_dir=tmp_path)) as runtime:
        await runtime.store.put(sample_record(), expected_generation=0, actor="test")
        (only,) = await hosts_of(runtime).listing()
        assert (only.alive, only.placed_nodes, only.use.memory_mb) == (True, ("lab/alpha", "lab/zeta"), 1024)
        assert only.vcpus > 0
        with pytest.raises(HostNotFound, match="set `store`"):
            await hosts_of(runtime).cordon("one")


async def test_hosts_are_listed_with_what_is_on_them_and_shown_by_name(shared: Runtime) -> None:
    hosts, store = hosts_of(shared), shared.store
    assert await hosts.listing() == []
    await store.membership().enter()
    await store.put_host(await own_report(shared, "one"))
    await store.put_host((await own_report(shared, "one")).model_copy(update={"name": "two"}))
    placed_there = sample_record()
    node = placed_there.spec.nodes["zeta"].model_copy(update={"host": "two"})
    spec = placed_there.spec.model_copy(update={"nodes": {**placed_there.spec.nodes, "zeta": node}})
    await store.put(placed_there.model_copy(update={"spec": spec}), expected_generation=0, actor="test")
    one, two = await hosts.listing()
    assert (one.placed_nodes, one.home, one.labels, two.placed_nodes) == (
        ("lab/alpha",),
        True,
        {"rack": "r1"},
        ("lab/zeta",),
    )
    assert (await hosts.cordon("two")).cordoned
    with pytest.raises(HostNotFound, match="there are: one, two"):
        await hosts.show("three")
    assert (await hosts.forget("two")).placed_nodes == ("lab/zeta",)
    assert [of.name for of in await hosts.listing()] == ["one"]


async def test_a_watching_host_reports_itself_and_refuses_to_start_under_a_taken_name(
    shared: Runtime, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        await entry._join(shared, stack)
        await eventually(lambda: _is_alive(shared, "one"))
        other = shared.settings.model_copy(update={"state_dir": tmp_path / "elsewhere"})
        async with Runtime(other) as runtime, AsyncExitStack() as never:
            with pytest.raises(Conflict, match="host one of this store is another machine"):
                await entry._join(runtime, never)
    async with Runtime(Settings(state_dir=tmp_path / "alone")) as alone, AsyncExitStack() as nothing:
        await entry._join(alone, nothing)
        assert await alone.store.hosts() == {}


async def _is_alive(runtime: Runtime, name: str) -> bool:
    hosts = await runtime.store.hosts()
    return name in hosts and hosts[name].alive


async def test_nodes_are_placed_by_what_their_image_contains(shared: Runtime, tmp_path: Path) -> None:
    image = tmp_path / "base.qcow2"
    image.write_bytes(b"an image")
    record = with_image(sample_record(), image)
    unplaced, placements = await placed(shared, "lab", record.spec, None)
    assert (unplaced, placements) == (record.spec, {}), "no host has reported"
    await shared.store.membership().enter()
    await shared.store.put_host(await own_report(shared, "one"))
    spec, _ = await placed(shared, "lab", record.spec, None)
    told = {of.path: of.digest for of in (await shared.store.hosts())["one"].images}
    assert told[image] == spec.nodes["alpha"].base_image.digest, "it has told that at once"
    assert {node.host for node in spec.nodes.values()} == {"one"}
    assert spec.nodes["alpha"].base_image.digest.startswith("sha256:")
    again, kept = await placed(shared, "lab", record.spec, record)
    assert {node.host for node in again.nodes.values()} == {""}, "nodes that were always here are not placed again"
    assert with_spec(record, "lab", again).nodes == record.nodes
    assert all(of.kept for of in kept.values())


async def test_a_rollback_leaves_nodes_where_they_are_and_an_adopted_cluster_is_told_where(shared: Runtime) -> None:
    node = sample_record().spec.nodes["alpha"]
    with_digest = node.base_image.model_copy(update={"digest": "sha256:a"})

    def on(host: str, *names: str) -> ClusterRecord:
        nodes = {name: node.model_copy(update={"host": host, "base_image": with_digest}) for name in names}
        return sample_record().model_copy(update={"spec": sample_record().spec.model_copy(update={"nodes": nodes})})

    report = (await own_report(shared, "one")).model_copy(update={"address": ip_address("10.0.0.1")})
    images = (HostImage(path=with_digest.path, digest="sha256:a", size_bytes=1),)
    await shared.store.membership().enter()
    await shared.store.put_host(report.model_copy(update={"images": images}))
    assert (await where_they_are(shared, on("", "alpha").spec, None)).nodes["alpha"].host == "one"
    await shared.store.put_host(report.model_copy(update={"name": "two"}))
    then, _ = await placed_again(shared, on("gone", "alpha", "beta"), on("two", "alpha"))
    assert {name: of.host for name, of in then.spec.nodes.items()} == {"alpha": "two", "beta": "one"}
    with pytest.raises(PlacementRefused, match="on which hosts these nodes are: beta"):
        await where_they_are(shared, on("", "alpha", "beta").spec, on("two", "alpha"))
    assert (await where_they_are(shared, on("two", "beta").spec, None)).nodes["beta"].host == "two"


async def test_a_node_without_a_host_is_known_elsewhere_by_the_key_that_the_first_host_reports(
    shared: Runtime, tmp_path: Path
) -> None:
    settings = shared.settings.model_copy(update={"host_name": "two", "state_dir": tmp_path / "two"})
    async with Runtime(settings) as first:
        await first.store.membership().enter()
        nodes = sample_record().spec.nodes
        nodes = {**nodes, "zeta": nodes["zeta"].model_copy(update={"host": "one"})}
        sample = sample_record().model_copy(update={"spec": sample_record().spec.model_copy(update={"nodes": nodes})})
        record = await first.store.put(sample, expected_generation=0, actor="test")
        key = NodeReport(state=PowerState.RUNNING, host_key="ssh-ed25519 AAAA")
        await first.store.put_status(sample_status().model_copy(update={"host": "two", "nodes": {"alpha": key}}))
        (address,) = await addresses(shared, record, ["alpha"])
        assert address.host_key == key.host_key
        with pytest.raises(SshError, match="host key is missing"):
            await addresses(first, record, ["alpha"])  # which has made it itself, and reads its own file


async def test_the_doctor_says_what_is_missing_for_sharing_a_store(shared: Runtime) -> None:
    assert await check_member(Settings()) == []
    found = {check.name: check for check in await check_member(shared.settings)}
    assert found["store"].verdict is CheckOutcome.OK
    assert "has not reported yet" in found["host"].message
    assert "no cluster over several hosts has nodes here" in found["host address"].message
    gone = Settings(store="etcd://localhost:1")
    without = {check.name: check for check in await check_member(gone)}
    assert without["store"].verdict is CheckOutcome.FAILED


@pytest.mark.parametrize(("address", "said"), [("192.0.2.1", "not an address of this host"), ("127.0.0.1", "only")])
def test_an_address_that_others_cannot_reach_is_told(address: str, said: str) -> None:
    check = check_address(ip_address(address))
    assert (check.verdict, said in check.message) == (CheckOutcome.FAILED, True)


async def test_a_report_is_new_where_more_than_some_free_space_changed(shared: Runtime) -> None:
    report = (await own_report(shared, "one")).model_copy(update={"disk_bytes": 1000, "disk_free_bytes": 500})
    assert not differs(report, report.model_copy(update={"disk_free_bytes": 460}))
    assert differs(report, report.model_copy(update={"disk_free_bytes": 440}))
    assert differs(report, report.model_copy(update={"labels": {}}))


def test_a_digest_is_that_of_the_content_whoever_wrote_it_last(tmp_path: Path) -> None:
    one, two = tmp_path / "one.qcow2", tmp_path / "two.qcow2"
    one.write_bytes(b"same")
    two.write_bytes(b"same")
    digests = ImageDigests(tmp_path / "state")
    assert digests.digest(one) == digests.digest(two) == ImageDigests(tmp_path / "state").digest(one)
    two.write_bytes(b"other")
    assert digests.digest(two) != digests.digest(one)
    (tmp_path / "state" / "image_digests.json").write_text("torn")
    images = ImageDigests(tmp_path / "state").images(tmp_path, [tmp_path / "absent.qcow2"])
    assert [(of.path.name, of.size_bytes) for of in images] == [("one.qcow2", 4), ("two.qcow2", 5)]
