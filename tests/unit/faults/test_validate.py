"""Values that cannot be are refused, by name and with the remedy; what can be is accepted as it is."""

import math
from datetime import timedelta

import pytest

from reconciler.errors import InvalidArgument, NodeNotFound, NoParameters
from reconciler.faults.validate import expiry
from reconciler.model.choices import CutMode, Direction
from reconciler.model.faults import Bridge, ExplicitGrudge, Groups, Halves, MajoritiesRing, One, PartitionShape
from tests.unit.faults.samples import NOW, impair, partition


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"loss_pct": 500}, r"`loss_pct` is 500 \(give 0.0001 to 100"),
        ({"loss_pct": -1}, "`loss_pct` is -1"),
        ({"loss_pct": math.nan}, "`loss_pct` is nan"),
        ({"delay_ms": math.inf}, "`delay_ms` is inf"),
        ({"delay_ms": 60_001}, "`delay_ms` is 60001 "),
        ({"delay_ms": 10_000, "jitter_ms": 2001}, "`jitter_ms` is 2001"),
        ({"loss_pct": 0.00001}, "`loss_pct` is 1e-05"),
        ({"jitter_ms": 5}, "`jitter_ms` has no effect without `delay_ms`"),
        ({"delay_ms": 5, "jitter_ms": 6}, "no packet arrives early"),
        ({"reorder_pct": 5}, "`reorder_pct` has no effect without `delay_ms`"),
        ({"delay_ms": 5, "reorder_gap": 5}, "`reorder_gap` has no effect without `reorder_pct`"),
        ({"delay_ms": 5, "delay_correlation_pct": 5}, "without `jitter_ms`"),
        ({"delay_ms": 5, "loss_correlation_pct": 5}, "without `loss_pct`"),
        ({"delay_ms": 5, "distribution": "normal"}, "distribution normal has no effect without `jitter_ms`"),
        ({"limit_packets": 5}, "`limit_packets` has no effect without `delay_ms` or"),
        ({"rate_kbit": -5}, "`rate_kbit` is -5"),
        ({"rate_kbit": 10**9}, "`rate_kbit` is 1e"),
        ({"delay_ms": 5, "reorder_pct": 5, "reorder_gap": -1}, "`reorder_gap` is -1"),
    ],
)
def test_an_impossible_impairment_is_refused(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        impair("n1", **parameters)  # type: ignore[arg-type]


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(InvalidArgument, match=r"jitter_ms.*; .*loss_pct"):
        impair("n1", loss_pct=101, jitter_ms=-1)


def test_an_impairment_that_asks_for_nothing_is_refused() -> None:
    with pytest.raises(NoParameters, match="every parameter is zero"):
        impair("n1", "n2", loss_pct=0)


@pytest.mark.parametrize("targets", [("n1",), ("n2", "n1"), ("n2", "n2")])
def test_a_node_is_never_its_own_target_nor_named_twice(targets: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArgument, match=r"source and target|twice"):
        impair("n1", *targets, loss_pct=1)


def test_a_lonely_node_can_only_be_impaired_with_the_host() -> None:
    with pytest.raises(InvalidArgument, match=r"no other node .* \(`include_host` impairs"):
        impair("n1", nodes=("n1",), loss_pct=1)
    assert impair("n1", nodes=("n1",), loss_pct=1, include_host=True).request.include_host


@pytest.mark.parametrize(
    "shape",
    [
        Groups(groups=(("n1",), ("nobody",))),
        One(node="nobody"),
        Bridge(node="nobody"),
        Bridge(node="n3", groups=(("n1",), ("nobody",))),
        ExplicitGrudge(grudge={"nobody": ("n1",)}),
        ExplicitGrudge(grudge={"n1": ("nobody",)}),
    ],
)
def test_an_unknown_node_is_not_found(shape: PartitionShape) -> None:
    with pytest.raises(NodeNotFound, match=r"'nobody'.*n1, n2, n3") as caught:
        partition(shape)
    assert caught.value.node == "nobody"


def test_an_unknown_source_or_target_is_not_found() -> None:
    for source, target in (("nobody", "n1"), ("n1", "nobody"), ("n1", "@host")):
        with pytest.raises(NodeNotFound):
            impair(source, target, loss_pct=1)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (Groups(groups=()), "at least two groups"),
        (Groups(groups=(("n1",),)), "at least two groups"),
        (Groups(groups=(("n1",), ())), "group 2 is empty"),
        (Groups(groups=(("n1", "n2"), ("n2",))), "'n2' is named 2 times"),
        (Groups(groups=(("n1", "n1"), ("n2",))), "'n1' is named 2 times"),
        (Bridge(node="n3", groups=(("n1",), ("n2",), ("n4",))), "two sides, but 3 groups"),
        (Bridge(node="n3", groups=(("n1",),)), "at least two groups"),
        (Bridge(groups=(("n1",), ("n2",))), "needs its node"),
        (Bridge(node="n1", groups=(("n1",), ("n2",))), "'n1' is the bridge and also in a group"),
        (ExplicitGrudge(grudge={}), "cuts nothing"),
        (ExplicitGrudge(grudge={"n1": ()}), "cut from no node"),
        (ExplicitGrudge(grudge={"n1": ("n1", "n2")}), "cut from itself"),
    ],
)
def test_an_impossible_shape_is_refused(shape: PartitionShape, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        partition(shape)


@pytest.mark.parametrize(("shape", "nodes"), [(Halves(), 1), (One(), 1), (Bridge(), 2), (MajoritiesRing(), 2)])
def test_a_cluster_too_small_for_the_shape_is_refused(shape: PartitionShape, nodes: int) -> None:
    with pytest.raises(InvalidArgument, match=f"this cluster has {nodes}"):
        partition(shape, ("n1", "n2")[:nodes])


@pytest.mark.parametrize("shape", [Bridge(), MajoritiesRing(), Groups(groups=(("n1",), ("n2",), ("n3",)))])
def test_a_direction_needs_two_sides(shape: PartitionShape) -> None:
    with pytest.raises(InvalidArgument, match="does not have two sides"):
        partition(shape, direction=Direction.TO)


def test_a_cable_is_pulled_only_where_that_cuts_nothing_else() -> None:
    assert partition(One(), mode=CutMode.LINK_DOWN).grudge
    for shape, direction in ((Halves(), Direction.BOTH), (One(), Direction.TO)):
        with pytest.raises(InvalidArgument, match="link-down pulls a node's only cable"):
            partition(shape, mode=CutMode.LINK_DOWN, direction=direction)


@pytest.mark.parametrize("duration_s", [0, -1, math.nan, math.inf, 1e12])
def test_an_impossible_duration_is_refused(duration_s: float) -> None:
    with pytest.raises(InvalidArgument, match="duration_s"):
        expiry(NOW, duration_s)


def test_a_duration_ends_at_a_time() -> None:
    assert expiry(NOW, 90) == NOW + timedelta(seconds=90)
    assert expiry(NOW, None) is None
