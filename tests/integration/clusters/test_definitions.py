"""Defining, changing and destroying clusters on a real libvirtd; nothing boots here."""

import asyncio
import os
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import libvirt
import pytest

from reconciler import process
from reconciler.error_codes import ErrorCode
from reconciler.errors import (
    ApprovalRequired,
    ClusterError,
    ClusterNotFound,
    Conflict,
    HostCapabilityMissing,
    OperationFailed,
    TopologyInvalid,
)
from reconciler.files.ownership import read_mark, write_mark
from reconciler.host.capabilities import Capabilities
from reconciler.host.features import NETEM, Feature
from reconciler.model.choices import StopMode
from reconciler.model.document import Network
from reconciler.model.plan import DefineDomain, Start
from reconciler.model.results import ClusterStatus
from reconciler.model.topology import Forward
from reconciler.records.approval import Approval
from reconciler.records.plan_view import plan_view
from tests.integration.bed import BASE_IMAGE, Bed, Session, audit, host_libvirt

FILES_OF_A_NODE = ("{0}.vda.r0.0.qcow2", "{0}.seed.iso", "{0}.host_ed25519", "{0}.host_ed25519.pub")


def files_of(cluster: str, *nodes: str) -> set[str]:
    return {cluster} | {f"{cluster}/{name.format(node)}" for node in nodes for name in FILES_OF_A_NODE}


def _traces_of(file: Path) -> tuple[int, ...]:
    """What any change of a file, its owner or its attributes leaves behind."""
    facts = file.stat()
    return (facts.st_mtime_ns, facts.st_ctime_ns, facts.st_uid, facts.st_gid, facts.st_mode, facts.st_size)


async def test_define_makes_everything_and_boots_nothing(bed: Bed, session: Session) -> None:
    bed.write_topology("alpha")
    status = await session.clusters.define("alpha")
    found = audit(bed)
    assert found.domains == {"alpha.n0", "alpha.n1"}
    assert not found.active
    assert found.networks == {"net-alpha:on"}
    assert found.bridges == {"vb-alpha"}
    assert found.files == files_of("alpha", "n0", "n1")
    assert [node.domain_state for node in status.nodes] == ["shut off", "shut off"]
    assert status.network_active
    assert status.observed_generation == status.generation


async def test_applying_again_has_nothing_to_do(bed: Bed, session: Session) -> None:
    bed.write_topology("alpha")
    await session.clusters.define("alpha")
    preview = await session.clusters.plan("alpha", start=False)
    assert preview.plan.converged
    assert preview.difference.desired.domains == preview.difference.observed.domains


async def test_planning_changes_nothing(bed: Bed, session: Session) -> None:
    bed.write_topology("alpha")
    preview = await session.clusters.plan("alpha")
    assert len([action for action in preview.plan.actions if isinstance(action, Start)]) == 2
    assert audit(bed).clean


async def test_destroy_keeps_disks_and_a_later_define_takes_them_up_again(bed: Bed, session: Session) -> None:
    bed.write_topology("alpha")
    await session.clusters.define("alpha")
    key = (bed.settings.overlay_dir / "alpha" / "n0.host_ed25519").read_bytes()
    await session.clusters.destroy("alpha")
    found = audit(bed)
    assert (found.domains, found.networks, found.bridges) == (frozenset(), frozenset(), frozenset())
    assert found.files == files_of("alpha", "n0", "n1")
    with pytest.raises(ClusterNotFound, match="was destroyed"):
        await session.inspection.status("alpha")
    await session.clusters.define("alpha")
    assert audit(bed).files == files_of("alpha", "n0", "n1")
    assert (bed.settings.overlay_dir / "alpha" / "n0.host_ed25519").read_bytes() == key


async def test_kept_disks_are_taken_up_again_when_the_store_is_lost(bed: Bed, session: Session) -> None:
    bed.write_topology("alpha")
    await session.clusters.define("alpha")
    await session.clusters.destroy("alpha")
    overlays = bed.settings.overlay_dir / "alpha"
    reverted = (overlays / "n0.vda.r0.0.qcow2").rename(overlays / "n0.vda.r3.0.qcow2")
    mark = read_mark(reverted)
    assert mark is not None
    write_mark(reverted, mark.model_copy(update={"facts": {**mark.facts, "file": reverted.name}}))
    for path in bed.settings.state_dir.glob("records.sqlite*"):
        path.unlink()
    async with bed.runtime() as runtime:
        await Session(runtime).clusters.define("alpha")
        assert "alpha/n0.vda.r3.0.qcow2" in audit(bed).files
        assert "alpha/n0.vda.r0.0.qcow2" not in audit(bed).files
        with host_libvirt() as handle:
            assert "n0.vda.r3.0.qcow2" in handle.lookupByName("alpha.n0").XMLDesc()


