"""Memory is gone on from on the disks that it knows, and on no others."""

from pathlib import Path

import pytest

from reconciler.model.document import ClusterDocument, DomainDisk, Layer, PowerState
from reconciler.model.plan import Resume, ResumeMemory, Start
from reconciler.plan.power import plan_power

from .test_kind_planners import DOMAIN, LAYER, RUNNING, altered

MEMORY = Path("/o/snapshots/base/a.memory")


def planned(layer_name: str, *, resumed: bool) -> type[object]:
    """How a node that is off comes up if it is to resume from memory, on that layer."""
    path = Path("/o") / layer_name
    layer: Layer = altered(LAYER, resumed=resumed)
    domain = altered(DOMAIN, disks={"vda": DomainDisk(path=path, format="qcow2")})
    common = ClusterDocument(layers={str(path): layer}, domains={"a": domain})
    want = common.model_copy(update={"power": {"a": altered(RUNNING, memory=MEMORY)}})
    have = common.model_copy(update={"power": {"a": altered(RUNNING, state=PowerState.OFF)}})
    action, *rest = plan_power(want, have)
    assert [type(step) for step in rest] == ([Resume] if isinstance(action, ResumeMemory) else [])
    return type(action)


@pytest.mark.parametrize(
    ("layer_name", "resumed", "kind"),
    [
        ("a.vda.r1.0.qcow2", False, ResumeMemory),
        ("a.vda.r1.0.qcow2", True, Start),
        ("a.vda.r1.1.qcow2", False, Start),  # a snapshot was taken since the revert
    ],
)
def test_memory_is_gone_on_from_once_and_never_over_a_later_snapshot(
    layer_name: str, resumed: bool, kind: type[object]
) -> None:
    assert planned(layer_name, resumed=resumed) is kind
