"""One function per resource kind, from (desired, observed) to the actions that close the difference.

All share one signature. Each looks at its own field of the documents, and at the power of a node where that
decides how a change is made. `Unknown` never yields an action: `reconciler.plan.planner` reports it.
"""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import TypeVar, assert_never

from reconciler.errors import ErrorCode
from reconciler.model.base import Frozen
from reconciler.model.document import ClusterDocument, Domain, Layer, Network, NodeLinks, Power, PowerState, Unknown
from reconciler.model.names import ROOT_DISK, parse_layer_name
from reconciler.model.plan import (
    Action,
    AttachDisk,
    Change,
    CreateLayer,
    CreateNetwork,
    CutPower,
    DefineDomain,
    DeleteLayer,
    DeleteNetwork,
    DeleteSeed,
    DeleteSnapshot,
    Disruption,
    Epochs,
    HealLinks,
    PlugTap,
    Resume,
    ResumeMemory,
    SetLinks,
    ShutDown,
    Start,
    StartNetwork,
    Suspend,
    TakeSnapshot,
    UndefineDomain,
    WriteSeed,
)
from reconciler.model.record import StopMode
from reconciler.model.snapshot import SnapshotPower
from reconciler.model.status import Obstacle
from reconciler.model.topology import DiskBus
from reconciler.plan.flattening import flattening
from reconciler.plan.lending import give_back
from reconciler.plan.links import set_links, waits_for_links

R = TypeVar("R", bound=Frozen)
Step = Action | Obstacle

HOT_PLUG_BUSES = frozenset({DiskBus.VIRTIO, DiskBus.SCSI})
_FOUND_ONLY = {"resumed", "flattening", "lent"}
LIVE_DOMAIN_FIELDS = frozenset({"role", "template"})  # what a running machine does not notice


