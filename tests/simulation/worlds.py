"""Generated clusters: records that users could have written, and hosts in any state, however they got there."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from hypothesis import strategies as st

from reconciler.desired.compile import HostFacts, compile_document
from reconciler.error_codes import ErrorCode
from reconciler.faults.validate import impair_fault, partition_fault
from reconciler.model import names
from reconciler.model.choices import CutMode, Direction, StopMode
from reconciler.model.document import (
    ClusterDocument,
    Domain,
    Layer,
    Network,
    NodeLinks,
    Power,
    PowerState,
    Seed,
    Snapshot,
    Tap,
    Unknown,
)
from reconciler.model.faults import Halves, ImpairRequest, One, PartitionRequest, WantedFault
from reconciler.model.links import HOST, Impairment, Link
from reconciler.model.record import (
    EVERYTHING,
    ClusterRecord,
    ClusterSpec,
    Deletion,
    ExtraDiskSpec,
    ImageFile,
    NetworkSpec,
    NodeIntent,
    NodeSpec,
    SnapshotIntent,
    SshSpec,
    WantedPower,
)
from reconciler.model.topology import DiskBus, Forward

CLUSTER = "lab"
OVERLAY_DIR = Path("/overlays")
CLUSTER_DIR = f"{OVERLAY_DIR}/{CLUSTER}"
USERS_DISK = Path("/disks/mine.raw")
FILES_OF_USERS = frozenset({str(USERS_DISK)})
NODES = ("alpha", "beta", "gamma")
EMULATED = HostFacts(kvm_usable=False)
NOTHING = ClusterDocument()
NOW = datetime(2026, 1, 1, tzinfo=UTC)

_BRIDGE = "virbr-lab0"
_OTHER_NETWORKS = ("net-old", "net-older")
_epochs = st.integers(0, 2)


def compiled(
    record: ClusterRecord, observed: ClusterDocument = NOTHING, made: frozenset[int] = frozenset()
) -> ClusterDocument:
    """The desired document of the record on a host without KVM."""
    return compile_document(record, EMULATED, observed, made, now=NOW)


def node_spec(index: int, extra_disks: dict[str, ExtraDiskSpec] | None = None, memory_mb: int = 512) -> NodeSpec:
    """The node at that place in `NODES`."""
    return NodeSpec(
        role="worker",
        vcpus=1,
        memory_mb=memory_mb,
        ip=IPv4Address("192.168.77.10") + index,
        mac=names.mac_address(CLUSTER, NODES[index % len(NODES)]),
        tap=names.tap_name(CLUSTER, NODES[index % len(NODES)]),
        base_image=ImageFile(path=Path("/images/base.qcow2"), format="qcow2", size_bytes=2**30),
        extra_disks=extra_disks or {},
    )


def cluster_spec(nodes: dict[str, NodeSpec], network: str = "net-lab") -> ClusterSpec:
    """A specification with these nodes."""
    return ClusterSpec(
        overlay_dir=OVERLAY_DIR,
        network=NetworkSpec(
            name=network,
            bridge=_BRIDGE,
            subnet=IPv4Network("192.168.77.0/24"),
            gateway=IPv4Address("192.168.77.1"),
            forward=Forward.NAT,
        ),
        nodes=nodes,
        ssh=SshSpec(user="root", key_path=Path("/etc/key"), public_key="ssh-ed25519 AAAA", connect_timeout_s=30),
    )


def extra_disk(node: str, bus: DiskBus = DiskBus.VIRTIO, *, existing: bool = False) -> ExtraDiskSpec:
    """A disk that we made, or the one that the user provides."""
    path = USERS_DISK if existing else Path(f"/disks/{node}-data.qcow2")
    return ExtraDiskSpec(path=path, size_bytes=2**20, bus=bus, existing=existing)


def running_record(*nodes: str) -> ClusterRecord:
    """A record with these nodes desired running."""
    return ClusterRecord(
        cluster_name=CLUSTER,
        spec=cluster_spec({node: node_spec(NODES.index(node)) for node in nodes}),
        nodes={node: NodeIntent(power=WantedPower.RUNNING) for node in nodes},
        consent=(EVERYTHING,),
    )


def as_wanted(record: ClusterRecord, before: ClusterDocument = NOTHING) -> ClusterDocument:
    """A host on which everything is as the record wants it, having been as `before`."""
    wanted = compiled(record, before)
    power = {
        node: of.model_copy(update={"stop_mode": StopMode.SHUTDOWN})
        for node, of in wanted.power.items()
        if isinstance(of, Power)
    }
    return wanted.model_copy(update={"power": power})


@st.composite
def records(draw: st.DrawFn) -> ClusterRecord:
    """Any record of up to three nodes, also of a cluster that is being destroyed."""
    wanted = draw(st.lists(st.sampled_from(NODES), unique=True, min_size=1))
    return ClusterRecord(
        cluster_name=CLUSTER,
        spec=cluster_spec(
            {node: draw(_node_specs(node)) for node in wanted}, draw(st.sampled_from(["net-lab", "net-new"]))
        ),
        nodes={node: draw(_intents()) for node in wanted},
        snapshots=draw(_snapshot_intents),
        snapshot_requests=len(_SNAPSHOTS),
        faults=draw(_faults(wanted)),
        deletion=draw(
            st.sampled_from([None, None, None, Deletion(remove_overlays=True), Deletion(remove_overlays=False)])
        ),
        consent=(EVERYTHING,),
    )


@st.composite
def hosts(draw: st.DrawFn, record: ClusterRecord) -> ClusterDocument:
    """Any state of a host: some of it as wanted, some left by an older record, some broken, some not ours."""
    wanted = compiled(record.model_copy(update={"deletion": None}))
    earlier = compiled(draw(records()).model_copy(update={"deletion": None}))
    parts = [draw(_node_states(node, wanted, earlier)) for node in NODES]
    return ClusterDocument(
        networks=draw(_network_states(wanted, earlier)),
        layers=draw(_layer_states(wanted, earlier)),
        snapshots=draw(_snapshot_states),
        links=draw(_link_states(wanted, earlier)),
        **{kind: {n: found[kind] for n, found in zip(NODES, parts, strict=True) if kind in found} for kind in _BY_NODE},
    )


_BY_NODE = ("seeds", "domains", "power", "taps")


def unknown(what: str, code: ErrorCode = ErrorCode.CONFLICT) -> Unknown:
    """Something that is not ours, or could not be read."""
    return Unknown(unknown=what, code=code, terminal=code is ErrorCode.CONFLICT)


@st.composite
def _node_specs(draw: st.DrawFn, node: str) -> NodeSpec:
    disks = draw(st.sampled_from([{}, {}, *({"vdb": extra_disk(node, bus)} for bus in DiskBus)]))
    if draw(st.booleans()):
        disks = {**disks, "vdc": extra_disk(node, existing=True)}
    return node_spec(NODES.index(node), disks, draw(st.sampled_from([512, 1024])))


@st.composite
def _intents(draw: st.DrawFn) -> NodeIntent:
    return NodeIntent(
        power=draw(st.sampled_from(WantedPower)),
        boot_epoch=draw(_epochs),
        stop_mode=draw(st.sampled_from(StopMode)),
        resume_epoch=draw(_epochs),
        disk_revision=draw(_epochs),
    )


@st.composite
def _faults(draw: st.DrawFn, nodes: list[str]) -> dict[str, WantedFault]:
    """A few faults of every kind, some of them over, some about to be."""
    if len(nodes) < 2:
        return {}
    handles = draw(st.sets(st.sampled_from(["fault-1", "fault-2"])))
    return {handle: draw(_one_fault(nodes, handle)) for handle in sorted(handles)}


@st.composite
def _one_fault(draw: st.DrawFn, nodes: list[str], handle: str) -> WantedFault:
    source, direction = draw(st.sampled_from(nodes)), draw(st.sampled_from(Direction))
    left_s = draw(st.sampled_from([None, None, -1, 1, 60]))
    expires_at = None if left_s is None else NOW + timedelta(seconds=left_s)
    partitions = [PartitionRequest(shape=Halves(), direction=direction)]
    partitions += [PartitionRequest(shape=One(node=source), mode=CutMode.LINK_DOWN)]
    impairments = [ImpairRequest(source=source, direction=direction, impairment=Impairment(delay_ms=80))]
    impairments += [ImpairRequest(source=source, impairment=Impairment(loss_pct=5), include_host=True)]
    if draw(st.booleans()):
        cut = draw(st.sampled_from(partitions))
        return partition_fault(cut, nodes, handle_id=handle, created_at=NOW, expires_at=expires_at)
    impaired = draw(st.sampled_from(impairments))
    return impair_fault(impaired, nodes, handle_id=handle, created_at=NOW, expires_at=expires_at)


def _link_states(wanted: ClusterDocument, earlier: ClusterDocument) -> st.SearchStrategy[dict[str, object]]:
    """As desired now or before, or half of it, with leftovers of a removed node; or not observable at all."""
    cut = NodeLinks(links={"<vmc-gone>": Link(cut=True)})
    half = {node: of for node, of in earlier.links.items() if node != NODES[0]}
    unseen = {HOST: unknown("nft cannot be asked", ErrorCode.HOST_COMMAND_FAILED)}
    forbidden = {HOST: unknown("nft may not be asked", ErrorCode.HOST_CAPABILITY_MISSING)}
    left = {**half, NODES[0]: cut, "<vmc-gone>": cut}
    known: list[dict[str, object]] = [{}, {**wanted.links}, {**earlier.links}, {**left}]
    return st.sampled_from([*known, *known, {**unseen}, {**forbidden}])


@st.composite
def _node_states(draw: st.DrawFn, node: str, wanted: ClusterDocument, earlier: ClusterDocument) -> dict[str, object]:
    """One node's part of a host; a machine may run without a definition, or be defined and off."""
    found: dict[str, object] = {}
    domains = [document.domains[node] for document in (wanted, earlier) if node in document.domains]
    domain = draw(
        st.sampled_from([None, *domains, *map(_disturbed, domains), unknown("a domain that we did not make")])
    )
    if domain is not None:
        found["domains"] = domain
    if isinstance(domain, Domain) or (domain is None and draw(_rarely)):
        states = [state for state in PowerState if domain is not None or state is not PowerState.OFF]
        power = Power(state=draw(st.sampled_from(states)), boot_epoch=draw(_epochs), resume_epoch=draw(_epochs))
        found["power"] = draw(_sometimes_unreadable(power))
        if power.state is not PowerState.OFF:
            found["taps"] = Tap(bridge=draw(st.sampled_from([_BRIDGE, _BRIDGE, None])))
    seeds = [document.seeds[node] for document in (wanted, earlier) if node in document.seeds]
    seed = draw(st.sampled_from([None, Seed(digest="stale"), *seeds, *seeds, unknown("a seed that we did not make")]))
    if seed is not None:
        found["seeds"] = seed
    return found


