"""A host in memory: what each action does to libvirt, QEMU and the disks, without any of them.

It holds a whole observed document and refuses what the real host refuses: two networks on one bridge, a machine
without its disks, a disk plugged into a machine that is off. It asserts what must never be asked of it.
"""

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import assert_never

from reconciler.errors import OperationFailed
from reconciler.model.document import (
    ClusterDocument,
    Domain,
    Layer,
    Network,
    Power,
    PowerState,
    Seed,
    Tap,
    Unknown,
)
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
    Epochs,
    PlugTap,
    Resume,
    ShutDown,
    Start,
    StartNetwork,
    Suspend,
    UndefineDomain,
    WriteSeed,
)
from tests.simulation.worlds import CLUSTER_DIR, FILES_OF_USERS

Steps = Iterator[None]
"""The effects of one action; the process that acts may die between any two."""


class SimulatedHost:
    """One cluster's part of a host.

    `power_cuts` counts, per node and power cycle that was asked for, how often a machine that was up lost its power.
    """

    def __init__(self, document: ClusterDocument, chance: Random) -> None:
        self.networks = dict(document.networks)
        self.layers = dict(document.layers)
        self.seeds = dict(document.seeds)
        self.domains = dict(document.domains)
        self.power = dict(document.power)
        self.taps = dict(document.taps)
        self.obeys_acpi = True
        self.power_cuts: Counter[tuple[str, int]] = Counter()
        self._chance = chance
        self._open = {node: self._layers_of(node) for node in document.taps}

    def observe(self) -> ClusterDocument:
        """The document that an observer would read back now."""
        return ClusterDocument(
            networks=dict(self.networks),
            layers=dict(self.layers),
            seeds=dict(self.seeds),
            domains=dict(self.domains),
            power=dict(self.power),
            taps=dict(self.taps),
        )

    def time_passes(self) -> None:
        """Machines on their way down go off; the others stay as they are."""
        for node, power in list(self.power.items()):
            if isinstance(power, Power) and power.state is PowerState.STOPPING and self.obeys_acpi:
                self._go_off(node)

    def perform(self, action: Action) -> Steps:
        """The effects of an action, one by one. Raises `OperationFailed` where the host refuses."""
        match action:
            case CreateNetwork() | StartNetwork() | DeleteNetwork():
                return self._perform_on_network(action)
            case CreateLayer() | DeleteLayer() | WriteSeed() | DeleteSeed():
                return self._perform_on_file(action)
            case DefineDomain() | AttachDisk() | UndefineDomain():
                return self._perform_on_domain(action)
            case ShutDown() | CutPower() | Start() | Resume() | Suspend() | PlugTap():
                return self._perform_on_power(action)
            case _:
                assert_never(action)

    # Networks.

    def _perform_on_network(self, action: CreateNetwork | StartNetwork | DeleteNetwork) -> Steps:
        _assert_ours(self.networks.get(action.name), action)
        match action:
            case CreateNetwork():
                yield from self._create_network(action)
            case StartNetwork():
                network = self.networks.get(action.name)
                assert isinstance(network, Network), f"{action} starts what is not there"
                self._require_free_bridge(action.name, network)
                self.networks[action.name] = network.model_copy(update={"active": True})
            case DeleteNetwork():
                self._delete_network(action.name)
        yield

    def _create_network(self, action: CreateNetwork) -> Steps:
        for name in (*action.replaces, action.name):
            _assert_ours(self.networks.get(name), action)
            self._delete_network(name)
            yield
        self._require_free_bridge(action.name, action.network)
        self.networks[action.name] = action.network.model_copy(update={"active": False})
        yield
        self.networks[action.name] = action.network

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

    def _perform_on_file(self, action: CreateLayer | DeleteLayer | WriteSeed | DeleteSeed) -> Steps:
        match action:
            case CreateLayer():
                there = self.layers.setdefault(str(action.path), action.layer)
                assert there == action.layer, f"{action} would write over {there}"
            case DeleteLayer():
                self._delete_layer(action)
            case WriteSeed():
                _assert_ours(self.seeds.get(action.node), action)
                self.seeds[action.node] = Seed(digest=action.digest)
            case DeleteSeed():
                _assert_ours(self.seeds.get(action.node), action)
                self.seeds.pop(action.node, None)
        yield

    def _delete_layer(self, action: DeleteLayer) -> None:
        path = str(action.path)
        _assert_ours(self.layers.get(path), action)
        assert action.node is not None
        held_by = [node for node, files in self._open.items() if path in files]
        assert not held_by, f"{action} takes the disk away below {held_by}"
        self.layers.pop(path, None)

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
        files = frozenset(str(disk.path) for disk in domain.disks.values())
        self._require_files(node, files)
        self._set_power(node, state=PowerState.PAUSED if action.paused else PowerState.RUNNING)
        self.taps[node] = Tap(bridge=network.bridge)
        self._open[node] = files

    def _resume(self, action: Resume) -> Steps:
        power = self.power.get(action.node)
        if isinstance(power, Power) and power.state in {PowerState.PAUSED, PowerState.BLOCKED}:
            self._set_power(action.node, state=PowerState.RUNNING)
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
        self._open.pop(node, None)
        if node in self.domains:
            self._set_power(node, state=PowerState.OFF)
        else:  # it ran without a definition, and nothing is left of it
            self.power.pop(node, None)

    def _set_power(self, node: str, **changes: object) -> None:
        power = self.power[node]
        assert isinstance(power, Power)
        self.power[node] = power.model_copy(update=changes)

    def _layers_of(self, node: str) -> frozenset[str]:
        """What a machine that was up before we looked may hold open: its definition may have changed since."""
        return frozenset(path for path, layer in self.layers.items() if isinstance(layer, Layer) and layer.node == node)

    def _require_files(self, node: str, paths: frozenset[str]) -> None:
        there = (
            self.layers.keys() | FILES_OF_USERS | ({f"{CLUSTER_DIR}/{node}.seed.iso"} if node in self.seeds else set())
        )
        if missing := paths - there:
            raise OperationFailed(f"Cannot access storage file {missing}", node=node)


def _assert_ours(resource: object, action: Action) -> None:
    assert not isinstance(resource, Unknown), f"{action} is for something unknown or not ours: {resource}"
