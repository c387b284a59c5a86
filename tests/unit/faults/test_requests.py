"""What people and agents say, and the request that it means; nothing that is said is ignored."""

from typing import Any

import pytest

from reconciler.errors import InvalidArgument
from reconciler.faults.requests import Sides, impair_request, partition_request
from reconciler.model.choices import ShapeName
from reconciler.model.faults import Bridge, ExplicitGrudge, Groups, Halves, MajoritiesRing, One, PartitionShape
from reconciler.model.links import Impairment


@pytest.mark.parametrize(
    ("sides", "shape"),
    [
        (Sides(partition_a=["a"], partition_b=["b", "c"]), Groups(groups=(("a",), ("b", "c")))),
        (Sides(groups=[["a"], ["b"], ["c"]]), Groups(groups=(("a",), ("b",), ("c",)))),
        (Sides(), Groups(groups=((), ()))),
        (Sides(shape=ShapeName.HALVES), Halves()),
        (Sides(shape=ShapeName.ONE, node="a"), One(node="a")),
        (Sides(shape=ShapeName.BRIDGE), Bridge()),
        (
            Sides(shape=ShapeName.BRIDGE, node="c", partition_a=["a"], partition_b=["b"]),
            Bridge(node="c", groups=(("a",), ("b",))),
        ),
        (
            Sides(shape=ShapeName.BRIDGE, node="c", groups=[["a"], ["b"]]),
            Bridge(node="c", groups=(("a",), ("b",))),
        ),
        (Sides(shape=ShapeName.MAJORITIES_RING), MajoritiesRing()),
        (Sides(shape=ShapeName.GRUDGE, grudge={"a": ["b"]}), ExplicitGrudge(grudge={"a": ("b",)})),
    ],
)
def test_sides_mean_a_shape(sides: Sides, shape: PartitionShape) -> None:
    assert partition_request(sides).shape == shape


@pytest.mark.parametrize(
    ("said", "seed", "complaint"),
    [
        ({"partition_a": ["a"], "shape": ShapeName.HALVES}, None, "partition_a and partition_b have no effect with"),
        ({"partition_b": ["a"], "groups": [["a"], ["b"]]}, None, "with groups"),
        ({"groups": [["a"], ["b"]], "shape": ShapeName.ONE}, None, "groups have no effect with shape one"),
        ({"node": "a"}, None, "`node` has no effect with shape groups"),
        ({"grudge": {"a": ["b"]}}, None, "`grudge` has no effect with shape groups"),
        ({"shape": ShapeName.GRUDGE}, None, "needs `grudge`"),
        ({"partition_a": ["a"], "partition_b": ["b"]}, 7, "`seed` has no effect"),
        ({"shape": ShapeName.ONE, "node": "a"}, 7, "`seed` has no effect"),
    ],
)
def test_what_a_shape_has_no_use_for_is_refused(said: dict[str, Any], seed: int | None, complaint: str) -> None:
    with pytest.raises(InvalidArgument, match=complaint):
        partition_request(Sides(**said), seed=seed)


@pytest.mark.parametrize(
    ("said", "targets"),
    [("all", None), (["all"], None), (None, None), ("b", ("b",)), (["b", "c"], ("b", "c")), ([], ())],
)
def test_targets_are_one_node_several_or_all_others(said: Any, targets: tuple[str, ...] | None) -> None:
    assert impair_request("a", said, Impairment(loss_pct=1)).targets == targets