async def test_destroy_with_overlays_leaves_nothing_but_the_users_own_files(bed: Bed, session: Session) -> None:
    before = _traces_of(BASE_IMAGE)
    topology = bed.write_topology("alpha", boots=True)
    await session.clusters.define("alpha")
    hosts = bed.settings.state_dir / "known_hosts" / "alpha"
    hosts.parent.mkdir()
    hosts.touch()
    await session.clusters.destroy("alpha", remove_overlays=True)
    assert not hosts.exists()
    assert audit(bed).clean
    assert _traces_of(BASE_IMAGE) == before
    assert topology.exists()


async def test_destroying_again_is_a_success_and_removes_disks_that_were_kept(bed: Bed, session: Session) -> None:
    bed.write_topology("alpha")
    await session.clusters.define("alpha")
    await session.clusters.destroy("alpha")
    await session.clusters.destroy("alpha")
    assert audit(bed).files
    await session.clusters.destroy("alpha", remove_overlays=True)
    await session.clusters.destroy("alpha", remove_overlays=True)
    assert audit(bed).clean


async def test_destroying_what_never_was_is_an_error(session: Session) -> None:
    with pytest.raises(ClusterNotFound):
        await session.clusters.destroy("nobody")


async def test_a_node_added_to_the_topology_is_the_only_thing_that_is_made(bed: Bed, session: Session) -> None:
    bed.write_topology("alpha", nodes=2)
    await session.clusters.define("alpha")
    bed.write_topology("alpha", nodes=3)
    preview = await session.clusters.plan("alpha", start=False)
    touched = {action.node for action in preview.plan.actions}
    kinds = {(type(action).__name__, action.node) for action in preview.plan.actions}
    assert ("DefineDomain", "n2") in kinds
    assert ("DefineDomain", "n0") not in kinds
    assert touched == {"n0", "n1", "n2"}  # the old ones' seeds learn the new name
    await session.clusters.define("alpha")
    assert audit(bed).domains == {"alpha.n0", "alpha.n1", "alpha.n2"}


async def test_a_node_removed_from_the_topology_takes_an_agreement_to_lose_its_disk(bed: Bed, session: Session) -> None:
    bed.write_topology("alpha", nodes=3)
    await session.clusters.define("alpha")
    path = bed.write_topology("alpha", nodes=2)
    before = audit(bed)
    with pytest.raises(ApprovalRequired, match="data-loss"):
        await session.clusters.define("alpha")
    assert audit(bed) == before
    await session.clusters.apply(path, start=False, approval=Approval(data_loss=True))
    assert audit(bed).domains == {"alpha.n0", "alpha.n1"}
    assert audit(bed).files == files_of("alpha", "n0", "n1")


async def test_memory_processors_and_role_of_a_node_that_is_off_change_without_ado(bed: Bed, session: Session) -> None:
    bed.write_topology("alpha")
    await session.clusters.define("alpha")

    def edit(document: dict[str, Any]) -> None:
        document["nodes"][0] |= {"memory_mb": 768, "vcpus": 2, "role": "leader"}

    bed.write_topology("alpha", edit=edit)
    status = await session.clusters.define("alpha")
    assert status.nodes[0].role == "leader"
    with host_libvirt() as handle:
        domain = handle.lookupByName("alpha.n0")
        assert domain.maxMemory() == 768 * 1024
        assert domain.vcpusFlags(4) == 2


async def test_another_address_means_another_root_disk_and_takes_an_agreement(bed: Bed, session: Session) -> None:
    bed.write_topology("alpha")
    await session.clusters.define("alpha")

    def edit(document: dict[str, Any]) -> None:
        document["nodes"][0]["ip"] = "192.168.150.99"

    path = bed.write_topology("alpha", edit=edit)
    with pytest.raises(ApprovalRequired):
        await session.clusters.define("alpha")
    await session.clusters.apply(path, start=False, approval=Approval(data_loss=True))
    files = audit(bed).files
    assert "alpha/n0.vda.r1.0.qcow2" in files
    assert "alpha/n0.vda.r0.0.qcow2" not in files


