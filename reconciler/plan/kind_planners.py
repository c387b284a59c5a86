"""One function per resource kind, from (desired, observed) to the actions that close the difference.

All share one signature. Each looks at its own field of the documents, and at a node's power where that decides how
a change is made. `Unknown` never yields an action: `reconciler.plan.planner` reports it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

from reconciler.error_codes import ErrorCode
from reconciler.model.document import (
    ClusterDocument,
    Domain,
    Halt,
    HaltReason,
    Layer,
    Network,
    NodeLinks,
    Power,
    PowerState,
    Unknown,
)
from reconciler.model.names import parse_layer_name
from reconciler.model.plan import (
    AttachDisk,
    ChangeKind,
    CreateLayer,
    CreateNetwork,
    DefineDomain,
    DeleteLayer,
    DeleteNetwork,
    DeleteSeed,
    Disruption,
    Epochs,
    PlugTap,
    RestoreOwner,
    SetHostAddress,
    SetTunnel,
    StartNetwork,
    UndefineDomain,
    UpdateSeed,
    WriteSeed,
)
from reconciler.model.status import Obstacle
from reconciler.model.topology import DiskBus
from reconciler.plan.document_queries import (
    Step,
    begins_anew,
    changed_fields,
    holds_what_a_node_has_now,
    in_words,
    is_running,
    known,
    known_extra,
    live_fields,
    stays_up,
)
from reconciler.plan.flattening import flattening
from reconciler.plan.growth import growth

HOT_PLUG_BUSES = frozenset({DiskBus.VIRTIO, DiskBus.SCSI})
_FOUND_ONLY = {"written", "resumed", "flattening", "reowned", "misplaced"}
_MOST_MARKS_SHOWN = 3
_MARKED = {
    "directory": "the directory",
    "networks": "network",
    "domains": "the domain of node",
    "layers": "layer",
    "seeds": "the seed of node",
    "snapshots": "snapshot",
}


def plan_networks(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """Create, start or replace networks, with their tunnels; delete the others last, unless they block one of these."""
    extra = known_extra(desired.networks, observed.networks)
    for name, want in known(desired.networks):
        have = observed.networks.get(name)
        if isinstance(have, Unknown):
            continue
        remade = have is None or not have.active or bool(_network_changes(have, want))
        if remade:
            in_the_way = tuple(other for other in extra if _clash(observed.networks[other], want))
            yield _make_network(name, have, want, in_the_way)
            extra = [other for other in extra if other not in in_the_way]
        yield from _set_tunnel(name, have, want, remade=remade)
        yield from _set_host_address(name, have, want, remade=remade)
    for name in extra:
        yield DeleteNetwork(name=name, reason="no longer desired", change=ChangeKind.DELETE)


def plan_layers(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """Create, grow, flatten and delete layers; any other difference is an obstacle."""
    for path, want in known(desired.layers):
        have = observed.layers.get(path)
        if have is None:
            yield CreateLayer(
                node=want.node, path=Path(path), layer=want, reason="not created yet", change=ChangeKind.CREATE
            )
        elif isinstance(have, Layer) and have.misplaced and not want.misplaced:
            yield _misplaced(path, have, want)
        elif isinstance(have, Layer) and have.base_changed and not want.base_changed:
            yield Obstacle(
                code=ErrorCode.CONFLICT,
                node=want.node,
                terminal=True,
                message=f"{have.backing} is no longer the image that {path} was created from: restore the original "
                "image, or recreate the disk with `cluster_apply(allow_data_loss=true)`",
            )
        elif isinstance(have, Layer) and (
            step := growth(path, have, want, observed) or flattening(path, have, want, observed)
        ):
            yield step
        elif isinstance(have, Layer) and (changes := changed_fields(have, want, ignoring=_told_apart_by(have, want))):
            yield Obstacle(
                code=ErrorCode.CONFLICT,
                node=want.node,
                terminal=True,
                message=f"{path} differs from the desired disk ({in_words(changes)}) and holds data: "
                "restore the old value, or recreate the node with `cluster_apply(allow_data_loss=true)`",
            )
    yield from _restore_owners(desired, observed)
    for path in known_extra(desired.layers, observed.layers):
        have = observed.layers[path]
        assert isinstance(have, Layer)
        yield DeleteLayer(
            node=have.node,
            path=Path(path),
            reason="no longer desired",
            change=ChangeKind.DELETE,
            disruption=Disruption.DATA_LOSS if holds_what_a_node_has_now(path, have, observed) else Disruption.NONE,
        )


def _told_apart_by(have: Layer, want: Layer) -> set[str]:
    """The fields to ignore; the owner of a disk that several nodes write to may change."""
    return _FOUND_ONLY | {"node", "disk"} if have.format == want.format == "raw" else _FOUND_ONLY


def _misplaced(path: str, have: Layer, want: Layer) -> Obstacle:
    """The obstacle for the node whose file belongs at `path`, no matter whose file is there."""
    parsed = parse_layer_name(path.rpartition("/")[2])
    return Obstacle(
        code=ErrorCode.CONFLICT,
        node=want.node if parsed is None else parsed[0],
        terminal=True,
        message=f"{path} is not the file that was created there: {have.misplaced}; put the right file back, or "
        "revert to a snapshot that does not need it",
    )


def plan_seeds(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """Write seeds whole; a guest that has booted before reads the parts that concern it at every boot."""
    for node, want in known(desired.seeds):
        have = observed.seeds.get(node)
        if have is None:
            yield WriteSeed(node=node, digest=want.digest, reason="not created yet", change=ChangeKind.CREATE)
        elif not isinstance(have, Unknown) and have != want:
            write = UpdateSeed if is_running(observed, node) and stays_up(desired, observed, node) else WriteSeed
            yield write(
                node=node,
                digest=want.digest,
                reason="addresses, names, keys or user data changed",
                disruption=Disruption.LIVE,
            )
    for node in known_extra(desired.seeds, observed.seeds):
        yield DeleteSeed(node=node, reason="no longer desired", change=ChangeKind.DELETE)


def plan_domains(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """Define domains, redefine those whose fields differ, undefine the rest with all that libvirt keeps for them."""
    for node, want in known(desired.domains):
        have = observed.domains.get(node)
        if isinstance(have, Unknown):
            continue
        carried_out = _epochs_to_write(desired, observed, node)
        if have is None:
            yield DefineDomain(
                node=node, domain=want, carried_out=carried_out, reason="not defined yet", change=ChangeKind.CREATE
            )
        elif have != want:
            other_disks = begins_anew(desired, observed, node) and not _continues_from_memory(desired, node)
            up = stays_up(desired, observed, node)
            yield from _redefine(node, have, want, carried_out, up=up, other_disks=other_disks)
    for node in known_extra(desired.domains, observed.domains):
        yield UndefineDomain(
            node=node, reason="no longer desired", change=ChangeKind.DELETE, disruption=Disruption.REMOVE
        )


def plan_taps(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """Plug a running node's tap into its network's bridge, also after the network was gone for a while."""
    for node, want in known(desired.taps):
        have, domain = observed.taps.get(node), desired.domains.get(node)
        if have is None or isinstance(have, Unknown) or have == want or not isinstance(domain, Domain):
            continue
        if isinstance(observed.networks.get(domain.network), Unknown):  # the bridge may be somebody else's
            continue
        if not stays_up(desired, observed, node) or _is_starting(observed, node):
            continue  # libvirt plugs in the tap of a machine that it starts
        assert want.bridge is not None
        yield PlugTap(
            node=node,
            tap=domain.tap,
            bridge=want.bridge,
            up=not _cable_is_pulled(desired, node),
            reason=f"plugged into {have.bridge or 'no bridge'}",
            disruption=Disruption.LIVE,
        )


def _is_starting(observed: ClusterDocument, node: str) -> bool:
    power = observed.power.get(node)
    halt = power.halt if isinstance(power, Power) else None
    return isinstance(halt, Halt) and halt.reason is HaltReason.STARTING


def _make_network(name: str, have: Network | None, want: Network, in_the_way: tuple[str, ...]) -> Step:
    changes = {} if have is None else _network_changes(have, want)
    if have is not None and not changes and not in_the_way:
        return StartNetwork(name=name, reason="defined, but not active")
    place = f"replaces {', '.join(in_the_way)}" if in_the_way else "not created yet"
    replaces = in_the_way if have is None else (*in_the_way, name)
    return CreateNetwork(
        name=name,
        network=want,
        replaces=replaces,
        reason=in_words(changes) or place,
        change=ChangeKind.CREATE if have is None else ChangeKind.UPDATE,
        disruption=Disruption.LIVE if replaces else Disruption.NONE,
    )


def _set_tunnel(name: str, have: Network | None, want: Network, *, remade: bool) -> Iterator[SetTunnel]:
    """A tunnel is changed under running nodes, unlike the rest of a network; a new bridge has none yet."""
    there, wanted = None if have is None else have.tunnel, want.tunnel
    if there == wanted and not (remade and wanted):
        return
    if wanted is None:
        reason, change = "no other host has a part of the network", ChangeKind.DELETE
    elif there is None:
        reason, change = f"to {', '.join(wanted.peers)}", ChangeKind.CREATE
    else:
        reason, change = in_words(changed_fields(there, wanted)) or "the bridge is a new one", ChangeKind.UPDATE
    disruption = Disruption.NONE if change is ChangeKind.CREATE else Disruption.LIVE
    yield SetTunnel(name=name, network=want, reason=f"tunnel: {reason}", change=change, disruption=disruption)


def _set_host_address(name: str, have: Network | None, want: Network, *, remade: bool) -> Iterator[SetHostAddress]:
    """A new bridge does not have the address yet, and a rule may be left of an old one."""
    there = None if have is None else have.host_address
    if want.host_address is None or (there == want.host_address and not remade):
        return
    reason = f"the host is {want.host_address.address} in it"
    change = ChangeKind.CREATE if there is None else ChangeKind.UPDATE
    yield SetHostAddress(name=name, network=want, reason=reason, change=change)


def _network_changes(have: Network, want: Network) -> dict[str, tuple[object, object]]:
    return changed_fields(have, want, ignoring={"active", "tunnel", "host_address"})


def _clash(one: Network | Unknown, other: Network) -> bool:
    """Whether libvirt refuses to have both: no two networks may share a bridge or overlap in addresses."""
    if not isinstance(one, Network):
        return False
    mine, theirs = _addresses(one), _addresses(other)
    return one.bridge == other.bridge or (mine is not None and theirs is not None and mine.overlaps(theirs))


def _addresses(network: Network) -> IPv4Network | None:
    """The subnet that libvirt knows; that of a fork is not among them."""
    return IPv4Interface(f"{network.gateway}/{network.prefix_length}").network if network.gateway else None


def _epochs_to_write(desired: ClusterDocument, observed: ClusterDocument, node: str) -> Epochs:
    """The epochs to record in the definition: those recorded before, or all of them where there was no domain.

    A power cycle that is due comes before the definition is written, which must not undo its record.
    """
    have, want = observed.power.get(node), desired.power.get(node)
    power = have or want
    if not isinstance(power, Power):
        return Epochs()
    asked_for = want.boot_epoch if isinstance(want, Power) else 0
    return Epochs(boot=max(power.boot_epoch, asked_for), resume=power.resume_epoch)


def _redefine(
    node: str, have: Domain, want: Domain, carried_out: Epochs, *, up: bool, other_disks: bool
) -> Iterator[Step]:
    changes = changed_fields(have, want)
    added = {target: disk for target, disk in want.disks.items() if target not in have.disks}
    only_adds = changes.keys() == {"disks"} and have.disks.items() <= want.disks.items()
    if up and only_adds and all(disk.bus in HOT_PLUG_BUSES for disk in added.values()):
        for target, disk in added.items():
            yield AttachDisk(
                node=node, target=target, disk=disk, reason=f"disk {target} added", disruption=Disruption.LIVE
            )
        return
    needs_restart = up and not changes.keys() <= live_fields(have)
    yield DefineDomain(
        node=node,
        domain=want,
        needs_restart=needs_restart,
        other_disks=other_disks,
        reason=in_words(changes),
        disruption=Disruption.RESTART if needs_restart else Disruption.NONE,
        carried_out=carried_out,
    )


def _continues_from_memory(desired: ClusterDocument, node: str) -> bool:
    power = desired.power.get(node)
    return isinstance(power, Power) and power.memory is not None


def _cable_is_pulled(desired: ClusterDocument, node: str) -> bool:
    links = desired.links.get(node)
    return isinstance(links, NodeLinks) and links.down


def _restore_owners(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[RestoreOwner]:
    """The files that machines used below their layers, once no machine uses them or will use them again."""
    given: set[Path] = set()
    for path, layer in observed.layers.items():
        if not isinstance(layer, Layer) or layer.reowned is None or layer.reowned.path in given:
            continue
        if _stays_down(layer.node, desired, observed):
            given.add(layer.reowned.path)
            reason = f"{layer.reowned.path} is no longer used"
            yield RestoreOwner(node=layer.node, path=Path(path), file=layer.reowned, reason=reason)


def _stays_down(node: str, desired: ClusterDocument, observed: ClusterDocument) -> bool:
    """Whether the node is off and stays off, or is to be removed, which happens first."""
    have, want = observed.power.get(node), desired.power.get(node)
    if isinstance(have, Unknown) or isinstance(want, Unknown):
        return False
    if want is None:
        return True
    return want.state is PowerState.OFF and (not isinstance(have, Power) or have.state is PowerState.OFF)


def plan_marks(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """One obstacle for each origin that the record does not know, whatever else differs."""
    by_cause: defaultdict[Unknown, list[str]] = defaultdict(list)
    for key in observed.marks:
        wanted = desired.marks.get(key)
        if isinstance(wanted, Unknown) and wanted != observed.marks[key]:
            by_cause[wanted].append(key)
    for cause, keys in by_cause.items():
        yield Obstacle(code=cause.code, message=f"{_marks_in_words(keys)}: {cause.unknown}", terminal=cause.terminal)


def _marks_in_words(keys: Sequence[str]) -> str:
    parts = (key.partition("/") for key in keys[:_MOST_MARKS_SHOWN])
    shown = [" ".join((_MARKED[kind], name)) for kind, _, name in parts]
    more = len(keys) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
