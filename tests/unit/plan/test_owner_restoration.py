"""When a file of the user's goes back to its owner: as soon as no machine has it, and not before."""

from pathlib import Path

import pytest

from reconciler.model.document import ClusterDocument, Layer, PowerState, ReownedFile
from reconciler.model.plan import CutPower, DeleteLayer, RestoreOwner, Start
from reconciler.model.record import ClusterRecord, Deletion, WantedPower
from reconciler.model.stage import Stage
from reconciler.plan.planner import plan
from tests.simulation.worlds import as_wanted, compiled, running_record

RUNNING = running_record("alpha")
OFF = RUNNING.model_copy(
    update={"nodes": {"alpha": RUNNING.nodes["alpha"].model_copy(update={"power": WantedPower.OFF})}}
)
MINE = ReownedFile(path=Path("/home/me/data.qcow2"), inode=7, uid=1000, gid=1000)


def reowned(record: ClusterRecord, state: PowerState = PowerState.OFF) -> ClusterDocument:
    """A host as wanted, but with a file of the user's that QEMU's user has."""
    there = as_wanted(record)
    layers = {
        path: of.model_copy(update={"reowned": MINE}) for path, of in there.layers.items() if isinstance(of, Layer)
    }
    power = there.power["alpha"].model_copy(update={"state": state})
    return there.model_copy(update={"layers": layers, "power": {"alpha": power}})


def kinds(record: ClusterRecord, there: ClusterDocument) -> list[type]:
    return [type(action) for stage in plan(compiled(record, there), there).stages() for action in stage]


def test_a_machine_that_is_off_and_stays_so_has_no_use_for_it() -> None:
    there = reowned(OFF)
    (action,) = plan(compiled(OFF, there), there).actions
    assert isinstance(action, RestoreOwner)
    assert (action.node, action.file) == ("alpha", MINE)


@pytest.mark.parametrize("state", [state for state in PowerState if state is not PowerState.OFF])
def test_a_machine_that_is_not_off_keeps_it(state: PowerState) -> None:
    assert RestoreOwner not in kinds(OFF, reowned(OFF, state))


def test_a_machine_that_is_to_start_keeps_it() -> None:
    assert kinds(RUNNING, reowned(RUNNING)) == [Start]


@pytest.mark.parametrize("remove_overlays", [False, True])
def test_it_goes_back_with_its_cluster_after_the_power_and_before_what_knows_its_owner(remove_overlays: bool) -> None:
    going = RUNNING.model_copy(update={"deletion": Deletion(remove_overlays=remove_overlays)})
    done = kinds(going, reowned(RUNNING, PowerState.RUNNING))
    assert done.index(CutPower) < done.index(RestoreOwner)
    assert (DeleteLayer in done) is remove_overlays
    assert Stage.GIVE_BACK < Stage.REMOVE_FILES


def test_a_file_below_several_layers_goes_back_once() -> None:
    there = reowned(OFF)
    (path, layer), *_ = there.layers.items()
    there = there.model_copy(update={"layers": {**there.layers, path.replace("r0.0", "r0.1"): layer}})
    assert kinds(OFF, there).count(RestoreOwner) == 1