async def test_a_domain_of_somebody_else_with_our_name_is_left_alone(bed: Bed, session: Session) -> None:
    bed.write_topology("alpha")
    xml = "<domain type='qemu'><name>alpha.n0</name><memory>65536</memory><os><type>hvm</type></os></domain>"
    with host_libvirt() as handle:
        theirs = handle.defineXML(xml)
        before = theirs.XMLDesc()
        with pytest.raises(ClusterError) as caught:
            await session.clusters.define("alpha")
        assert caught.value.code is ErrorCode.CONFLICT
        assert caught.value.node == "n0"
        assert theirs.XMLDesc() == before
    found = audit(bed)
    assert found.domains == {"alpha.n0"}
    assert not found.networks
    assert not found.files


async def test_a_network_of_somebody_else_with_our_name_is_left_alone(bed: Bed, session: Session) -> None:
    bed.write_topology("alpha")
    with host_libvirt() as handle:
        theirs = handle.networkDefineXML("<network><name>net-alpha</name><bridge name='vb-theirs'/></network>")
        with pytest.raises(ClusterError) as caught:
            await session.clusters.define("alpha")
        assert caught.value.code is ErrorCode.CONFLICT
        assert "vb-theirs" in theirs.XMLDesc()
    assert not audit(bed).domains


async def test_a_file_of_somebody_else_where_a_disk_goes_is_left_alone(bed: Bed, session: Session) -> None:
    bed.write_topology("alpha")
    theirs = bed.settings.overlay_dir / "alpha" / "n0.vda.r0.0.qcow2"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("precious")
    with pytest.raises(ClusterError) as caught:
        await session.clusters.define("alpha")
    assert caught.value.code is ErrorCode.CONFLICT
    assert theirs.read_text() == "precious"
    assert not audit(bed).domains


async def test_an_extra_disk_is_made_where_the_topology_says_and_goes_with_the_overlays(
    bed: Bed, session: Session
) -> None:
    disk = bed.directory / "data.qcow2"

    def edit(document: dict[str, Any]) -> None:
        document["nodes"][0]["extra_disks"] = [{"path": str(disk), "size_gb": 1}]

    bed.write_topology("alpha", edit=edit)
    await session.clusters.define("alpha")
    assert disk.exists()
    await session.clusters.destroy("alpha")
    assert disk.exists()
    await session.clusters.destroy("alpha", remove_overlays=True)
    assert not disk.exists()


