"""A host in memory: what each action does to libvirt, QEMU and the disks, without any of them.

It holds a whole observed document and refuses what the real host refuses: two networks on one bridge, a machine
without its disks, a disk plugged into a machine that is off. It asserts what must never be asked of it.

What a disk holds is the sequence of all that was ever written to it, so that two disks are the same exactly if
they have the same past.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, assert_never

from reconciler.error_codes import ErrorCode
from reconciler.errors import OperationFailed
from reconciler.faults.compile_links import same_inbound
from reconciler.model import names
from reconciler.model.document import (
    BackingFile,
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
    files_below,
)
from reconciler.model.links import Impairment, Inbound, Link
from reconciler.model.plan import (
    Action,
    AttachDisk,
    CreateLayer,
    CreateNetwork,
    CutPower,
    DefineDomain,
    DeleteLayer,
    DeleteNetwork,
    DeleteSeed,
    DeleteSnapshot,
    Epochs,
    FlattenLayer,
    GrowLayer,
    HealLinks,
    HoldSnapshot,
    PlugTap,
    ReleaseSnapshot,
    RestoreOwner,
    Resume,
    ResumeMemory,
    SetHostAddress,
    SetLinks,
    SetTunnel,
    ShutDown,
    Start,
    StartNetwork,
    Suspend,
    SweepSnapshot,
    TakeSnapshot,
    UndefineDomain,
    WriteSeed,
)
from reconciler.model.record import ClusterRecord
from reconciler.model.snapshot import FrozenDisk, SnapshotNode, SnapshotPower
from reconciler.plan.document_queries import is_running, known
from reconciler.plan.link_planner import known_links
from reconciler.store.meeting import Phase
from tests.simulation.worlds import CLUSTER, CLUSTER_DIR, FILES_OF_USERS, OVERLAY_DIR, compiled

_OF_A_NEW_BRIDGE = {"tunnel": None, "host_address": None}

ASK = "ask"

Steps = Iterator[Any]
"""The effects of one action; the process that acts may die between any two.

