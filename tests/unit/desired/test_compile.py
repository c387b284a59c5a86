"""From a record to the desired document."""

from pathlib import Path

from hypothesis import given

from reconciler.desired.compile import HostFacts, compile_document, needs_kvm_verdict, seed_inputs, warnings_for
from reconciler.model.choices import StopMode
from reconciler.model.document import ClusterDocument, Domain, Layer, Network, Power, Seed, Snapshot, Tap, Unknown
from reconciler.model.record import BootSpec, ClusterRecord, Deletion, NodeIntent, WantedPower
from reconciler.model.snapshot import FrozenDisk, SnapshotNode, SnapshotPower
from reconciler.model.topology import DiskBus, Firmware, Forward, VirtType
from tests.simulation.worlds import (
    NOTHING,
    NOW,
    as_wanted,
    cluster_spec,
    compiled,
    extra_disk,
    node_spec,
    records,
    running_record,
)

RECORD = running_record("alpha", "beta")


def with_node(**changes: object) -> ClusterRecord:
    """`RECORD` with another specification of alpha."""
    node = RECORD.spec.nodes["alpha"].model_copy(update=changes)
    spec = RECORD.spec.model_copy(update={"nodes": {**RECORD.spec.nodes, "alpha": node}})
    return RECORD.model_copy(update={"spec": spec})


def with_intent(**changes: object) -> ClusterRecord:
    intent = RECORD.nodes["alpha"].model_copy(update=changes)
    return RECORD.model_copy(update={"nodes": {**RECORD.nodes, "alpha": intent}})


def domain_of(record: ClusterRecord, *, kvm: bool = False) -> Domain:
    domain = compile_document(record, HostFacts(kvm_usable=kvm), NOTHING, now=NOW).domains["alpha"]
    assert isinstance(domain, Domain)
    return domain


@given(records())
def test_the_same_record_always_gives_the_same_document(record: ClusterRecord) -> None:
    again = ClusterRecord.model_validate_json(record.model_dump_json())
    assert compiled(record) == compiled(again)


@given(records())
def test_every_part_of_a_node_has_the_node_for_its_key(record: ClusterRecord) -> None:
    wanted = compiled(record.model_copy(update={"deletion": None}))
    nodes = record.spec.nodes.keys()
    assert wanted.seeds.keys() == wanted.domains.keys() == wanted.power.keys() == nodes
    assert wanted.taps.keys() == {node for node in nodes if record.nodes[node].power is not WantedPower.OFF}


@given(records())
def test_every_file_that_a_domain_writes_to_is_a_layer_or_the_users_own(record: ClusterRecord) -> None:
    wanted = compiled(record.model_copy(update={"deletion": None}))
    for node, domain in wanted.domains.items():
        assert isinstance(domain, Domain)
        own = {str(disk.path) for disk in record.spec.nodes[node].extra_disks.values() if disk.existing}
        written = {str(disk.path) for disk in domain.disks.values() if not disk.read_only}
        layers = {path for path, layer in wanted.layers.items() if isinstance(layer, Layer) and layer.node == node}
        assert written == layers | own


def test_a_network_has_the_hosts_address_and_is_active() -> None:
    assert compiled(RECORD).networks == {
        "net-lab": Network(
            bridge="virbr-lab0", gateway="192.168.77.1", prefix_length=24, forward=Forward.NAT, active=True
        )
    }


def test_a_root_disk_is_a_layer_on_the_image_and_its_revision_is_in_its_name() -> None:
    layers = compiled(with_intent(disk_revision=3)).layers
    assert layers["/overlays/lab/alpha.vda.r3.0.qcow2"] == Layer(
        node="alpha", disk="vda", size_bytes=2**30, backing=Path("/images/base.qcow2"), backing_format="qcow2"
    )
    assert "/overlays/lab/beta.vda.r0.0.qcow2" in layers