async def test_faults_that_the_host_cannot_make_are_refused_before_anything_is_touched(
    bed: Bed, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def complain(_self: Capabilities, feature: Feature) -> str | None:
        return "Specified qdisc kind is unknown." if feature is NETEM else None

    def edit(document: dict[str, Any]) -> None:
        slow = {"source": "n0", "delay_ms": 50}
        narrow = {"source": "n0", "rate_kbit": 1000}
        document["faults"] = [{"name": "narrow", "impair": narrow}, {"name": "slow", "impair": slow}]

    monkeypatch.setattr(Capabilities, "complaint", complain)
    path = bed.write_topology("alpha", edit=edit)
    line = path.read_text().splitlines().index("    delay_ms: 50") + 1
    for verb in (session.clusters.plan, session.clusters.apply, session.clusters.define):
        with pytest.raises(HostCapabilityMissing, match="sch_netem") as refused:
            await verb("alpha")
        assert f"{path}:{line}:" in str(refused.value)
        assert r"faults[1].impair: " in str(refused.value)
    assert await session.runtime.store.names() == []
    assert audit(bed).clean


async def test_the_file_of_an_extra_disk_that_leaves_the_topology_is_kept_until_the_disks_are_removed(
    bed: Bed, session: Session
) -> None:
    disk = bed.directory / "data.qcow2"

    def edit(document: dict[str, Any]) -> None:
        document["nodes"][0]["extra_disks"] = [{"path": str(disk), "size_gb": 1}]

    bed.write_topology("alpha", edit=edit)
    await session.clusters.define("alpha")
    bed.write_topology("alpha")
    preview = await session.clusters.plan("alpha", start=False)
    assert plan_view(preview).kept_files == (disk,)
    assert preview.plan.actions
    await session.clusters.define("alpha")
    assert disk.exists()
    again = await session.clusters.plan("alpha", start=False)
    assert plan_view(again).converged
    await session.clusters.destroy("alpha", remove_overlays=True)
    assert not disk.exists()


async def test_an_existing_disk_of_the_user_outlives_the_cluster(bed: Bed, session: Session) -> None:
    disk = bed.directory / "mine.raw"
    disk.write_bytes(b"\0" * (1 << 20))

    def edit(document: dict[str, Any]) -> None:
        document["nodes"][0]["extra_disks"] = [{"path": str(disk), "existing": True}]

    bed.write_topology("alpha", edit=edit)
    await session.clusters.define("alpha")
    await session.clusters.destroy("alpha", remove_overlays=True)
    assert disk.stat().st_size == 1 << 20


async def test_two_clients_at_once_both_hold_or_one_is_told_of_the_conflict(bed: Bed, session: Session) -> None:
    bed.write_topology("alpha")
    await session.clusters.define("alpha")

    def edit(document: dict[str, Any]) -> None:
        document["nodes"][0]["role"] = "leader"

    bed.write_topology("alpha", edit=edit)
    async with bed.runtime() as other:
        outcomes = await asyncio.gather(
            session.clusters.define("alpha"),
            Session(other).clusters.start("alpha", paused=True),
            return_exceptions=True,
        )
    defined, started = outcomes
    assert all(isinstance(of, ClusterStatus | Conflict) for of in outcomes), outcomes
    record = await session.runtime.store.get("alpha")
    assert record is not None
    if isinstance(defined, ClusterStatus):
        assert record.spec.nodes["n0"].role == "leader"
    if isinstance(started, ClusterStatus):
        assert audit(bed).active == {"alpha.n0", "alpha.n1"}
    assert isinstance(defined, ClusterStatus) or isinstance(started, ClusterStatus)
    await session.runtime.controller.converge(record, timeout_s=120)
    assert (await session.runtime.rounds.run("alpha")).converged


async def test_a_base_image_that_was_replaced_is_never_put_below_disks_of_the_old_one(
    bed: Bed, session: Session
) -> None:
    image = bed.directory / "base.qcow2"
    shutil.copy(bed.empty_image, image)

    def edit(document: dict[str, Any]) -> None:
        document["base_image"] = str(image)

    path = bed.write_topology("alpha", edit=edit)
    await session.clusters.define("alpha")
    os.utime(image, (1, 1))
    with pytest.raises(ClusterError, match="no longer the image") as caught:
        await session.clusters.start("alpha", wait_for_ssh=False)
    assert caught.value.code is ErrorCode.CONFLICT
    assert not audit(bed).active
    await session.clusters.stop("alpha", mode=StopMode.DESTROY)
    with pytest.raises(ApprovalRequired, match="data-loss"):
        await session.clusters.apply(path, start=False)
    await session.clusters.apply(path, start=False, approval=Approval(data_loss=True))
    assert "alpha/n0.vda.r1.0.qcow2" in audit(bed).files
    assert (await session.clusters.plan(path, start=False)).plan.converged


async def test_a_kernel_that_was_built_again_under_its_name_is_the_one_that_boots_next(
    bed: Bed, session: Session
) -> None:
    kernel = bed.directory / "bzImage"
    shutil.copyfile(BASE_IMAGE.with_suffix(".vmlinuz"), kernel)
    boot = {"kernel": str(kernel)}
    bed.write_topology("alpha", edit=lambda document: document.update(boot=boot))
    await session.clusters.define("alpha")
    assert (await session.clusters.plan("alpha", start=False)).plan.converged
    shutil.copyfile(BASE_IMAGE.with_suffix(".vmlinuz"), kernel)
    assert await _reasons_to_define(session) == {"the kernel or initrd file of that name was replaced"}
    await session.clusters.apply("alpha", start=False)
    assert await _reasons_to_define(session) == set()
    await session.clusters.start("alpha", wait_for_ssh=False)
    os.utime(kernel, ns=(0, 0))
    assert await _reasons_to_define(session) == {"the kernel or initrd file of that name was replaced"}
    with pytest.raises(ApprovalRequired, match="file of that name was replaced"):
        await session.clusters.apply("alpha")


async def _reasons_to_define(session: Session) -> set[str]:
    plan = (await session.clusters.plan("alpha", start=False)).plan
    return {action.reason for action in plan.actions if isinstance(action, DefineDomain)}


async def test_what_libvirt_or_the_host_would_refuse_is_known_before_anything_is_made(
    bed: Bed, session: Session
) -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["cpu"] = "host-passthrough"
        document["virt_type"] = "qemu"
        document["nodes"][0]["vcpus"] = 256
        document["network"]["name"] = "theirs"

    theirs = (
        "<network><name>theirs</name><bridge name='vb-alpha'/><ip address='192.168.150.129' prefix='25'/></network>"
    )
    before = audit(bed)
    with host_libvirt() as host:
        foreign = host.networkDefineXML(theirs)
    try:
        bed.write_topology("alpha", edit=spoil)
        with pytest.raises(TopologyInvalid, match="5 problems in ") as refused:
            await session.clusters.plan("alpha")
        for said in (
            "cpu: host-passthrough is not a CPU model that libvirt knows",
            "nodes[0].vcpus: 256 exceeds what a machine can have (at most 255)",
            "network.name: a libvirt network named 'theirs' already exists and is not this cluster's",
            "network.bridge: vb-alpha is the bridge of the libvirt network theirs",
            "network.subnet: 192.168.150.0/24 overlaps 192.168.150.128/25 of the libvirt network theirs",
        ):
            assert said in str(refused.value)
        bed.write_topology("alpha")
        with pytest.raises(Conflict, match="2 problems in "):
            await session.clusters.define("alpha")
    finally:
        foreign.undefine()
    assert audit(bed) == before


async def test_a_subnet_that_the_host_has_already_is_refused_and_leaves_no_dead_network(
    bed: Bed, session: Session
) -> None:
    bed.write_topology("alpha")
    await process.run(["ip", "link", "add", "vb-theirs", "up", "type", "bridge"])
    await process.run(["ip", "address", "add", "192.168.150.200/28", "dev", "vb-theirs"])
    try:
        with pytest.raises(Conflict, match=r"overlaps 192\.168\.150\.192/28, which this host has at vb-theirs"):
            await session.clusters.define("alpha")
        await process.run(["ip", "address", "add", "192.168.150.2/24", "dev", "vb-theirs"])
        network = Network(
            bridge="vb-alpha", gateway="192.168.150.1", prefix_length=24, forward=Forward.ISOLATED, active=True
        )
        with pytest.raises(OperationFailed):
            await session.runtime.libvirt.create_network("alpha", "net-alpha", network)
    finally:
        await process.run(["ip", "link", "del", "vb-theirs"])
    assert not audit(bed).networks
    await session.clusters.define("alpha")
    await process.run(["ip", "link", "add", "vb-theirs", "up", "type", "bridge"])
    try:  # what is there already is not made, so nothing stands in its way
        await process.run(["ip", "address", "add", "192.168.150.200/28", "dev", "vb-theirs"])
        assert (await session.clusters.plan("alpha", start=False)).plan.converged
    finally:
        await process.run(["ip", "link", "del", "vb-theirs"])


@pytest.mark.parametrize("bus", ["scsi", "sata", "virtio"])
async def test_as_many_disks_as_a_topology_may_have_are_on_controllers_that_guests_know(
    bed: Bed, session: Session, bus: str
) -> None:
    def add_disks(document: dict[str, Any]) -> None:
        document["nodes"][0]["extra_disks"] = [
            {"path": str(bed.directory / f"{number}.qcow2"), "size_gb": 1, "bus": bus} for number in range(24)
        ]

    bed.write_topology("alpha", nodes=1, edit=add_disks)
    await session.clusters.apply("alpha", wait_for_ssh=False)
    with host_libvirt() as host:
        devices = ET.fromstring(host.lookupByName("alpha.n0").XMLDesc(0)).iterfind("devices/controller")
        scsi = [device.get("model") for device in devices if device.get("type") == "scsi"]
    assert scsi == (["virtio-scsi"] if bus == "scsi" else [])
    assert (await session.clusters.plan("alpha")).plan.converged


async def test_a_first_scsi_disk_is_plugged_in_with_a_controller_that_guests_know(bed: Bed, session: Session) -> None:
    def add_disk(document: dict[str, Any]) -> None:
        disk = {"path": str(bed.directory / "0.qcow2"), "size_gb": 1, "bus": "scsi"}
        document["nodes"][0]["extra_disks"] = [disk]

    bed.write_topology("alpha", nodes=1)
    await session.clusters.apply("alpha", wait_for_ssh=False)
    bed.write_topology("alpha", nodes=1, edit=add_disk)
    await session.clusters.apply("alpha", wait_for_ssh=False)
    with host_libvirt() as host:
        for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):
            devices = ET.fromstring(host.lookupByName("alpha.n0").XMLDesc(flags)).iterfind("devices/controller")
            assert [of.get("model") for of in devices if of.get("type") == "scsi"] == ["virtio-scsi"]
    assert (await session.clusters.plan("alpha")).plan.converged
