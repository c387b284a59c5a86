"""The core is right: on a simulated host, from any state, rounds reach the desired one or say what prevents it."""

from ipaddress import IPv4Address
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from reconciler.faults.compile_links import same_inbound
from reconciler.model.document import ClusterDocument, Power, PowerState, Unknown
from reconciler.model.plan import Plan
from reconciler.model.record import ClusterRecord, TunnelSpec
from reconciler.plan.document_queries import known, may_be_open
from reconciler.plan.link_planner import known_links
from reconciler.plan.planner import plan
from tests.simulation.acting import Disturbance, run_round
from tests.simulation.host import SimulatedHost
from tests.simulation.worlds import compiled, hosts, records

STORMY_ROUNDS = 4
MAX_CALM_ROUNDS = 12

TUNNEL = TunnelSpec(vni=7, local=IPv4Address("10.88.0.1"), peers=(IPv4Address("10.88.0.2"),))


def joined(record: ClusterRecord, tunnel: TunnelSpec | None) -> ClusterRecord:
    """The record of a cluster with nodes on other hosts too."""
    network = record.spec.network.model_copy(update={"tunnel": tunnel})
    return record.model_copy(update={"spec": record.spec.model_copy(update={"network": network})})


parts = st.builds(joined, records(), st.sampled_from([None, TUNNEL]))
worlds = parts.flatmap(lambda record: st.tuples(st.just(record), hosts(record)))


@given(world=worlds, seed=st.integers(0, 2**32))
def test_undisturbed_rounds_end_within_a_few_and_no_action_is_refused(
    world: tuple[ClusterRecord, ClusterDocument], seed: int
) -> None:
    record, found = world
    host = SimulatedHost(found, Random(seed))
    end = settle(host, record)
    assert_explained(host, record, end)


@given(world=worlds, seed=st.integers(0, 2**32))
def test_rounds_that_are_killed_and_refused_anywhere_lead_to_the_same_end(
    world: tuple[ClusterRecord, ClusterDocument], seed: int
) -> None:
    record, found = world
    chance = Random(seed)
    host = SimulatedHost(found, chance)
    host.obeys_acpi = False
    for _ in range(STORMY_ROUNDS):
        killed_after = chance.choice([None, chance.randrange(40)])
        run_round(host, record, Disturbance(chance, refusals=chance.choice([0, 0.2]), killed_after=killed_after))
        host.time_passes()
    host.obeys_acpi = True
    end = settle(host, record)
    assert_explained(host, record, end)
    repeated = {request: cuts for request, cuts in host.power_cuts.items() if cuts > 1}
    assert not repeated, f"a machine lost its power more than once for one request: {repeated}"


@given(records(), st.integers(0, 2**32))
def test_on_an_empty_host_nothing_stands_in_the_way(record: ClusterRecord, seed: int) -> None:
    host = SimulatedHost(ClusterDocument(), Random(seed))
    end = settle(host, record)
    assert end == Plan()
    assert host.observe().snapshots.keys() == compiled(record, host.observe()).snapshots.keys()
    assert_as_wanted(host.observe(), compiled(record, host.observe()))


def settle(host: SimulatedHost, record: ClusterRecord) -> Plan:
    """Rounds until there is nothing to do; the last plan, which is the same when it is made again."""
    for _ in range(MAX_CALM_ROUNDS):
        todo, outcomes = run_round(host, record, Disturbance(Random(0)))
        refused = [(outcome.action, outcome.error) for outcome in outcomes if outcome.error is not None]
        assert not refused, f"a plan made from what is there was refused: {refused}\nwhole plan: {todo.actions}"
        if not todo.actions and not todo.waiting:
            assert plan(compiled(record, host.observe()), host.observe()) == todo
            return todo
        host.time_passes()
    raise AssertionError(f"no end after {MAX_CALM_ROUNDS} rounds: {todo}")


def assert_explained(host: SimulatedHost, record: ClusterRecord, end: Plan) -> None:
    """Every node that is not as wanted has an obstacle; every obstacle says what it is."""
    observed = host.observe()
    assert all(obstacle.message for obstacle in end.obstacles)
    if not end.obstacles:
        assert end.converged
        assert_as_wanted(observed, compiled(record, observed))


def assert_as_wanted(observed: ClusterDocument, desired: ClusterDocument) -> None:
    """Everything but what a foreigner left in no one's way."""
    links, faulty = known_links(observed), known_links(desired)
    assert all(same_inbound(links.get(node), faulty.get(node)) for node in links.keys() | faulty.keys())
    for kind in ("networks", "seeds", "domains"):
        assert dict(known(getattr(observed, kind))) == dict(known(getattr(desired, kind)))
    there, wanted = dict(known(observed.layers)), dict(known(desired.layers))
    assert there.items() >= wanted.items()
    leftovers = {path: layer.node for path, layer in there.items() if path not in wanted}
    assert all(may_be_open(observed, node, path) for path, node in leftovers.items()), "only a machine may hold them"
    for node, want in desired.power.items():
        assert_power(observed.power[node], want)
        if isinstance(want, Power) and want.state is not PowerState.OFF:
            assert observed.taps[node] == desired.taps[node]
    assert not {node for node, power in observed.power.items() if isinstance(power, Power)} - desired.power.keys()


def assert_power(have: Power | Unknown, want: Power | Unknown) -> None:
    """The wanted state, with every power cycle carried out."""
    assert isinstance(have, Power)
    assert isinstance(want, Power)
    assert have.state is want.state
    assert have.boot_epoch >= want.boot_epoch