A phase is where hosts that act together wait for each other; after `ASK` the host is told whether they have agreed.
"""

Past = tuple[object, ...]
"""What was written to a disk, from the image that it began as to now."""


class SimulatedHost:
    """One cluster's part of a host.

    `record` is that of the round that runs. `power_cuts` counts, per node and power cycle that was asked for, how
    often a machine that was up lost its power.
    """

    def __init__(self, document: ClusterDocument, chance: Random) -> None:
        self.networks = dict(document.networks)
        self.layers = dict(document.layers)
        self.seeds = dict(document.seeds)
        self.domains = dict(document.domains)
        self.power = dict(document.power)
        self.taps = dict(document.taps)
        half_made = {name for name, of in document.snapshots.items() if isinstance(of, Snapshot) and of.half_made}
        self.unseen_links = {name: of for name, of in document.links.items() if isinstance(of, Unknown)}
        found = {name: of for name, of in document.links.items() if isinstance(of, NodeLinks)}
        self.cuts = {node: of.cuts_only.links for node, of in found.items()}
        self.shaped = {node: _impairments(of) for node, of in found.items() if node in self.taps}
        self.pulled = {node for node, of in found.items() if of.down and node in self.taps}
        self.snapshots = {name: of for name, of in document.snapshots.items() if name not in half_made}
        self.journals: dict[str, tuple[str, ...]] = dict.fromkeys(half_made, tuple(document.power))
        self.requests: dict[str, int] = {}
        self.agreed: set[str] = set()
        self._noted: dict[str, tuple[Snapshot, dict[str, dict[str, Past]]]] = {}
        self.memories: dict[Path, dict[str, Past]] = {}
        self.pasts_frozen: dict[tuple[str | None, str, str], Past] = {}
        self.taken: Counter[int] = Counter()
        self.record: ClusterRecord | None = None
        self.obeys_acpi = True
        self.power_cuts: Counter[tuple[str, int]] = Counter()
        self._chance = chance
        self._open = {node: self._layers_of(node) for node in document.taps}
        self._live = {node: self.defined_disks(node) for node in document.taps}
        self._writes: dict[str, Past] = {}
        self._not_written_out: set[str] = set()
        self._written = 0

    def observe(self) -> ClusterDocument:
        """The document that an observer would read back now."""
        half_made = {name: Snapshot(request=0, include_memory=False, half_made=True) for name in self.journals}
        return ClusterDocument(
            networks=dict(self.networks),
            layers={path: layer for path, layer in self.layers.items() if self._is_looked_for(path)},
            seeds=dict(self.seeds),
            domains=dict(self.domains),
            power={node: self._with_open_files(node, power) for node, power in self.power.items()},
            taps=dict(self.taps),
            links={**self.links(), **self.unseen_links},
            snapshots={**half_made, **self.snapshots},
        )

    def links(self) -> dict[str, NodeLinks]:
        """What each node receives; a node that hears everybody has no entry."""
        links = {node: self._inbound(node) for node in sorted({*self.cuts, *self.shaped, *self.pulled})}
        return {node: of for node, of in links.items() if of != NodeLinks()}

    def _inbound(self, node: str) -> NodeLinks:
        found = dict(self.cuts.get(node, {}))
        for sender, impairment in self.shaped.get(node, {}).items():
            found[sender] = found.get(sender, Link()).model_copy(update={"impairment": impairment})
        return NodeLinks(links=found, down=node in self.pulled)

    def open_files(self) -> set[str]:
        """Every file that a machine has open."""
        return {path for files in self._open.values() for path in files}

    def _with_open_files(self, node: str, power: Power | Unknown) -> Power | Unknown:
        if isinstance(power, Unknown) or node not in self._open:
            return power
        return power.model_copy(update={"open_files": self._open[node]})

    def _is_looked_for(self, path: str) -> bool:
        """Extra disks are looked for where the record says that they are, and nowhere else."""
        if self.record is None or path.startswith(CLUSTER_DIR):
            return True
        disks = (disk for node in self.record.spec.nodes.values() for disk in node.extra_disks.values())
        return path in {str(disk.path) for disk in disks}

    def time_passes(self) -> None:
        """Machines on their way down go off; the others stay as they are."""
        for node, power in list(self.power.items()):
            if isinstance(power, Power) and power.state is PowerState.STOPPING and self.obeys_acpi:
                self._go_off(node)

    def perform(self, action: Action) -> Steps:  # noqa: PLR0911  # one per kind of resource
        """The effects of an action, one by one. Raises `OperationFailed` where the host refuses."""
        match action:
            case CreateNetwork() | StartNetwork() | SetTunnel() | SetHostAddress() | DeleteNetwork():
                return self._perform_on_network(action)
            case CreateLayer() | DeleteLayer() | GrowLayer() | RestoreOwner() | WriteSeed() | DeleteSeed():
                return self._perform_on_file(action)
            case FlattenLayer():
                return self._flatten_layer(action)
            case DefineDomain() | AttachDisk() | UndefineDomain():
                return self._perform_on_domain(action)
            case ShutDown() | CutPower() | Start() | Resume() | Suspend() | PlugTap():
                return self._perform_on_power(action)
            case (
                TakeSnapshot()
                | SweepSnapshot()
                | DeleteSnapshot()
                | HoldSnapshot()
                | ReleaseSnapshot()
                | ResumeMemory()
            ):
                return self._perform_on_snapshot(action)
            case SetLinks() | HealLinks():
                return self._set_links(action.links if isinstance(action, SetLinks) else {})
            case _:
                assert_never(action)

    # Networks.

    def _perform_on_network(
        self, action: CreateNetwork | StartNetwork | SetTunnel | SetHostAddress | DeleteNetwork
    ) -> Steps:
        _assert_ours(self.networks.get(action.name), action)
        match action:
            case CreateNetwork():
                yield from self._create_network(action)
            case StartNetwork():
                network = self.networks.get(action.name)
                assert isinstance(network, Network), f"{action} starts what is not there"
                self._require_free_bridge(action.name, network)
                self.networks[action.name] = network.model_copy(update={"active": True, **_OF_A_NEW_BRIDGE})
            case SetTunnel():
                network = self.networks.get(action.name)
                assert isinstance(network, Network), f"{action} joins what is not there"
                assert network.active, f"{action} joins what has no bridge"
                self.networks[action.name] = network.model_copy(update={"tunnel": action.network.tunnel})
            case SetHostAddress():
                network = self.networks.get(action.name)
                assert isinstance(network, Network), f"{action} puts the host into what is not there"
                assert network.active, f"{action} puts the host onto no bridge"
                self.networks[action.name] = network.model_copy(update={"host_address": action.network.host_address})
            case DeleteNetwork():
                self._delete_network(action.name)
        yield

    def _create_network(self, action: CreateNetwork) -> Steps:
        for name in (*action.replaces, action.name):
            _assert_ours(self.networks.get(name), action)
            self._delete_network(name)
            yield
        self._require_free_bridge(action.name, action.network)
        self.networks[action.name] = action.network.model_copy(update={"active": False, **_OF_A_NEW_BRIDGE})
        yield
        self.networks[action.name] = action.network.model_copy(update=_OF_A_NEW_BRIDGE)

    def _delete_network(self, name: str) -> None:
        network = self.networks.pop(name, None)
        if isinstance(network, Network) and network.active:
            for node, tap in self.taps.items():
                if isinstance(tap, Tap) and tap.bridge == network.bridge:
                    self.taps[node] = Tap(bridge=None)

    def _require_free_bridge(self, name: str, network: Network) -> None:
        for other, there in self.networks.items():
            if other != name and isinstance(there, Network) and there.bridge == network.bridge:
                raise OperationFailed(f"bridge name {network.bridge!r} already in use by {other}")

    # Files.

    def _perform_on_file(
        self, action: CreateLayer | DeleteLayer | GrowLayer | RestoreOwner | WriteSeed | DeleteSeed
    ) -> Steps:
        match action:
            case CreateLayer():
                there = self.layers.setdefault(str(action.path), action.layer)
                assert there == action.layer, f"{action} would write over {there}"
            case DeleteLayer():
                self._delete_layer(action)
            case GrowLayer():
                self._set_layer(str(action.path), size_bytes=action.size_bytes)
            case RestoreOwner():
                self._restore_owner(action)
            case WriteSeed():
                _assert_ours(self.seeds.get(action.node), action)
                self.seeds[action.node] = Seed(digest=action.digest)
            case DeleteSeed():
                _assert_ours(self.seeds.get(action.node), action)
                self.seeds.pop(action.node, None)
        yield

    def _restore_owner(self, action: RestoreOwner) -> None:
        held_by = [node for node, files in self._open.items() if str(action.file.path) in files]
        assert not held_by, f"{action} takes the file away from {held_by}"
        for path, layer in self.layers.items():
            if isinstance(layer, Layer) and layer.reowned == action.file:
                self.layers[path] = layer.model_copy(update={"reowned": None})

    def _delete_layer(self, action: DeleteLayer) -> None:
        path = str(action.path)
        _assert_ours(self.layers.get(path), action)
        assert action.node is not None
        held_by = [node for node, files in self._open.items() if path in files]
        assert not held_by, f"{action} takes the disk away below {held_by}"
        assert path not in self.needed(), f"{action} takes away what a snapshot or a definition stands on"
        unfinished = [top for top in self._not_written_out if _of_one_disk(path, top)]
        assert not unfinished, f"{action} takes away the only whole copy of what {unfinished} took up"
        self.layers.pop(path, None)
        self._writes.pop(path, None)

    def _flatten_layer(self, action: FlattenLayer) -> Steps:
        """On a machine that runs, QEMU names the new base before it has written everything out."""
        node, path = action.node, str(action.path)
        power = self.power.get(node)
        assert isinstance(power, Power)
        assert power.state in {PowerState.RUNNING, PowerState.OFF}, f"{action} while it stands still"
        assert self.defined_disks(node)[action.target] == path, f"{action} is not for what the disk writes to"
        if action.lowest is not None:
            self._set_layer(path, flattening=True)
            yield
        below = list(self._chain(path))[1:]
        spare = below[: below.index(str(action.base))]
        if self._is_up(node) and spare:
            self._not_written_out.add(path)
        self._take_up(path, spare, action.base)
        if not self._is_up(node):
            yield
        self._name_chain(node, action.target, path)
        if node in self._open:
            self._open[node] -= frozenset(spare)
        yield
        self._not_written_out.discard(path)
        yield
        self._set_layer(path, flattening=False)
        yield

    def _take_up(self, path: str, spare: list[str], base: Path) -> None:
        taken_up = [write for file in reversed(spare) for write in self._writes.get(file, ())]
        self._writes[path] = (*taken_up, *self._writes.get(path, ()))
        self._set_layer(path, backing=base)

    def _name_chain(self, node: str, target: str, path: str) -> None:
        domain, layer = self.domains[node], self.layers[path]
        assert isinstance(domain, Domain)
        assert isinstance(layer, Layer)
        disk = domain.disks[target].model_copy(update={"backing": files_below(layer, self.layers)})
        self.domains[node] = domain.model_copy(update={"disks": {**domain.disks, target: disk}})

    def spare_below(self, path: str) -> list[str]:
        """Our layers right below a disk's own file that no snapshot consists of or is based on."""
        frozen = [str(disk.path) for _, node in self._parts() for disk in node.disks.values()]
        kept = {file for top in frozen for file in self._chain(top)}
        below = list(self._chain(path))[1:]
        return [file for file in below if file.startswith(CLUSTER_DIR) and file not in kept]

    def _set_layer(self, path: str, **changes: object) -> None:
        layer = self.layers[path]
        assert isinstance(layer, Layer)
        self.layers[path] = layer.model_copy(update=changes)

    def unfinished(self) -> set[str]:
        """The nodes with a layer that is being flattened; none of their files are removed meanwhile."""
        return {layer.node for _, layer in known(self.layers) if layer.flattening}

    def needed(self) -> set[str]:
        """Every file that a snapshot or a defined disk stands on."""
        roots = [str(disk.path) for _, node in self._parts() for disk in node.disks.values()]
        roots += [path for node in self.domains for path in self.defined_disks(node).values()]
        return {path for root in roots for path in self._chain(root)}

    def _chain(self, path: str) -> Iterator[str]:
        layer: Layer | Unknown | None = self.layers.get(path)
        yield path
        while isinstance(layer, Layer) and layer.backing is not None:
            yield str(layer.backing)
            layer = self.layers.get(str(layer.backing))

    # Definitions.

    def _perform_on_domain(self, action: DefineDomain | AttachDisk | UndefineDomain) -> Steps:
        node = action.node
        _assert_ours(self.domains.get(node), action)
        match action:
            case DefineDomain():
                self.domains[node] = action.domain
                self._write_epochs(node, action.carried_out)
            case AttachDisk():
                self._attach_disk(action)
            case UndefineDomain():
                self.domains.pop(node, None)
                if not self._is_up(node):
                    self.power.pop(node, None)
        yield

    def _attach_disk(self, action: AttachDisk) -> None:
        domain = self.domains.get(action.node)
        if not self._is_up(action.node) or not isinstance(domain, Domain):
            raise OperationFailed("Requested operation is not valid: domain is not running", node=action.node)
        self._require_files(action.node, frozenset({str(action.disk.path)}))
        self._live[action.node][action.target] = str(action.disk.path)
        disks = {**domain.disks, action.target: action.disk}
        self.domains[action.node] = domain.model_copy(update={"disks": disks})
        self._open[action.node] |= {str(action.disk.path)}

    def _write_epochs(self, node: str, done: Epochs) -> None:
        before = self.power.get(node)
        state = before.state if isinstance(before, Power) else PowerState.OFF
        self.power[node] = Power(state=state, boot_epoch=done.boot, resume_epoch=done.resume)

    # Power.

    def _perform_on_power(self, action: ShutDown | CutPower | Start | Resume | Suspend | PlugTap) -> Steps:
        node = action.node
        _assert_ours(self.domains.get(node), action)
        _assert_ours(self.power.get(node), action)
        match action:
            case ShutDown():
                self._shut_down(node)
            case CutPower():
                yield from self._cut_power(action)
            case Start():
                yield from self._start(action)
            case Resume():
                yield from self._resume(action)
            case Suspend():
                self._set_power(node, state=PowerState.PAUSED)
            case PlugTap():
                yield from self._plug_tap(action)
        yield

    def _shut_down(self, node: str) -> None:
        if not self._is_up(node) or not (self.obeys_acpi or self._chance.random() < 0.3):
            return
        if self._chance.random() < 0.5:
            self._set_power(node, state=PowerState.STOPPING)
        else:
            self._go_off(node)

    def _cut_power(self, action: CutPower) -> Steps:
        node, before = action.node, self.power.get(action.node)
        assert isinstance(before, Power), f"{action} is for a machine that nobody has seen"
        if self._is_up(node):
            if before.boot_epoch < action.boot_epoch:
                self.power_cuts[node, action.boot_epoch] += 1
            self._go_off(node)
        yield
        if node in self.domains:
            self._set_power(node, boot_epoch=action.boot_epoch)

    def _start(self, action: Start) -> Steps:
        node, domain = action.node, self.domains.get(action.node)
        if not isinstance(domain, Domain):
            raise OperationFailed("the domain went away while it was worked on", node=node)
        if self._is_up(node):
            return
        self._set_power(node, resume_epoch=action.resume_epoch)
        yield
        network = self.networks.get(domain.network)
        if not (isinstance(network, Network) and network.active):
            raise OperationFailed(f"network {domain.network!r} is not active", node=node)
        self._power_up(node, domain, network, paused=action.paused)

    def _power_up(self, node: str, domain: Domain, network: Network, *, paused: bool) -> None:
        files = frozenset(str(disk.path) for disk in domain.disks.values())
        self._require_files(node, files)
        self.taps[node] = Tap(bridge=network.bridge)
        self._set_power(node, state=PowerState.PAUSED if paused else PowerState.RUNNING)
        if not paused:
            self._assert_no_window(node)
        self._open[node] = files | {below for path in files for below in self._chain(path)}
        self._live[node] = self.defined_disks(node)

    def _resume(self, action: Resume) -> Steps:
        power = self.power.get(action.node)
        if isinstance(power, Power) and power.state in {PowerState.PAUSED, PowerState.BLOCKED}:
            self._set_power(action.node, state=PowerState.RUNNING)
            self._assert_no_window(action.node)
        yield
        self._set_power(action.node, resume_epoch=action.resume_epoch)

    def _plug_tap(self, action: PlugTap) -> Steps:
        bridges = [found.bridge for found in self.networks.values() if isinstance(found, Network) and found.active]
        if not self._is_up(action.node) or action.bridge not in bridges:
            raise OperationFailed(f"Cannot find device {action.tap!r} or {action.bridge!r}", node=action.node)
        self.taps[action.node] = Tap(bridge=action.bridge)
        yield

    def _is_up(self, node: str) -> bool:
        power = self.power.get(node)
        return isinstance(power, Power) and power.state is not PowerState.OFF

    def _go_off(self, node: str) -> None:
        self.taps.pop(node, None)
        self.shaped.pop(node, None)  # a queue goes with its tap, a rule of the firewall stays
        self.pulled.discard(node)
        self._open.pop(node, None)
        for path in self._live.pop(node, {}).values():
            self._not_written_out.discard(path)  # QEMU writes everything out when it ends
        if node in self.domains:
            self._set_power(node, state=PowerState.OFF)
        else:  # it ran without a definition, and nothing is left of it
            self.power.pop(node, None)

    def _set_power(self, node: str, **changes: object) -> None:
        power = self.power[node]
        assert isinstance(power, Power)
        self.power[node] = power.model_copy(update=changes)

    # Links.

    def _set_links(self, links: Mapping[str, Inbound]) -> Steps:
        assert not self.unseen_links, "links are set without a look at those that are there"
        self.cuts = {node: of.cuts_only.links for node, of in links.items()}
        yield
        for node in sorted(self.taps):
            wanted = links.get(node, Inbound())
            self.shaped[node] = _impairments(wanted)
            self.pulled = (self.pulled - {node}) | ({node} if wanted.down else set())
            yield

    def _assert_no_window(self, node: str) -> None:
        """A node that starts has its links, and so has every running node that it sends to."""
        assert self.record is not None
        wanted = known_links(compiled(self.record, self.observe()))
        assert same_inbound(self._inbound(node), wanted.get(node)), f"{node} runs without its links"
        for receiver, of in wanted.items():
            if node in of.links and is_running(self.observe(), receiver):
                there = self._inbound(receiver).links.get(node, Link())
                assert same_inbound(Inbound(links={node: there}), Inbound(links={node: of.links[node]}))

    # Snapshots, and what the disks hold.

    def guests_write(self) -> None:
        """Every machine that runs writes something new to each of its disks."""
        frozen = {str(disk.path) for _, node in self._parts() for disk in node.disks.values()}
        for node, power in self.power.items():
            if not (isinstance(power, Power) and power.state is PowerState.RUNNING):
                continue
            for path in self._live[node].values():
                assert path not in frozen, f"{node} writes to {path}, which a snapshot is made of"
                above = [top for top, of in self.layers.items() if isinstance(of, Layer) and str(of.backing) == path]
                assert not any(self._writes.get(top) for top in above), f"{node} writes below {above}"
                self._written += 1
                self._writes[path] = (*self._writes.get(path, ()), self._written)

    def past(self, path: str) -> Past:
        """All that was ever written to the disk that this file is the top of; every file below it must be there."""
        layer = self.layers.get(path)
        if not isinstance(layer, Layer):
            assert not path.startswith(CLUSTER_DIR), f"{path} is gone, and something stands on it"
            return (path, *self._writes.get(path, ()))
        below = self.past(str(layer.backing)) if layer.backing is not None else (path,)
        return (*below, *self._writes.get(path, ()))

    def pasts(self, node: str) -> dict[str, Past]:
        """What each disk of a node holds, by target, as it is defined."""
        return {target: self.past(path) for target, path in self.defined_disks(node).items()}

    def lose(self, name: str) -> None:
        """Somebody deletes the manifest."""
        del self.snapshots[name]
        self.journals[name] = ()

    def _parts(self) -> Iterator[tuple[str, SnapshotNode]]:
        for name, snapshot in self.snapshots.items():
            if isinstance(snapshot, Snapshot):
                yield from ((name, node) for node in snapshot.nodes.values())

    def _perform_on_snapshot(
        self,
        action: TakeSnapshot | SweepSnapshot | DeleteSnapshot | HoldSnapshot | ReleaseSnapshot | ResumeMemory,
    ) -> Steps:
        match action:
            case HoldSnapshot():
                return self._hold_snapshot(action)
            case ReleaseSnapshot():
                return self._release_snapshot(action)
            case TakeSnapshot():
                return self._take_snapshot(action)
            case ResumeMemory():
                return self._resume_memory(action)
            case SweepSnapshot() | DeleteSnapshot():
                return self._remove_snapshot(action)

    def _hold_snapshot(self, action: HoldSnapshot) -> Steps:
        assert not self.layers, f"{action} comes after what stands on it"
        self.snapshots[action.name] = action.snapshot.model_copy(update={"held": True})
        yield

    def _release_snapshot(self, action: ReleaseSnapshot) -> Steps:
        assert not self.layers, f"{action} comes before what stands on it has gone"
        self.snapshots.pop(action.name, None)
        yield

    def _take_snapshot(self, action: TakeSnapshot) -> Steps:
        assert action.name not in self.snapshots, f"{action} would take the place of another"
        running = tuple(node for node, power in action.power.items() if power is SnapshotPower.RUNNING)
        self.journals[action.name] = running
        self.requests[action.name] = action.snapshot.request
        yield
        after = {node: self._layers_on_top(node, domain) for node, domain in action.domains.items()}
        yield Phase.PREPARED
        for node in running:
            self._set_power(node, state=PowerState.PAUSED)
            yield
        yield Phase.PAUSED
        before = {node: self.pasts(node) for node in action.domains}
        for node in action.domains:
            assert self._is_up(node) == (action.power[node] is not SnapshotPower.OFF)
            if action.snapshot.include_memory and self._is_up(node):
                self.memories[self._memory_path(action.name, node)] = self.pasts(node)
            self._switch(node, after[node])
            yield
        assert before == {node: self.pasts(node) for node in action.domains}, "not of one moment"
        for node in running:
            self._set_power(node, state=PowerState.RUNNING)
            yield
        snapshot = Snapshot(
            request=action.snapshot.request,
            include_memory=action.snapshot.include_memory,
            nodes={node: self._frozen_node(action, node) for node in action.domains},
        )
        self._noted[action.name] = snapshot, before
        yield Phase.SWITCHED
        self._publish(action.name)
        yield

    def _publish(self, name: str) -> None:
        snapshot, before = self._noted.pop(name)
        self.journals.pop(name)
        self.taken[snapshot.request] += 1
        self.snapshots[name] = snapshot
        of_others = {key: past for key, past in self.pasts_frozen.items() if key[0] != name}
        self.pasts_frozen = of_others | {
            (name, node, target): past for node, pasts in before.items() for target, past in pasts.items()
        }

    def _frozen_node(self, action: TakeSnapshot, node: str) -> SnapshotNode:
        memory = self._memory_path(action.name, node)
        disks = action.domains[node].disks
        return SnapshotNode(
            power=action.power[node],
            disks={
                target: FrozenDisk(path=disk.path, format=disk.format)
                for target, disk in disks.items()
                if not disk.read_only
            },
            memory=memory if action.snapshot.include_memory and action.power[node] is not SnapshotPower.OFF else None,
        )

    def _memory_path(self, name: str, node: str) -> Path:
        return Path(f"{CLUSTER_DIR}/snapshots/{name}/{node}.memory")

    def _layers_on_top(self, node: str, domain: Domain) -> dict[str, str]:
        assert self.record is not None
        intent = self.record.nodes[node]
        tops = {}
        for target, disk in domain.disks.items():
            if disk.read_only:
                continue
            parsed = names.parse_layer_name(disk.path.name)
            revision = intent.disk_revision if target == names.ROOT_DISK else intent.extra_revision
            depth = parsed[3] + 1 if parsed else 0
            top = str(names.layer_path(OVERLAY_DIR, CLUSTER, node, target, revision, depth))
            below = self.layers.get(str(disk.path))
            size_bytes = below.size_bytes if isinstance(below, Layer) else 2**20  # of worlds.extra_disk
            layer = Layer(node=node, disk=target, size_bytes=size_bytes, backing=disk.path, backing_format=disk.format)
            there = self.layers.setdefault(top, layer)
            assert isinstance(there, Layer)
            assert there.backing == disk.path, f"{top} stands on {there.backing}"
            assert not self._writes.get(top), f"{top} was written to"
            tops[target] = top
        return tops

    def _switch(self, node: str, tops: dict[str, str]) -> None:
        domain = self.domains[node]
        assert isinstance(domain, Domain)
        disks = dict(domain.disks)
        for target, top in tops.items():
            disk = disks[target]
            below = BackingFile(path=disk.path, format=disk.format)
            stacked = {"path": Path(top), "format": "qcow2", "backing": (below, *disk.backing)}
            disks[target] = disk.model_copy(update=stacked)
        self.domains[node] = domain.model_copy(update={"disks": disks})
        if self._is_up(node):
            self._live[node] = dict(tops)
            self._open[node] |= frozenset(tops.values())

    def _remove_snapshot(self, action: SweepSnapshot | DeleteSnapshot) -> Steps:
        if isinstance(action, DeleteSnapshot):
            there = self.snapshots.get(action.name)
            assert not isinstance(there, Unknown) or there.code is ErrorCode.SNAPSHOT_FAILED, "it may be anyone's"
            self.snapshots.pop(action.name, None)
            self.journals[action.name] = ()
            yield
        for node in self.journals.get(action.name, ()):
            power = self.power.get(node)
            if isinstance(power, Power) and power.state is PowerState.PAUSED:
                self._set_power(node, state=PowerState.RUNNING)
            yield
        if isinstance(action, SweepSnapshot):
            yield ASK
            if action.name in self.agreed and action.name in self._noted:
                self._publish(action.name)
                return
        self._noted.pop(action.name, None)
        self.journals.pop(action.name, None)
        yield

    def _resume_memory(self, action: ResumeMemory) -> Steps:
        node, domain = action.node, self.domains.get(action.node)
        if domain != action.domain or not isinstance(domain, Domain):
            raise OperationFailed("its persistent definition is not the one to be restored", node=node)
        remembered = self.memories.get(action.memory)
        assert remembered is not None, f"{action} without its memory"
        if not self._is_up(node):
            network = self.networks.get(domain.network)
            if not (isinstance(network, Network) and network.active):
                raise OperationFailed(f"network {domain.network!r} is not active", node=node)
            self._power_up(node, domain, network, paused=True)
            assert self.pasts(node) == remembered, f"{action} puts memory on disks that have changed since"
        yield
        self._set_power(node, resume_epoch=action.resume_epoch)
        yield
        path = str(domain.disks[names.ROOT_DISK].path)
        layer = self.layers[path]
        assert isinstance(layer, Layer)
        self.layers[path] = layer.model_copy(update={"resumed": True})
        yield

    def defined_disks(self, node: str) -> dict[str, str]:
        """The file that each disk of a node writes to, by target, as it is defined."""
        domain = self.domains.get(node)
        if not isinstance(domain, Domain):
            return {}
        return {target: str(disk.path) for target, disk in domain.disks.items() if not disk.read_only}

    def _layers_of(self, node: str) -> frozenset[str]:
        """What a machine that was up before we looked may hold open: its definition may have changed since."""
        return frozenset(path for path, layer in self.layers.items() if isinstance(layer, Layer) and layer.node == node)

    def _require_files(self, node: str, paths: frozenset[str]) -> None:
        there = (
            self.layers.keys() | FILES_OF_USERS | ({f"{CLUSTER_DIR}/{node}.seed.iso"} if node in self.seeds else set())
        )
        if missing := paths - there:
            raise OperationFailed(f"Cannot access storage file {missing}", node=node)


def _of_one_disk(one: str, other: str) -> bool:
    parsed = names.parse_layer_name(Path(one).name), names.parse_layer_name(Path(other).name)
    return parsed[0] is not None and parsed[1] is not None and parsed[0][:2] == parsed[1][:2]


def _impairments(inbound: Inbound) -> dict[str, Impairment]:
    return {sender: link.impairment for sender, link in inbound.links.items() if link.impairment is not None}


def _assert_ours(resource: object, action: Action) -> None:
    assert not isinstance(resource, Unknown), f"{action} is for something unknown or not ours: {resource}"
