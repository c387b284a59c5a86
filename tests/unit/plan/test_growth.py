"""Disks that are made larger, with what is on them."""

from pathlib import Path

import pytest

from reconciler.model.document import ClusterDocument, Layer, PowerState
from reconciler.model.plan import CreateLayer, Disruption, FlattenLayer, GrowLayer, Start
from reconciler.model.record import ClusterRecord
from reconciler.model.status import Obstacle
from reconciler.plan.growth import growth
from reconciler.plan.planner import plan
from tests.simulation.worlds import as_wanted, compiled, running_record

GIB = 2**30
RECORD = running_record("alpha")
PATH = "/overlays/lab/alpha.vda.r0.0.qcow2"


def larger(disk_gb: int) -> ClusterRecord:
    node = RECORD.spec.nodes["alpha"].model_copy(update={"disk_gb": disk_gb})
    return RECORD.model_copy(update={"spec": RECORD.spec.model_copy(update={"nodes": {"alpha": node}})})


def there(state: PowerState) -> ClusterDocument:
    seen = as_wanted(RECORD)
    power = seen.power["alpha"].model_copy(update={"state": state, "open_files": frozenset({PATH})})
    return seen.model_copy(update={"power": {"alpha": power}})


@pytest.mark.parametrize(
    ("state", "disruption", "reason"),
    [
        (
            PowerState.RUNNING,
            Disruption.LIVE,
            "1 GiB -> 3 GiB, its contents are kept; the root file system grows at the next boot",
        ),
        (PowerState.OFF, Disruption.NONE, "1 GiB -> 3 GiB, its contents are kept"),
    ],
)
def test_a_disk_grows_in_place_before_its_machine_starts(
    state: PowerState, disruption: Disruption, reason: str
) -> None:
    observed = there(state)
    todo = plan(compiled(larger(3), observed), observed)
    grow = GrowLayer(
        node="alpha", target="vda", path=Path(PATH), size_bytes=3 * GIB, reason=reason, disruption=disruption
    )
    assert grow in todo.actions
    assert not todo.obstacles
    assert not [action for action in todo.actions if isinstance(action, CreateLayer)]
    starts = [index for index, action in enumerate(todo.actions) if isinstance(action, Start)]
    assert all(todo.actions.index(grow) < start for start in starts)
    assert bool(starts) is (state is PowerState.OFF)


def test_a_machine_that_stands_still_is_left_alone_until_it_runs_or_is_off() -> None:
    observed = there(PowerState.PAUSED)
    todo = plan(compiled(larger(3), observed), observed)
    assert not [action for action in todo.actions if isinstance(action, GrowLayer)]
    assert any("disk vda can grow only while the node runs or is off" in of.message for of in todo.obstacles)


def test_a_chain_that_became_long_is_shortened_once_the_disk_is_large_enough() -> None:
    have = Layer(node="alpha", disk="vda", size_bytes=GIB, backing=Path("/l"), backing_format="qcow2")
    want = have.model_copy(update={"size_bytes": 2 * GIB, "backing": Path("/base")})
    step = growth(PATH, have, want, there(PowerState.OFF))
    assert isinstance(step, GrowLayer)
    assert growth(PATH, want, want, there(PowerState.OFF)) is None
    assert growth(PATH, want, have, there(PowerState.OFF)) is None
    assert not isinstance(step, FlattenLayer | Obstacle)
