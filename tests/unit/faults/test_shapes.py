"""Each shape of a partition, by literal equality, as Jepsen tests its own."""

from itertools import combinations

import pytest

from reconciler.faults.shapes import bisect, bridge, complete_grudge, majorities_ring, shuffled, split_one
from reconciler.model.choices import Direction
from reconciler.model.faults import Bridge, ExplicitGrudge, Groups, Grudge, Halves, One, PartitionShape
from tests.unit.faults.samples import NODES, partition

FIVE = ("1", "2", "3", "4", "5")


def test_halves_give_the_odd_node_to_the_second() -> None:
    assert bisect(()) == ((), ())
    assert bisect(("1",)) == ((), ("1",))
    assert bisect(FIVE[:4]) == (("1", "2"), ("3", "4"))
    assert bisect(FIVE) == (("1", "2"), ("3", "4", "5"))


def test_one_node_stands_against_all_others() -> None:
    assert split_one(FIVE) == (("1",), ("2", "3", "4", "5"))
    assert split_one(FIVE, "4") == (("4",), ("1", "2", "3", "5"))


def test_groups_do_not_hear_each_other() -> None:
    assert complete_grudge([["1"], ["2", "3"], ["4", "5"]]) == {
        "1": ("2", "3", "4", "5"),
        "2": ("1", "4", "5"),
        "3": ("1", "4", "5"),
        "4": ("1", "2", "3"),
        "5": ("1", "2", "3"),
    }


def test_a_bridge_is_heard_by_both_halves() -> None:
    assert bridge(FIVE, "3") == {"1": ("4", "5"), "2": ("4", "5"), "4": ("1", "2"), "5": ("1", "2")}
    assert bridge(FIVE[:4], "3") == {"1": ("4",), "2": ("4",), "4": ("1", "2")}
    assert bridge(FIVE, "1") == {"2": ("4", "5"), "3": ("4", "5"), "4": ("2", "3"), "5": ("2", "3")}


@pytest.mark.parametrize(
    ("nodes", "grudge"),
    [
        (FIVE[:3], {"1": ("2",), "2": ("3",), "3": ("1",)}),
        (FIVE[:4], {"1": ("3",), "2": ("4",), "3": ("1",), "4": ("2",)}),
        (FIVE, {"1": ("3", "4"), "2": ("4", "5"), "3": ("1", "5"), "4": ("1", "2"), "5": ("2", "3")}),
    ],
)
def test_a_ring_of_up_to_five_is_jepsens(nodes: tuple[str, ...], grudge: Grudge) -> None:
    assert majorities_ring(nodes) == grudge


@pytest.mark.parametrize("count", range(3, 40))
def test_in_every_ring_each_node_hears_a_majority_of_its_own(count: int) -> None:
    nodes = [f"n{index:02}" for index in range(count)]
    grudge = majorities_ring(nodes)
    heard = {node: frozenset(nodes) - set(grudge[node]) for node in nodes}
    assert all(node in friends and len(friends) > count / 2 for node, friends in heard.items())
    assert len(set(heard.values())) == count
    if count > 5:
        assert all((a in heard[b]) == (b in heard[a]) for a, b in combinations(nodes, 2))


@pytest.mark.parametrize(
    ("shape", "direction", "grudge"),
    [
        (Groups(groups=(("n1",), ("n2", "n3"))), Direction.BOTH, {"n1": ("n2", "n3"), "n2": ("n1",), "n3": ("n1",)}),
        (Groups(groups=(("n1",), ("n2", "n3"))), Direction.TO, {"n2": ("n1",), "n3": ("n1",)}),
        (Groups(groups=(("n1",), ("n2", "n3"))), Direction.FROM, {"n1": ("n2", "n3")}),
        (Halves(), Direction.FROM, {"n1": ("n3", "n4", "n5"), "n2": ("n3", "n4", "n5")}),
        (One(node="n2"), Direction.FROM, {"n2": ("n1", "n3", "n4", "n5")}),
        (
            Bridge(node="n5"),
            Direction.BOTH,
            {"n1": ("n3", "n4"), "n2": ("n3", "n4"), "n3": ("n1", "n2"), "n4": ("n1", "n2")},
        ),
        (ExplicitGrudge(grudge={"n2": ("n5", "n1")}), Direction.BOTH, {"n2": ("n1", "n5")}),
    ],
)
def test_a_request_comes_to_its_grudge(shape: PartitionShape, direction: Direction, grudge: Grudge) -> None:
    assert partition(shape, direction=direction).grudge == grudge


def test_a_seed_decides_the_order_for_good() -> None:
    assert shuffled(NODES, None) == NODES
    assert shuffled(NODES, 7) == shuffled(tuple(reversed(NODES)), 7) == ("n2", "n4", "n1", "n3", "n5")
    assert {shuffled(NODES, seed)[0] for seed in range(60)} == set(NODES)


def test_a_bridge_between_named_sides_leaves_everyone_else_alone() -> None:
    fault = partition(Bridge(node="n2", groups=(("n1", "n4"), ("n3",))))
    assert fault.grudge == {"n1": ("n3",), "n3": ("n1", "n4"), "n4": ("n3",)}
    assert fault.bridge == "n2"


def test_a_bridge_over_all_nodes_knows_which_node_it_came_to() -> None:
    fault = partition(Bridge(), seed=3)
    assert fault.bridge is not None
    assert {fault.bridge, *fault.grudge} == set(NODES)
    assert partition(Halves()).bridge is None