def test_a_root_disk_has_the_desired_size_unless_it_stands_on_a_larger_one() -> None:
    path, frozen = "/overlays/lab/alpha.vda.r0.0.qcow2", "/overlays/lab/alpha.vda.r7.0.qcow2"
    record = with_node(disk_gb=3)
    wanted = compiled(record).layers[path]
    assert isinstance(wanted, Layer)
    assert wanted.size_bytes == 3 * 2**30
    assert seed_inputs(record)["alpha"].grows
    assert not seed_inputs(RECORD)["alpha"].grows

    smaller = ClusterDocument(layers={path: wanted.model_copy(update={"size_bytes": 2**30})})
    assert compiled(record, smaller).layers[path] == wanted

    part = SnapshotNode(disks={"vda": FrozenDisk(path=Path(frozen), format="qcow2")}, power=SnapshotPower.OFF)
    there = {frozen: wanted.model_copy(update={"size_bytes": 5 * 2**30})}
    snapshot = Snapshot(request=1, include_memory=False, nodes={"alpha": part})
    intent = record.nodes["alpha"].model_copy(update={"based_on": "s"})
    reverted = record.model_copy(update={"nodes": {**record.nodes, "alpha": intent}})
    begun = compiled(reverted, ClusterDocument(layers=there, snapshots={"s": snapshot})).layers[path]
    assert isinstance(begun, Layer)
    assert (begun.backing, begun.size_bytes) == (Path(frozen), 5 * 2**30)


def test_our_extra_disk_is_a_layer_and_one_of_the_users_is_only_used() -> None:
    disks = {"vdb": extra_disk("alpha", DiskBus.SCSI), "vdc": extra_disk("alpha", existing=True)}
    record = with_node(extra_disks=disks)
    wanted, domain = compiled(record), domain_of(record)
    assert wanted.layers["/disks/alpha-data.qcow2"] == Layer(node="alpha", disk="vdb", size_bytes=2**20)
    assert "/disks/mine.raw" not in wanted.layers
    assert [*domain.disks] == ["vda", "vdb", "vdc", "vdz"]
    assert domain.disks["vdb"].bus is DiskBus.SCSI


def test_the_seed_is_the_last_disk_and_read_only() -> None:
    target, disk = [*domain_of(RECORD).disks.items()][-1]
    assert (target, disk.path, disk.format, disk.read_only) == (
        "vdz",
        Path("/overlays/lab/alpha.seed.iso"),
        "raw",
        True,
    )


def test_a_machine_runs_on_kvm_where_it_works_and_emulated_elsewhere() -> None:
    assert (domain_of(RECORD, kvm=True).virt_type, domain_of(RECORD, kvm=True).cpu) == ("kvm", "host")
    assert (domain_of(RECORD).virt_type, domain_of(RECORD).cpu) == ("qemu", "maximum")


def test_what_a_topology_says_of_the_processor_wins() -> None:
    domain = domain_of(with_node(virt_type=VirtType.QEMU, cpu="Nehalem"), kvm=True)
    assert (domain.virt_type, domain.cpu) == ("qemu", "Nehalem")


def test_a_direct_kernel_boot_is_part_of_the_domain() -> None:
    boot = domain_of(with_node(boot=BootSpec(kernel=Path("/k"), initrd=None, cmdline="quiet"))).boot
    assert boot is not None
    assert (boot.kernel, boot.initrd, boot.cmdline) == (Path("/k"), None, "quiet")


def test_a_shared_disk_has_no_layer_and_is_refused_where_a_snapshot_holds_it() -> None:
    shared = extra_disk("alpha", existing=True).model_copy(update={"format": "raw", "shared": True})
    record = with_node(extra_disks={"vdb": shared})
    disk = domain_of(record).disks["vdb"]
    assert (disk.path, disk.format, disk.shared, disk.backing) == (shared.path, "raw", True, ())
    part = SnapshotNode(disks={"vdb": FrozenDisk(path=shared.path, format="raw")}, power=SnapshotPower.OFF)
    held = Snapshot(request=1, include_memory=False, nodes={"alpha": part})
    found = compiled(record, ClusterDocument(snapshots={"before": held})).domains["alpha"]
    assert isinstance(found, Unknown)
    assert f"{shared.path} is part of a snapshot" in found.unknown


