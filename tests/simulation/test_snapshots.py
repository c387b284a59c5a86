"""Snapshots are exact: on a simulated host, whatever is asked in whatever order, and killed and refused anywhere.

Guests write all the time, and what they wrote is followed on every disk: what a node holds after a revert is what
it held at the snapshot, and what it has written since then; memory only ever meets the disks that it knows.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from reconciler.desired import chains
from reconciler.model import names
from reconciler.model.choices import StopMode
from reconciler.model.document import ClusterDocument, Power, PowerState, Snapshot
from reconciler.model.plan import FlattenLayer
from reconciler.model.record import EVERYTHING, ClusterSpec
from reconciler.plan.document_queries import known
from reconciler.records import record_changes
from tests.simulation.acting import Disturbance, run_round
from tests.simulation.host import Past, SimulatedHost
from tests.simulation.worlds import CLUSTER, NODES, cluster_spec, extra_disk, node_spec

pytestmark = pytest.mark.long

LIVES = int(os.environ.get("VMCLUSTER_TEST_LIVES", "100"))
VERBS_IN_A_LIFE = 12
MOST_SPARE_LAYERS = 0
MAX_CALM_ROUNDS = 16
NAMES = ("clean", "dirty", "late")


class Life:
    """One cluster with its clients, its controller that dies now and then, and its guests that write."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.host = SimulatedHost(ClusterDocument(), self.chance)
        record = record_changes.with_spec(None, CLUSTER, spec(("alpha", "beta"), extra=True))
        self.record = record.model_copy(update={"consent": (EVERYTHING,)})
        self.made: frozenset[int] = frozenset()
        self.held: dict[str, dict[str, Past]] = {}
        self.history: list[str] = []

    # What clients ask for.

    def verbs(self) -> Iterator[str]:
        yield from ("snapshot", "snapshot", "revert", "revert", "delete", "start", "start", "start_paused", "stop")
        yield from ("crash", "destroy", "recreate", "drop_or_add_node", "drop_or_add_disk", "lose")

    def ask(self, verb: str) -> None:
        before = self.record
        if self.record.deletion is not None:
            self.record = record_changes.with_spec(self.record, CLUSTER, self.record.spec)
            self.stop()
        getattr(self, verb)()
        if self.record != before:
            self.history.append(verb)

    def snapshot(self) -> None:
        name = self.chance.choice(NAMES)
        if name not in self.record.snapshots and name not in self.host.observe().snapshots:
            memory = self.chance.random() < 0.5
            self.record = record_changes.with_snapshot(self.record, name, include_memory=memory, quiesce=False)

    def revert(self) -> None:
        name = self.chance.choice(NAMES)
        found = self.host.observe().snapshots.get(name)
        if not isinstance(found, Snapshot) or found.half_made or name not in self.record.snapshots:
            return
        disks = {node: {"vda", *of.extra_disks} for node, of in self.record.spec.nodes.items()}
        if {node: set(part.disks) for node, part in found.nodes.items()} != disks:
            return
        restart_after = self.chance.random() < 0.7
        self.record = record_changes.reverted(self.record, name, found, restart_after=restart_after)
        self.held = {node: {t: self.host.pasts_frozen[name, node, t] for t in disks[node]} for node in disks}

    def delete(self) -> None:
        self.record = record_changes.without_snapshot(self.record, self.chance.choice(NAMES))

    def start(self) -> None:
        still = {node for node, power in known(self.host.power) if power.state is PowerState.PAUSED}
        self.record = record_changes.started(self.record, resume=frozenset(still))

    def start_paused(self) -> None:
        self.record = record_changes.started(self.record, paused=True)

    def stop(self) -> None:
        """By ACPI only where the guests can answer, or will when the snapshot that stopped them is swept."""
        swept = {node for nodes in self.host.journals.values() for node in nodes}
        still = {node for node, power in known(self.host.power) if power.state is PowerState.PAUSED} - swept
        self.record = record_changes.stopped(
            self.record, StopMode.DESTROY if still else self.chance.choice([*StopMode])
        )

    def crash(self) -> None:
        node = self.chance.choice(list(self.record.nodes))
        power = {node: self.record.nodes[node].power}
        self.record = record_changes.power_cycled(self.record, frozenset({node}), StopMode.DESTROY, power=power)

    def destroy(self) -> None:
        self.record = record_changes.deleted(self.record, remove_overlays=False)

    def recreate(self) -> None:
        nodes = self.record.spec.nodes
        changed = nodes["alpha"].model_copy(update={"user_data": {"n": self.chance.random()}})
        self.apply(self.record.spec.model_copy(update={"nodes": {**nodes, "alpha": changed}}))

    def drop_or_add_node(self) -> None:
        nodes = ("alpha",) if "beta" in self.record.spec.nodes else ("alpha", "beta")
        self.apply(spec(nodes, extra="vdb" in self.record.spec.nodes["alpha"].extra_disks))
        self.held.pop("beta", None)

    def drop_or_add_disk(self) -> None:
        """Not while memory is to be restored, which would no longer fit the machine."""
        if any(wanted.resumes_memory for wanted in self.record.nodes.values()):
            self.settle()
        extra = "vdb" not in self.record.spec.nodes["alpha"].extra_disks
        self.apply(spec(tuple(self.record.spec.nodes), extra=extra))
        self.held.get("alpha", {}).pop("vdb", None)

    def apply(self, wanted: ClusterSpec) -> None:
        after = record_changes.with_spec(self.record, CLUSTER, wanted)
        for node in record_changes.recreated_nodes(self.record, after):
            self.held.setdefault(node, {})["vda"] = (str(wanted.nodes[node].base_image.path),)
        self.record = after

    def lose(self) -> None:
        """Somebody deletes a manifest, of a cluster that is at rest and has seen it."""
        self.settle()
        if self.host.snapshots and self.chance.random() < 0.3:
            self.host.lose(self.chance.choice(list(self.host.snapshots)))

    # What comes of it.

    def round(self, disturbance: Disturbance) -> bool:
        todo, outcomes = run_round(self.host, self.record, disturbance, self.made)
        there = {of.request for _, of in known(self.host.snapshots)}
        if len(outcomes) == len(todo.actions):  # a round that was killed leaves no status
            self.made = self.made | there
        assert not todo.obstacles, todo.obstacles
        return bool(todo.actions or todo.waiting)

    def storm(self) -> None:
        for _ in range(self.chance.randrange(4)):
            killed_after = self.chance.choice([None, self.chance.randrange(30)])
            self.round(Disturbance(self.chance, refusals=self.chance.choice([0, 0.2]), killed_after=killed_after))
            if self.chance.random() < 0.5:
                self.host.time_passes()
            self.work()

    def settle(self) -> None:
        for _ in range(MAX_CALM_ROUNDS):
            if not self.round(Disturbance(Random(0))):
                break
            self.host.time_passes()
            self.work()
        else:
            raise AssertionError(f"no end after {MAX_CALM_ROUNDS} rounds")
        self.check()
        self.work()

    def work(self) -> None:
        """The guests write; what they wrote is theirs to keep, unless their disk is on its way to another past."""
        self.host.guests_write()
        for node in self.host.domains:
            for target, past in self.host.pasts(node).items():
                if self.is_as_wanted(node, target):
                    held = self.held.setdefault(node, {}).setdefault(target, past)
                    assert begins_with(past, held), f"{node} {target} holds {past} and not {held}"
                    self.held[node][target] = past

    def is_as_wanted(self, node: str, target: str) -> bool:
        """Whether the node is defined with the disk that it should have after reverts and recreation."""
        if node not in self.record.nodes or target not in {"vda", *self.record.spec.nodes[node].extra_disks}:
            return False
        wanted = self.record.nodes[node]
        parsed = names.parse_layer_name(Path(self.host.defined_disks(node)[target]).name)
        if parsed is None:
            return self.is_as_wanted(node, "vda")  # an extra disk at its own path: both are reverted together
        return parsed[2] == (wanted.disk_revision if target == "vda" else wanted.extra_revision)

    # What holds of it.

    def check(self) -> None:
        self.check_disks()
        self.check_snapshots()
        self.check_nodes()

    def check_disks(self) -> None:
        for node in self.host.domains:
            pasts = self.host.pasts(node)
            for target, past in pasts.items():
                assert self.is_as_wanted(node, target)
                held = self.held.get(node, {}).get(target, past)
                assert begins_with(past, held), f"{node} {target} holds {past} and not {held}"
            self.held[node] = pasts

    def check_snapshots(self) -> None:
        found = self.host.observe().snapshots
        assert not any(of.half_made for _, of in known(found))
        lost = {name for name, wanted in self.record.snapshots.items() if wanted.request in self.made} - found.keys()
        assert found.keys() | lost == self.record.snapshots.keys() or self.record.deletion is not None
        assert all(count == 1 for count in self.host.taken.values()), "one request was met twice"
        for name, snapshot in known(found):
            for node, part in snapshot.nodes.items():
                for target, disk in part.disks.items():
                    assert self.host.past(str(disk.path)) == self.host.pasts_frozen[name, node, target]

    def check_nodes(self) -> None:
        if self.record.deletion is not None:
            assert not self.host.domains
            return
        for node, wanted in self.record.nodes.items():
            power = self.host.power[node]
            assert isinstance(power, Power)
            assert power.state.value == wanted.power.value
        self.check_nothing_is_left_over()

    def check_nothing_is_left_over(self) -> None:
        """A file that nothing needs is only there while a machine has it open: its disk was taken away meanwhile."""
        unfinished = self.host.unfinished()
        there = {path for path, layer in known(self.host.observe().layers) if layer.node not in unfinished}
        assert there <= self.host.needed() | self.host.open_files()
        for node in self.record.nodes.keys() - unfinished:
            self.check_chains(node)

    def check_chains(self, node: str) -> None:
        """Of the layers that no snapshot needs only so many are left, unless the machine stands still."""
        power = self.host.power[node]
        if isinstance(power, Power) and power.state is not PowerState.PAUSED:
            for path in self.host.defined_disks(node).values():
                assert len(self.host.spare_below(path)) <= MOST_SPARE_LAYERS