def plan_networks(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """Networks are created, started, replaced where they differ, and deleted last, unless they are in the way."""
    extra = known_extra(desired.networks, observed.networks)
    for name, want in known(desired.networks):
        have = observed.networks.get(name)
        if isinstance(have, Unknown) or (have is not None and have.active and not _network_changes(have, want)):
            continue
        in_the_way = tuple(other for other in extra if _clash(observed.networks[other], want))
        yield _make_network(name, have, want, in_the_way)
        extra = [other for other in extra if other not in in_the_way]
    for name in extra:
        yield DeleteNetwork(name=name, reason="not wanted any more", change=Change.DELETE)


def plan_layers(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """Layers are made, flattened and deleted; one that differs otherwise would have to be rewritten: an obstacle."""
    for path, want in known(desired.layers):
        have = observed.layers.get(path)
        if have is None:
            yield CreateLayer(node=want.node, path=Path(path), layer=want, reason="not there yet", change=Change.CREATE)
        elif isinstance(have, Layer) and have.base_changed and not want.base_changed:
            yield Obstacle(
                code=ErrorCode.CONFLICT,
                node=want.node,
                terminal=True,
                message=f"{have.backing} is not the image any more that {path} was made on: put the old image back, "
                "or make the disk anew with `vmcluster apply --allow-data-loss`",
            )
        elif isinstance(have, Layer) and (step := flattening(path, have, want, observed)):
            yield step
        elif isinstance(have, Layer) and (changes := changed_fields(have, want, ignoring=_FOUND_ONLY)):
            yield Obstacle(
                code=ErrorCode.CONFLICT,
                node=want.node,
                terminal=True,
                message=f"{path} differs from what is wanted ({in_words(changes)}) and holds data: "
                "put the old value back, or recreate the node with --allow-data-loss",
            )
    yield from give_back(desired, observed)
    for path in known_extra(desired.layers, observed.layers):
        have = observed.layers[path]
        assert isinstance(have, Layer)
        yield DeleteLayer(
            node=have.node,
            path=Path(path),
            reason="not wanted any more",
            change=Change.DELETE,
            disruption=Disruption.DATA_LOSS if _holds_what_a_node_has_now(path, have, observed) else Disruption.NONE,
        )


def plan_seeds(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """Seeds are written whole; what of them concerns a booted guest is read again at each boot."""
    for node, want in known(desired.seeds):
        have = observed.seeds.get(node)
        if have is None:
            yield WriteSeed(node=node, digest=want.digest, reason="not there yet", change=Change.CREATE)
        elif not isinstance(have, Unknown) and have != want:
            yield WriteSeed(
                node=node,
                digest=want.digest,
                live=is_running(observed, node),
                reason="addresses, names, keys or user data changed",
                disruption=Disruption.LIVE,
            )
    for node in known_extra(desired.seeds, observed.seeds):
        yield DeleteSeed(node=node, reason="not wanted any more", change=Change.DELETE)


def plan_domains(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """Domains are defined, redefined where a field of ours differs, and undefined with what libvirt keeps of them."""
    for node, want in known(desired.domains):
        have = observed.domains.get(node)
        if isinstance(have, Unknown):
            continue
        carried_out = _epochs_to_write(desired, observed, node)
        if have is None:
            yield DefineDomain(
                node=node, domain=want, carried_out=carried_out, reason="not defined yet", change=Change.CREATE
            )
        elif have != want:
            yield from _redefine(node, have, want, _stays_up(desired, observed, node), carried_out)
    for node in known_extra(desired.domains, observed.domains):
        yield UndefineDomain(
            node=node, reason="not wanted any more", change=Change.DELETE, disruption=Disruption.RECREATE
        )


def plan_power(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """Power follows the wanted state; a power cycle that was asked for is carried out exactly once."""
    for node, want in known(desired.power):
        match observed.power.get(node):
            case Unknown():
                continue
            case None:
                yield from _power_on(node, want, desired, observed)
            case have if have.boot_epoch < want.boot_epoch:
                yield _power_cycle(node, have, want)
                yield from _power_on(node, want, desired, observed)
            case have if have.state is not PowerState.OFF and begins_anew(desired, observed, node):
                yield _cut_for_new_disks(node, have, want)
                yield from _power_on(node, want, desired, observed)
            case have if have.state is PowerState.OFF or _was_restored(node, have, want, desired, observed):
                yield from _power_on(node, want, desired, observed)
            case have:
                yield from _match_state(node, have, want)
    for node in known_extra(desired.power, observed.power):
        have = observed.power[node]
        assert isinstance(have, Power)
        if have.state is not PowerState.OFF:
            yield CutPower(
                node=node,
                boot_epoch=have.boot_epoch,
                reason="not wanted any more",
                disruption=Disruption.RECREATE,
            )


def plan_taps(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """A running node's tap is plugged into its network's bridge, also after the network was away."""
    for node, want in known(desired.taps):
        have, domain = observed.taps.get(node), desired.domains.get(node)
        if have is None or isinstance(have, Unknown) or have == want or not isinstance(domain, Domain):
            continue
        if isinstance(observed.networks.get(domain.network), Unknown):  # somebody else's bridge
            continue
        if not _stays_up(desired, observed, node):  # a machine that starts is plugged in by libvirt
            continue
        assert want.bridge is not None
        yield PlugTap(
            node=node,
            tap=domain.tap,
            bridge=want.bridge,
            up=not _cable_is_pulled(desired, node),
            reason=f"plugged into {have.bridge or 'no bridge'}",
            disruption=Disruption.LIVE,
        )


def plan_links(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[SetLinks | HealLinks]:
    """All links are set in one go where any differs; whoever comes up has none of its tap's yet."""
    return set_links(desired, observed, plan_power(desired, observed))


def plan_snapshots(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """A snapshot that was asked for is taken, the oldest request first; one that is not wanted any more is deleted."""
    for name in [*known_extra(desired.snapshots, observed.snapshots), *_damaged_extra(desired, observed)]:
        yield DeleteSnapshot(name=name, reason="not wanted any more", change=Change.DELETE, disruption=Disruption.LIVE)
    missing = [(want.request, name, want) for name, want in known(desired.snapshots) if name not in observed.snapshots]
    if not missing:
        return
    _, name, want = min(missing, key=lambda entry: entry[:2])
    yield TakeSnapshot(
        name=name,
        snapshot=want,
        domains={node: domain for node, domain in known(observed.domains) if node in desired.domains},
        power={node: _power_in_snapshot(power) for node, power in known(observed.power) if node in desired.domains},
        reason="asked for, and not there",
        change=Change.CREATE,
        disruption=Disruption.LIVE,
    )


def _damaged_extra(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[str]:
    """Snapshots of ours of which only the name can be read, and that name is not wanted any more."""
    for name, found in observed.snapshots.items():
        if name not in desired.snapshots and isinstance(found, Unknown) and found.code is ErrorCode.SNAPSHOT_FAILED:
            yield name


def begins_anew(desired: ClusterDocument, observed: ClusterDocument, node: str) -> bool:
    """Whether a disk that the node has is replaced by another: it was reverted, or made anew."""
    want, have = desired.domains.get(node), observed.domains.get(node)
    if not isinstance(want, Domain) or not isinstance(have, Domain):
        return False
    shared = (target for target in want.disks.keys() & have.disks.keys() if not want.disks[target].read_only)
    return any(want.disks[target].path != have.disks[target].path for target in shared)


def _power_in_snapshot(power: Power) -> SnapshotPower:
    if power.state is PowerState.RUNNING:
        return SnapshotPower.RUNNING
    return SnapshotPower.OFF if power.state is PowerState.OFF else SnapshotPower.PAUSED


# What the planners share.


def known(resources: Mapping[str, R | Unknown]) -> Iterator[tuple[str, R]]:
    """The entries whose value is known."""
    for name, value in resources.items():
        if not isinstance(value, Unknown):
            yield name, value


def known_extra(desired: Mapping[str, R | Unknown], observed: Mapping[str, R | Unknown]) -> list[str]:
    """What is there, known, and not wanted."""
    return [name for name, value in observed.items() if name not in desired and not isinstance(value, Unknown)]


def changed_fields(have: Frozen, want: Frozen, ignoring: set[str] = frozenset()) -> dict[str, tuple[object, object]]:  # type: ignore[assignment]
    """The fields that differ, each with its old and its new value."""
    names = type(want).model_fields.keys() - ignoring
    pairs = {name: (getattr(have, name), getattr(want, name)) for name in sorted(names)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def in_words(changes: Mapping[str, tuple[object, object]]) -> str:
    """A change of fields as a plan prints it."""
    return ", ".join(_change_in_words(name, old, new) for name, (old, new) in changes.items())


def may_be_open(observed: ClusterDocument, node: str, path: str) -> bool:
    """Whether the node's machine is up and has that file open, as far as is known."""
    power = observed.power.get(node)
    if not isinstance(power, Power) or power.state is PowerState.OFF:
        return False
    return power.open_files is None or path in power.open_files


def is_named(observed: ClusterDocument, node: str, path: str) -> bool:
    """Whether the node's definition names that file, for a disk or below one."""
    domain = observed.domains.get(node)
    if not isinstance(domain, Domain):
        return False
    files = (file for disk in domain.disks.values() for file in (disk.path, *(below.path for below in disk.backing)))
    return any(str(file) == path for file in files)


def is_running(observed: ClusterDocument, node: str) -> bool:
    """Whether the node's CPUs run."""
    power = observed.power.get(node)
    return isinstance(power, Power) and power.state is PowerState.RUNNING


def _make_network(name: str, have: Network | None, want: Network, in_the_way: tuple[str, ...]) -> Step:
    changes = {} if have is None else _network_changes(have, want)
    if have is not None and not changes and not in_the_way:
        return StartNetwork(name=name, reason="defined, but not active")
    place = f"takes the place of {', '.join(in_the_way)}" if in_the_way else "not there yet"
    replaces = in_the_way if have is None else (*in_the_way, name)
    return CreateNetwork(
        name=name,
        network=want,
        replaces=replaces,
        reason=in_words(changes) or place,
        change=Change.CREATE if have is None else Change.UPDATE,
        disruption=Disruption.LIVE if replaces else Disruption.NONE,
    )


def _network_changes(have: Network, want: Network) -> dict[str, tuple[object, object]]:
    return changed_fields(have, want, ignoring={"active"})


def _clash(one: Network | Unknown, other: Network) -> bool:
    """Whether libvirt refuses to have both: it lets no two networks have one bridge, or addresses in common."""
    return isinstance(one, Network) and (one.bridge == other.bridge or _addresses(one).overlaps(_addresses(other)))


def _addresses(network: Network) -> IPv4Network:
    return IPv4Interface(f"{network.gateway}/{network.prefix_length}").network


def _change_in_words(name: str, old: object, new: object) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        gone, come = sorted(old.keys() - new.keys()), sorted(new.keys() - old.keys())
        edited = sorted(key for key in old.keys() & new.keys() if old[key] != new[key])
        parts = [f"{sign}{key}" for sign, keys in (("+", come), ("-", gone), ("~", edited)) for key in keys]
        return f"{name} {' '.join(parts)}"
    return f"{name} {old} -> {new}"


def _epochs_to_write(desired: ClusterDocument, observed: ClusterDocument, node: str) -> Epochs:
    """What the definition says was carried out: as before, or, where there was no domain, all of it.

    A power cycle that is due comes before the definition is written, which must not take it back.
    """
    have, want = observed.power.get(node), desired.power.get(node)
    power = have or want
    if not isinstance(power, Power):
        return Epochs()
    asked_for = want.boot_epoch if isinstance(want, Power) else 0
    return Epochs(boot=max(power.boot_epoch, asked_for), resume=power.resume_epoch)


def _stays_up(desired: ClusterDocument, observed: ClusterDocument, node: str) -> bool:
    """Whether the node's machine is up and no part of the plan brings it down."""
    have, want = observed.power.get(node), desired.power.get(node)
    if not isinstance(have, Power) or have.state in {PowerState.OFF, PowerState.STOPPING}:
        return False
    return not isinstance(want, Power) or (have.boot_epoch >= want.boot_epoch and want.state is not PowerState.OFF)


def _redefine(node: str, have: Domain, want: Domain, up: bool, carried_out: Epochs) -> Iterator[Step]:
    changes = changed_fields(have, want)
    added = {target: disk for target, disk in want.disks.items() if target not in have.disks}
    only_adds = changes.keys() == {"disks"} and have.disks.items() <= want.disks.items()
    if up and only_adds and all(disk.bus in HOT_PLUG_BUSES for disk in added.values()):
        for target, disk in added.items():
            yield AttachDisk(
                node=node, target=target, disk=disk, reason=f"disk {target} added", disruption=Disruption.LIVE
            )
        return
    needs_restart = up and not changes.keys() <= LIVE_DOMAIN_FIELDS
    yield DefineDomain(
        node=node,
        domain=want,
        needs_restart=needs_restart,
        reason=in_words(changes),
        disruption=Disruption.RESTART if needs_restart else Disruption.NONE,
        carried_out=carried_out,
    )


def _power_cycle(node: str, have: Power, want: Power) -> CutPower:
    return CutPower(
        node=node,
        boot_epoch=want.boot_epoch,
        mode=want.stop_mode if have.state is PowerState.RUNNING else StopMode.DESTROY,
        reason=f"power cycle {want.boot_epoch} was asked for",
        disruption=Disruption.NONE if have.state is PowerState.OFF else Disruption.RESTART,
    )


def _power_on(node: str, want: Power, desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    domain = desired.domains.get(node)
    if want.state is PowerState.OFF or not isinstance(domain, Domain):
        return
    runs = want.state is PowerState.RUNNING
    from_memory = want.memory is not None and _memory_is_due(domain, desired, observed, node)
    waits = runs and (from_memory or waits_for_links(desired, observed, node))
    met = want.resume_epoch - 1 if waits else want.resume_epoch  # it is due for a resume until it has run
    if from_memory:
        assert want.memory is not None
        reason = f"goes on from {want.memory.name}"
        yield ResumeMemory(node=node, domain=domain, memory=want.memory, resume_epoch=met, reason=reason)
    else:
        yield Start(node=node, paused=waits or not runs, resume_epoch=met, reason=f"wanted {want.state}")
    if waits:
        reason = "stands where its memory was put back" if from_memory else "its links are set"
        yield Resume(node=node, resume_epoch=want.resume_epoch, after_memory=from_memory, reason=reason)


def _cable_is_pulled(desired: ClusterDocument, node: str) -> bool:
    links = desired.links.get(node)
    return isinstance(links, NodeLinks) and links.down


def _match_state(node: str, have: Power, want: Power) -> Iterator[Step]:
    match have.state:
        case PowerState.OFF:
            return
        case PowerState.RUNNING:
            yield from _match_running(node, have, want)
        case PowerState.STOPPING:
            if want.state is PowerState.OFF and want.stop_mode is StopMode.DESTROY:
                yield _cut(node, have)
        case PowerState.PAUSED | PowerState.BLOCKED | PowerState.CRASHED:
            yield from _match_stopped(node, have, want)
        case _:
            assert_never(have.state)


def _match_running(node: str, have: Power, want: Power) -> Iterator[Step]:
    if want.state is PowerState.PAUSED:
        yield Suspend(node=node, reason="wanted paused", disruption=Disruption.LIVE)
    elif want.state is PowerState.OFF and want.stop_mode is StopMode.SHUTDOWN:
        yield ShutDown(node=node, reason="wanted off", disruption=Disruption.RESTART)
    elif want.state is PowerState.OFF:
        yield _cut(node, have)
    elif have.resume_epoch < want.resume_epoch:
        yield Resume(node=node, resume_epoch=want.resume_epoch, reason="runs already; the request is met")


def _match_stopped(node: str, have: Power, want: Power) -> Iterator[Step]:
    """A node whose CPUs stand still is changed only on request: somebody may be looking at it."""
    if want.state is PowerState.OFF and (want.stop_mode is StopMode.DESTROY or have.state is PowerState.CRASHED):
        yield _cut(node, have)
    elif want.state is PowerState.RUNNING and _resume_was_asked_for(have, want):
        yield Resume(node=node, resume_epoch=want.resume_epoch, reason=f"{have.state}; its resume was asked for")
    elif not (want.state is PowerState.PAUSED and have.state is PowerState.PAUSED):
        yield _stands_still(node, have.state)


def _resume_was_asked_for(have: Power, want: Power) -> bool:
    return have.state is not PowerState.CRASHED and have.resume_epoch < want.resume_epoch


def _cut_for_new_disks(node: str, have: Power, want: Power) -> CutPower:
    return CutPower(
        node=node,
        boot_epoch=want.boot_epoch,
        mode=want.stop_mode if have.state is PowerState.RUNNING else StopMode.DESTROY,
        reason="its disks begin anew",
        disruption=Disruption.RESTART,
    )


def _was_restored(node: str, have: Power, want: Power, desired: ClusterDocument, observed: ClusterDocument) -> bool:
    """Whether the node stands where its memory was put back: that must be written down before it runs on."""
    domain = desired.domains.get(node)
    if have.state is not PowerState.PAUSED or want.memory is None or not isinstance(domain, Domain):
        return False
    return _memory_is_due(domain, desired, observed, node)


def _memory_is_due(domain: Domain, desired: ClusterDocument, observed: ClusterDocument, node: str) -> bool:
    """Whether the node's root layer is as the memory knows it: no machine has gone on from memory, or run, on it.

    A layer on top of the first of its revision was put there by a later snapshot: what is below has been written to.
    """
    path = domain.disks[ROOT_DISK].path
    layer, parsed = observed.layers.get(str(path)), parse_layer_name(path.name)
    if (isinstance(layer, Layer) and layer.resumed) or (parsed is not None and parsed[3] > 0):
        return False
    power = observed.power.get(node)
    ran = isinstance(power, Power) and power.state not in {PowerState.OFF, PowerState.PAUSED}
    return not ran or begins_anew(desired, observed, node)


def _holds_what_a_node_has_now(path: str, layer: Layer, observed: ClusterDocument) -> bool:
    """Whether a node's newest state is in the layer; without a domain, any layer may hold it."""
    return not isinstance(observed.domains.get(layer.node), Domain) or is_named(observed, layer.node, path)


def _cut(node: str, have: Power) -> CutPower:
    return CutPower(node=node, boot_epoch=have.boot_epoch, reason="wanted off", disruption=Disruption.RESTART)


def _stands_still(node: str, state: PowerState) -> Obstacle:
    if state is PowerState.CRASHED:
        return Obstacle(
            code=ErrorCode.GUEST_CRASHED,
            node=node,
            terminal=True,
            message="the guest has panicked and is kept as it is; `vmcluster crash` boots it again, "
            "`vmcluster stop --mode destroy` turns it off",
        )
    cause = "was paused by an I/O error (is the disk full?)" if state is PowerState.BLOCKED else "is paused"
    return Obstacle(
        code=ErrorCode.GUEST_PAUSED,
        node=node,
        terminal=True,
        message=f"the guest {cause}; `vmcluster start` lets it run on, `vmcluster stop --mode destroy` turns it off",
    )