def test_a_shared_disk_that_is_made_is_one_raw_layer_whichever_node_names_it() -> None:
    made = extra_disk("alpha").model_copy(update={"format": "raw", "shared": True})
    record = with_node(extra_disks={"vdb": made})
    beta = record.spec.nodes["beta"].model_copy(update={"extra_disks": {"vdb": made.model_copy(), "vdc": made}})
    spec = record.spec.model_copy(update={"nodes": {**record.spec.nodes, "beta": beta}})
    desired = compiled(record.model_copy(update={"spec": spec}))
    layer = Layer(node="alpha", disk="vdb", size_bytes=made.size_bytes, format="raw")
    assert desired.layers[str(made.path)] == layer
    beta_domain = desired.domains["beta"]
    assert isinstance(beta_domain, Domain)
    disks = [beta_domain.disks[target] for target in ("vdb", "vdc")]
    assert {(disk.path, disk.format, disk.shared, disk.backing) for disk in disks} == {(made.path, "raw", True, ())}


def test_uefi_variables_begin_again_with_the_root_disk() -> None:
    record, alpha = with_node(firmware=Firmware.UEFI), RECORD.nodes["alpha"]
    began_again = record.model_copy(
        update={"nodes": {**record.nodes, "alpha": alpha.model_copy(update={"disk_revision": 3})}}
    )
    found = [domain_of(of) for of in (RECORD, record, began_again)]
    directory = RECORD.spec.overlay_dir / RECORD.cluster_name
    assert [of.firmware for of in found] == [Firmware.BIOS, Firmware.UEFI, Firmware.UEFI]
    assert [of.nvram for of in found] == [None, directory / "alpha.r0.nvram", directory / "alpha.r3.nvram"]


def test_a_record_that_does_not_tell_boot_files_apart_is_content_with_those_that_are_there() -> None:
    old, new = (with_node(boot=BootSpec(kernel=Path("/k"), identity=identity)) for identity in ("", "2:2"))
    there = domain_of(with_node(boot=BootSpec(kernel=Path("/k"), identity="1:1")))
    observed = ClusterDocument(domains={"alpha": there})
    found = [compiled(record, observed=observed).domains["alpha"] for record in (old, new)]
    assert [domain.boot_files for domain in found if isinstance(domain, Domain)] == ["1:1", "2:2"]


def test_what_was_asked_of_a_node_is_its_power() -> None:
    record = with_intent(power=WantedPower.PAUSED, boot_epoch=4, resume_epoch=2, stop_mode=StopMode.DESTROY)
    power = compiled(record).power["alpha"]
    assert isinstance(power, Power)
    assert (power.state.value, power.boot_epoch, power.resume_epoch, power.stop_mode) == ("paused", 4, 2, "destroy")


def test_a_node_that_should_be_off_has_no_tap() -> None:
    assert compiled(with_intent(power=WantedPower.OFF)).taps == {"beta": Tap(bridge="virbr-lab0")}


def test_a_new_node_changes_the_seeds_of_all_as_they_know_each_other() -> None:
    alone, both = compiled(running_record("alpha")), compiled(RECORD)
    assert alone.seeds["alpha"] != both.seeds["alpha"]
    assert alone.domains["alpha"] == both.domains["alpha"]


def test_a_fresh_root_disk_is_a_new_instance_to_cloud_init() -> None:
    before, after = seed_inputs(RECORD), seed_inputs(with_intent(disk_revision=1, instance=1))
    assert before["alpha"].instance_id != after["alpha"].instance_id
    assert before["beta"] == after["beta"]


