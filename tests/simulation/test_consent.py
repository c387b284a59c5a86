"""No round loses for good what nobody agreed to in the record's generation, whatever it finds and wherever it ends."""

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired.snapshot_losses import agreed_by_snapshot_deletion
from reconciler.error_codes import ErrorCode
from reconciler.model.document import ClusterDocument, Domain, Layer, Power, PowerState, Snapshot, Tap
from reconciler.model.record import EVERYTHING, ClusterRecord
from reconciler.plan.consent import addresses_lost
from reconciler.plan.planner import plan
from reconciler.records import record_changes
from tests.simulation.acting import Disturbance, run_round
from tests.simulation.host import SimulatedHost
from tests.simulation.test_convergence import MAX_CALM_ROUNDS, STORMY_ROUNDS, assert_explained, settle, worlds
from tests.simulation.test_snapshots import LIVES, VERBS_IN_A_LIFE, Life
from tests.simulation.worlds import as_wanted, compiled, running_record

seeds = st.integers(0, 2**32)


def precious(found: ClusterDocument) -> Iterator[tuple[str, str]]:
    """What is on the host that can never be had back: by address, and by name."""
    for node, domain in found.domains.items():
        if isinstance(domain, Domain):
            yield f"domain/{node}", node
            for disk in domain.disks.values():
                layer = found.layers.get(str(disk.path))
                if isinstance(layer, Layer):
                    yield f"layer/{node}/{layer.disk}", str(disk.path)
    for path, layer in found.layers.items():
        if isinstance(layer, Layer) and not isinstance(found.domains.get(layer.node), Domain):
            yield f"layer/{layer.node}/{layer.disk}", path
    for name, snapshot in found.snapshots.items():
        if isinstance(snapshot, Snapshot) and not snapshot.half_made:
            yield f"snapshot/{name}", name


def is_there(name: str, host: SimulatedHost) -> bool:
    return name in host.layers or name in host.domains or name in host.snapshots


@given(world=worlds, seed=seeds, data=st.data())
def test_what_was_not_agreed_to_is_there_after_any_rounds(
    world: tuple[ClusterRecord, ClusterDocument], seed: int, data: st.DataObject
) -> None:
    record, found = world
    chance = Random(seed)
    host = SimulatedHost(found, chance)
    begin = list(precious(host.observe()))
    agreed = data.draw(st.sets(st.sampled_from([address for address, _ in begin]))) if begin else set()
    record = record.model_copy(update={"consent": tuple(sorted(agreed))})
    for _ in range(STORMY_ROUNDS):
        killed_after = chance.choice([None, chance.randrange(40)])
        run_round(host, record, Disturbance(chance, refusals=chance.choice([0, 0.2]), killed_after=killed_after))
        host.time_passes()
    for _ in range(MAX_CALM_ROUNDS):
        todo, _outcomes = run_round(host, record, Disturbance(Random(0)))
        host.time_passes()
    lost = [(address, name) for address, name in begin if not is_there(name, host) and address not in agreed]
    assert not lost, lost
    assert not todo.actions, f"no end: {todo}"


@given(world=worlds, seed=seeds)
def test_agreeing_to_what_a_plan_would_lose_lets_it_come_to_its_end(
    world: tuple[ClusterRecord, ClusterDocument], seed: int
) -> None:
    record, found = world
    host = SimulatedHost(found, Random(seed))
    for _ in range(MAX_CALM_ROUNDS):
        host.record = record
        seen = host.observe()
        wanted = compiled(record, seen)
        held = plan(wanted, seen, consent=frozenset())
        asks = any(of.code is ErrorCode.APPROVAL_REQUIRED for of in held.obstacles)
        assert asks == (held.actions != plan(wanted, seen).actions)
        agreed = record.model_copy(update={"consent": tuple(sorted(addresses_lost(wanted, seen)))})
        _, outcomes = run_round(host, agreed, Disturbance(Random(0)))
        assert not [of for of in outcomes if of.error]
        host.time_passes()
    assert_explained(host, record, settle(host, record))


class Agreeing(Life):
    """Clients whose requests agree to what the service takes them to agree to, and to nothing else.

    Nobody takes a snapshot away by hand: what that was the last to have is kept until somebody agrees.
    """

    def lose(self) -> None:
        self.settle()

    def ask(self, verb: str) -> None:
        if self.record.deletion is not None:  # who defines it again is shown what that costs
            self.record = self.record.model_copy(update={"consent": (EVERYTHING,)})
        before = self.record
        super().ask(verb)
        if self.record != before and before.deletion is None:
            self.record = self.record.model_copy(update={"consent": tuple(sorted(self.agreed(verb, before)))})

    def check_chains(self, node: str) -> None:
        """How many layers are too many is no matter of consent."""

    def agreed(self, verb: str, before: ClusterRecord) -> frozenset[str]:
        match verb:
            case "revert":
                snapshot = self.host.snapshots.get(str(self.record.nodes["alpha"].based_on))
                return (
                    record_changes.agreed_by_revert(before, snapshot) if isinstance(snapshot, Snapshot) else frozenset()
                )
            case "delete":
                found, gone = self.host.snapshots, before.snapshots.keys() - self.record.snapshots.keys()
                agreed = (agreed_by_snapshot_deletion(before, name, found.get(name)) for name in gone)
                return frozenset().union(*agreed)
            case "destroy":
                return record_changes.agreed_by_deletion(remove_overlays=False)
            case "recreate" | "drop_or_add_node" | "drop_or_add_disk":
                self.host.record = self.record
                seen = self.host.observe()
                return addresses_lost(compiled(self.record, seen, self.made), seen)
            case _:
                return frozenset()


@pytest.mark.parametrize("seed", range(LIVES // 5))
def test_each_request_agrees_to_all_that_it_takes_wherever_it_is_cut_short(seed: int) -> None:
    life = Agreeing(seed)
    life.record = life.record.model_copy(update={"consent": ()})
    verbs = list(life.verbs())
    for _ in range(VERBS_IN_A_LIFE):
        try:
            life.ask(life.chance.choice(verbs))
            life.storm()
            life.settle()
        except AssertionError as error:
            raise AssertionError(f"{error}\nafter {', '.join(life.history)}") from error


def test_a_machine_that_runs_without_a_definition_is_a_loss_too() -> None:
    record = running_record("alpha")
    found = as_wanted(record)
    running = {"power": {**found.power, "gamma": Power(state=PowerState.RUNNING)}, "taps": {"gamma": Tap(bridge=None)}}
    found = found.model_copy(update=running)
    assert addresses_lost(compiled(record, found), found) == {"domain/gamma"}
    held = plan(compiled(record, found), found, consent=frozenset())
    assert [of.node for of in held.obstacles] == ["gamma"]
    assert "gamma" not in {action.node for action in held.actions}
    agreed = plan(compiled(record, found), found, consent={"domain/gamma"})
    assert "CutPower" in {type(action).__name__ for action in agreed.actions if action.node == "gamma"}
