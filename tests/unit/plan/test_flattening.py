"""When chains are flattened: too long, of a settled cluster, and never what a snapshot needs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.desired.chains import MOST_SPARE_LAYERS
from reconciler.error_codes import ErrorCode
from reconciler.model import names
from reconciler.model.document import ClusterDocument, Domain, Layer, PowerState, Snapshot, Unknown, files_below
from reconciler.model.plan import DeleteLayer, FlattenLayer, Plan, Start, TakeSnapshot
from reconciler.model.record import ClusterRecord, SnapshotIntent, WantedPower
from reconciler.model.snapshot import FrozenDisk, SnapshotNode, SnapshotPower
from reconciler.plan.consent import losses
from reconciler.plan.planner import plan
from tests.simulation.worlds import CLUSTER, OVERLAY_DIR, as_wanted, compiled, running_record

RECORD = running_record("alpha")
IMAGE = RECORD.spec.nodes["alpha"].base_image.path
LONG = MOST_SPARE_LAYERS + 1

Edit = Callable[[ClusterDocument], ClusterDocument]


def layer_at(depth: int) -> Path:
    return names.layer_path(OVERLAY_DIR, CLUSTER, "alpha", "vda", 0, depth)


def with_spare(count: int, record: ClusterRecord = RECORD) -> ClusterDocument:
    """A host as wanted, but with that many layers of nobody's below the one that is written to."""
    there = as_wanted(record)
    first, domain = there.layers[str(layer_at(0))], there.domains["alpha"]
    assert isinstance(first, Layer)
    assert isinstance(domain, Domain)
    layers: dict[str, Layer | Unknown] = {str(layer_at(0)): first}
    for depth in range(1, count + 1):
        on_top = first.model_copy(update={"backing": layer_at(depth - 1), "backing_format": "qcow2"})
        layers[str(layer_at(depth))] = on_top
    top = layers[str(layer_at(count))]
    assert isinstance(top, Layer)
    disk = domain.disks["vda"].model_copy(update={"path": layer_at(count), "backing": files_below(top, layers)})
    longer = domain.model_copy(update={"disks": {**domain.disks, "vda": disk}})
    opened = frozenset({str(layer_at(count)), *(str(file.path) for file in files_below(top, layers))})
    power = there.power["alpha"].model_copy(update={"open_files": opened})
    return there.model_copy(update={"layers": layers, "domains": {"alpha": longer}, "power": {"alpha": power}})


def planned(there: ClusterDocument, record: ClusterRecord = RECORD) -> Plan:
    return plan(compiled(record, there), there)


def with_layer(there: ClusterDocument, depth: int, **changes: object) -> ClusterDocument:
    layer = there.layers[str(layer_at(depth))]
    assert isinstance(layer, Layer)
    return there.model_copy(update={"layers": {**there.layers, str(layer_at(depth)): layer.model_copy(update=changes)}})


def with_snapshot_at(depth: int) -> Edit:
    frozen = {"vda": FrozenDisk(path=layer_at(depth), format="qcow2")}
    node = SnapshotNode(power=SnapshotPower.RUNNING, disks=frozen)
    snapshot = Snapshot(request=1, include_memory=False, nodes={"alpha": node})
    return lambda there: there.model_copy(update={"snapshots": {"kept": snapshot}})


WANTING_IT = RECORD.model_copy(update={"snapshots": {"kept": SnapshotIntent(request=1)}, "snapshot_requests": 1})


def test_a_chain_is_left_alone_until_it_is_too_long() -> None:
    assert planned(with_spare(MOST_SPARE_LAYERS)) == Plan()


def test_a_chain_that_is_too_long_is_taken_up_down_to_the_image_and_nothing_is_deleted_yet() -> None:
    (action,) = planned(with_spare(LONG)).actions
    assert isinstance(action, FlattenLayer)
    assert (action.path, action.base, action.lowest) == (layer_at(LONG), IMAGE, layer_at(0))


def test_once_it_is_finished_what_was_taken_up_is_deleted() -> None:
    there = with_layer(with_spare(LONG), LONG, backing=IMAGE)
    power = there.power["alpha"].model_copy(update={"open_files": frozenset({str(layer_at(LONG)), str(IMAGE)})})
    there = there.model_copy(update={"domains": compiled(RECORD, there).domains, "power": {"alpha": power}})
    assert {type(action) for action in planned(there).actions} == {DeleteLayer}
    assert {action.path for action in planned(there).actions if isinstance(action, DeleteLayer)} == {
        layer_at(depth) for depth in range(LONG)
    }