def test_a_revert_is_the_same_instance_to_cloud_init() -> None:
    assert seed_inputs(with_intent(disk_revision=1, based_on="s")) == seed_inputs(RECORD)


def test_an_isolated_network_gives_its_nodes_no_gateway() -> None:
    network = RECORD.spec.network.model_copy(update={"forward": Forward.ISOLATED})
    isolated = RECORD.model_copy(update={"spec": RECORD.spec.model_copy(update={"network": network})})
    assert [inputs.gateway for inputs in seed_inputs(isolated).values()] == [None, None]
    assert all(inputs.gateway is not None for inputs in seed_inputs(RECORD).values())


def test_a_cluster_that_goes_with_its_disks_wants_nothing() -> None:
    gone = RECORD.model_copy(update={"deletion": Deletion(remove_overlays=True)})
    assert compiled(gone, as_wanted(RECORD)) == ClusterDocument()


def test_a_cluster_that_goes_and_keeps_its_disks_wants_what_is_there_of_them() -> None:
    gone = RECORD.model_copy(update={"deletion": Deletion(remove_overlays=False)})
    found = as_wanted(RECORD).model_copy(update={"seeds": {"alpha": Seed(digest="old")}})
    assert compiled(gone, found) == ClusterDocument(layers=found.layers, seeds=found.seeds)


def test_two_hundred_nodes_are_all_different() -> None:
    nodes = {f"n{index}": node_spec(0).model_copy(update={"mac": f"{index}"}) for index in range(200)}
    record = ClusterRecord(cluster_name="lab", spec=cluster_spec(nodes), nodes={name: NodeIntent() for name in nodes})
    seeds = {seed.digest for seed in compiled(record).seeds.values() if isinstance(seed, Seed)}
    assert len(seeds) == len(nodes)


def test_kvm_is_looked_into_only_where_a_node_leaves_the_choice_or_asks_for_it() -> None:
    emulated = {name: node.model_copy(update={"virt_type": VirtType.QEMU}) for name, node in RECORD.spec.nodes.items()}
    record = RECORD.model_copy(update={"spec": RECORD.spec.model_copy(update={"nodes": emulated})})
    assert not needs_kvm_verdict(record)
    for choice in (VirtType.AUTO, VirtType.KVM):
        nodes = {**emulated, "beta": emulated["beta"].model_copy(update={"virt_type": choice})}
        assert needs_kvm_verdict(record.model_copy(update={"spec": record.spec.model_copy(update={"nodes": nodes})}))


def test_a_demand_for_a_kvm_that_is_slower_than_emulation_is_warned_of() -> None:
    slow = HostFacts(kvm_usable=False, kvm_reason="under /dev/kvm was still in long mode after 0.6 s")
    (warning,) = warnings_for(with_node(virt_type=VirtType.KVM), slow)
    assert warning.startswith("alpha: `virt_type: kvm`")
    assert "still in long mode after 0.6 s" in warning
    assert warnings_for(RECORD, slow) == ()
    (warning,) = warnings_for(RECORD, HostFacts(kvm_usable=False, memory_mb=600))
    assert "1024 MiB" in warning
    assert warnings_for(RECORD, HostFacts(kvm_usable=False, memory_mb=1024)) == ()
    assert warnings_for(with_node(virt_type=VirtType.KVM), HostFacts(kvm_usable=True)) == ()


def test_every_node_knows_a_node_by_its_full_name_too() -> None:
    named = RECORD.spec.nodes["beta"].model_copy(update={"user_data": {"fqdn": "beta.example.org"}})
    spec = RECORD.spec.model_copy(update={"nodes": {**RECORD.spec.nodes, "beta": named}})
    inputs = seed_inputs(RECORD.model_copy(update={"spec": spec}))
    assert f"{named.ip} beta.example.org beta\n" in inputs["alpha"].hosts
    assert inputs["alpha"].hosts == inputs["beta"].hosts