_SNAPSHOTS = ("clean", "dirty")
_snapshot_intents = st.sets(st.sampled_from(_SNAPSHOTS)).map(
    lambda names: {name: SnapshotIntent(request=_SNAPSHOTS.index(name) + 1) for name in sorted(names)}
)
_snapshot_states = st.dictionaries(
    st.sampled_from(_SNAPSHOTS),
    st.sampled_from(
        [
            Snapshot(request=1, include_memory=False),
            Snapshot(request=1, include_memory=True),
            Snapshot(request=0, include_memory=False, half_made=True),
            unknown("its manifest cannot be read", ErrorCode.SNAPSHOT_FAILED),
        ]
    ),
)

_rarely = st.sampled_from([False, False, False, True])


def _sometimes_unreadable(power: Power) -> st.SearchStrategy[Power | Unknown]:
    return st.sampled_from([power] * 9 + [unknown("its state cannot be read", ErrorCode.LIBVIRT_UNAVAILABLE)])


def _disturbed(domain: object) -> object:
    assert isinstance(domain, Domain)
    return domain.model_copy(update={"vcpus": domain.vcpus + 1})


@st.composite
def _network_states(draw: st.DrawFn, wanted: ClusterDocument, earlier: ClusterDocument) -> dict[str, Network | Unknown]:
    found: dict[str, Network | Unknown] = {}
    taken: set[str] = set()
    for name in draw(st.permutations([*{*wanted.networks, *earlier.networks}, *_OTHER_NETWORKS])):
        network = draw(st.sampled_from([None, *map(_one_network, (wanted, earlier)), unknown("somebody's network")]))
        if isinstance(network, Network):
            bridge = draw(st.sampled_from([network.bridge, f"virbr-{name}"]))
            if bridge in taken:  # libvirt lets no two networks have one bridge
                continue
            taken.add(bridge)
            network = network.model_copy(update={"bridge": bridge, "active": draw(st.booleans())})
        if isinstance(network, Unknown) and name in _OTHER_NETWORKS:  # is not looked at
            continue
        if network is not None:
            found[name] = network
    return found


def _one_network(document: ClusterDocument) -> Network:
    (network,) = document.networks.values()
    assert isinstance(network, Network)
    return network


@st.composite
def _layer_states(draw: st.DrawFn, wanted: ClusterDocument, earlier: ClusterDocument) -> dict[str, Layer | Unknown]:
    found: dict[str, Layer | Unknown] = {}
    for path, layer in {**earlier.layers, **wanted.layers}.items():
        assert isinstance(layer, Layer)
        differs = layer.model_copy(update={"size_bytes": layer.size_bytes * 2})
        seen = draw(st.sampled_from([None, layer, layer, layer, differs, unknown("not qcow2")]))
        if seen is not None:
            found[path] = seen
    return found