def begins_with(past: Past, held: Past) -> bool:
    return past[: len(held)] == held


def spec(nodes: tuple[str, ...], *, extra: bool) -> ClusterSpec:
    disks = {"vdb": extra_disk("alpha")} if extra else {}
    return cluster_spec({node: node_spec(NODES.index(node), disks if node == "alpha" else None) for node in nodes})


@pytest.fixture(autouse=True)
def few_spare_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lives are short, so what takes many deletions elsewhere happens after one."""
    monkeypatch.setattr(chains, "MOST_SPARE_LAYERS", MOST_SPARE_LAYERS)


@pytest.mark.parametrize("seed", range(LIVES))
def test_whatever_is_asked_and_wherever_it_is_cut_short_every_disk_has_its_own_past(seed: int) -> None:
    life = Life(seed)
    verbs = list(life.verbs())
    for _ in range(VERBS_IN_A_LIFE):
        try:
            life.ask(life.chance.choice(verbs))
            life.storm()
            if life.chance.random() < 0.6:
                life.settle()
        except AssertionError as error:
            raise AssertionError(f"{error}\nafter {', '.join(life.history)}") from error
    life.settle()


@pytest.mark.parametrize("seed", range(LIVES))
def test_a_flattening_that_is_cut_short_anywhere_is_finished_whatever_is_asked_next(seed: int) -> None:
    life = Life(seed)
    if life.chance.random() < 0.7:
        life.ask("start")
    life.settle()
    life.record = record_changes.with_snapshot(life.record, "clean", include_memory=False, quiesce=False)
    life.settle()
    life.record = record_changes.without_snapshot(life.record, "clean")
    life.round(Disturbance(Random(0)))
    todo, _ = run_round(life.host, life.record, Disturbance(Random(0), killed_after=seed % 16), life.made)
    assert {type(action) for action in todo.actions} == {FlattenLayer}
    life.work()
    life.ask(life.chance.choice(list(life.verbs())))
    life.storm()
    life.settle()