def test_what_was_interrupted_at_its_end_is_finished_before_anything_is_deleted() -> None:
    there = with_layer(with_spare(LONG), LONG, backing=IMAGE, flattening=True)
    there = there.model_copy(update={"domains": compiled(RECORD, there).domains})
    (action,) = planned(there).actions
    assert isinstance(action, FlattenLayer)
    assert (action.base, action.lowest) == (IMAGE, None)


def test_layers_that_a_snapshot_needs_are_not_taken_up() -> None:
    there = with_snapshot_at(1)(with_spare(LONG + 2))
    (action,) = planned(there, WANTING_IT).actions
    assert isinstance(action, FlattenLayer)
    assert (action.base, action.lowest) == (layer_at(1), layer_at(2))
    assert planned(with_snapshot_at(2)(with_spare(LONG + 2)), WANTING_IT) == Plan()


def test_nothing_is_taken_up_while_a_snapshot_cannot_be_read() -> None:
    unreadable = Unknown(unknown="its manifest is damaged", code=ErrorCode.SNAPSHOT_FAILED)
    there = with_spare(LONG).model_copy(update={"snapshots": {"kept": unreadable}})
    assert planned(there, WANTING_IT).actions == ()


@pytest.mark.parametrize("state", [PowerState.PAUSED, PowerState.BLOCKED, PowerState.CRASHED])
def test_a_machine_that_stands_still_is_not_flattened_and_keeps_its_layers(state: PowerState) -> None:
    there = with_spare(LONG)
    power = there.power["alpha"].model_copy(update={"state": state})
    there = with_layer(there.model_copy(update={"power": {"alpha": power}}), LONG, flattening=True)
    assert planned(there).actions == ()


def test_it_waits_until_the_cluster_is_settled() -> None:
    there = with_spare(LONG)
    off = there.power["alpha"].model_copy(update={"state": PowerState.OFF})
    there = there.model_copy(update={"power": {"alpha": off}, "taps": {}})
    assert {type(action) for action in planned(there).actions} == {Start}
    stopped = RECORD.nodes["alpha"].model_copy(update={"power": WantedPower.OFF})
    kinds = {type(action) for action in planned(there, RECORD.model_copy(update={"nodes": {"alpha": stopped}})).actions}
    assert kinds == {FlattenLayer}


def test_it_comes_before_a_snapshot_which_would_freeze_the_long_chain() -> None:
    assert {type(action) for action in planned(with_spare(LONG), WANTING_IT).actions} == {FlattenLayer}
    assert {type(action) for action in planned(with_spare(1), WANTING_IT).actions} == {TakeSnapshot}


def test_put_off_it_holds_nothing_up_and_nothing_below_is_deleted() -> None:
    there = with_spare(LONG)
    assert plan(compiled(RECORD, there), there, {"alpha"}) == Plan()
    (action,) = plan(compiled(WANTING_IT, there), there, {"alpha"}).actions
    assert isinstance(action, TakeSnapshot)


def test_what_was_begun_is_not_put_off() -> None:
    there = with_layer(with_spare(LONG), LONG, flattening=True)
    assert {type(action) for action in plan(compiled(WANTING_IT, there), there, {"alpha"}).actions} == {FlattenLayer}


def test_put_off_or_not_what_it_does_not_read_is_deleted_which_makes_room_for_it() -> None:
    there, aside = with_spare(LONG), names.layer_path(OVERLAY_DIR, CLUSTER, "alpha", "vda", 7, 0)
    branch = there.layers[str(layer_at(1))]
    there = there.model_copy(update={"layers": {**there.layers, str(aside): branch}})
    for put_off in (frozenset[str](), frozenset({"alpha"})):
        (action,) = plan(compiled(RECORD, there), there, put_off).actions
        assert isinstance(action, DeleteLayer)
        assert action.path == aside


def test_what_is_taken_up_is_not_lost() -> None:
    there = with_spare(LONG)
    assert [type(of) for of in planned(there).actions] == [FlattenLayer]
    assert [*losses(compiled(RECORD, there), there)] == []
