"""Plans of whole documents: who owns what, what is withheld, and in which order the rest is done."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import pytest

from reconciler.act.execute import execute
from reconciler.error_codes import ErrorCode
from reconciler.model.base import Frozen
from reconciler.model.document import (
    ClusterDocument,
    DirectBoot,
    Domain,
    HostAddress,
    Layer,
    LentFiles,
    Mark,
    NodeLinks,
    Power,
    PowerState,
    Snapshot,
    Unknown,
)
from reconciler.model.links import Impairment, Link
from reconciler.model.origin import Origin
from reconciler.model.plan import (
    Action,
    CreateLayer,
    CutPower,
    DefineDomain,
    DeleteLayer,
    Plan,
    PlugTap,
    ShutDown,
    Start,
)
from reconciler.model.snapshot import FrozenDisk, SnapshotNode, SnapshotPower
from reconciler.model.stage import Stage
from reconciler.plan.planner import PLANNERS, nodes_to_restart, plan
from tests.golden_samples.tunnels import TUNNEL
from tests.simulation.worlds import NOW, as_wanted, compiled, running_record

RECORD = running_record("alpha", "beta")
WANTED = compiled(RECORD)
REAL = as_wanted(RECORD)
TRIPLE = running_record("alpha", "beta", "gamma")
BOOT = DirectBoot(kernel=Path("/k"), initrd=Path("/i"), cmdline="root=/dev/vda")

UNPLANNED = {
    ("networks", "active"),  # desired networks are always active; an inactive one is drift, tested with the planner
    ("layers", "misplaced"),  # only ever observed: an obstacle if the layer is desired
    ("layers", "written"),  # only ever observed
    ("layers", "resumed"),  # only ever observed: a machine went on from memory on it
    ("layers", "flattening"),  # only ever observed: what was begun is finished
    ("layers", "reowned"),  # only ever observed: what is no longer used is given back
    ("power", "stop_mode"),  # says how a machine is brought down, not that it is
    ("power", "memory"),  # says how a machine comes up, not that it does
    ("power", "template"),
    ("power", "must_clone"),
    ("power", "boots"),
    ("power", "open_files"),  # only ever observed
    ("power", "halt"),  # only ever observed: why a machine does not run
    ("links", "causes"),  # only ever wanted: by whom, not what
    ("snapshots", "request"),  # a snapshot is made or it is not: what it was made with is not changed afterwards
    ("snapshots", "include_memory"),
    ("snapshots", "quiesce"),  # only ever wanted: how it is made
    ("snapshots", "half_made"),  # only ever observed: swept before anything is planned
    ("snapshots", "held"),  # only ever observed: what a fork stands on and does not hold yet
    ("snapshots", "nodes"),  # only ever observed: what it is made of
    ("forks", "snapshot"),  # only ever observed: what a fork stands on
    ("forks", "disks"),
    ("forks", "below"),
    ("marks", "origin"),  # what the record does not know is desired as unknown, and nothing else is planned then
}
"""Leaves of the desired document whose change is no change of the host."""

PLANNED_TOGETHER: dict[tuple[str, ...], set[str]] = {
    ("domains", "disks", "vda", "path"): {"domains", "power"},  # a running machine is cut off its disk
}
"""Leaves whose change is planned by more than the owner."""

SNAPSHOT = Snapshot(
    request=1,
    include_memory=True,
    nodes={
        "alpha": SnapshotNode(
            power=SnapshotPower.RUNNING,
            disks={"vda": FrozenDisk(path=Path("/overlays/lab/alpha.vda.r0.0.qcow2"), format="qcow2")},
            memory=Path("/overlays/lab/snapshots/s/alpha.memory"),
        )
    },
)

LENT = LentFiles(snapshot="s", disks=(Path("/overlays/lab/alpha.vda.r0.0.qcow2"),), below=(Path("/images/base.qcow2"),))

HOST_ADDRESS = HostAddress(address="192.168.77.254", subnet="192.168.77.0/24", bridge="virbr-lab")

ORIGIN = Origin(store="0a", generation=1, token="1b")

LINKS = NodeLinks(
    links={"beta": Link(cut=True, cut_expires_at=NOW + timedelta(minutes=1), impairment=Impairment(delay_ms=20.0))},
    causes={"beta": ("partition-1",)},
)


def theirs(code: ErrorCode = ErrorCode.CONFLICT) -> Unknown:
    return Unknown(unknown="not made by us", code=code, terminal=code is ErrorCode.CONFLICT)


def with_entry(document: ClusterDocument, kind: str, name: str, value: object) -> ClusterDocument:
    return document.model_copy(update={kind: {**getattr(document, kind), name: value}})


def full() -> ClusterDocument:
    """A document in which every optional field of every resource has a value."""
    domain = WANTED.domains["alpha"]
    assert isinstance(domain, Domain)
    document = with_entry(REAL, "domains", "alpha", domain.model_copy(update={"boot": BOOT}))
    ((name, network),) = REAL.networks.items()
    document = with_entry(
        document, "networks", name, network.model_copy(update={"tunnel": TUNNEL, "host_address": HOST_ADDRESS})
    )
    document = with_entry(document, "links", "alpha", LINKS)
    document = with_entry(document, "forks", "try", LENT)
    document = with_entry(document, "marks", "domains/alpha", Mark(origin=ORIGIN))
    return with_entry(document, "snapshots", "s", SNAPSHOT)


def variants(value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every way to change one leaf of a value, with the path to the leaf."""
    if isinstance(value, Frozen):
        for name in type(value).model_fields:
            for path, changed in variants(getattr(value, name)):
                yield (name, *path), value.model_copy(update={name: changed})
    elif isinstance(value, dict):
        for key, item in value.items():
            for path, changed in variants(item):
                yield (key, *path), {**value, key: changed}
            yield (key, "(gone)"), {other: kept for other, kept in value.items() if other != key}
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            for path, changed in variants(item):
                yield (str(index), *path), (*value[:index], changed, *value[index + 1 :])
        if value:
            yield ("(empty)",), ()
    else:
        yield (), other_than(value)


def other_than(leaf: object) -> object:  # noqa: PLR0911  # one per type of leaf
    match leaf:
        case Enum():
            return next(member for member in type(leaf) if member is not leaf)
        case bool():
            return not leaf
        case int():
            return leaf + 1
        case float():
            return leaf + 0.5
        case datetime():
            return leaf + timedelta(minutes=1)
        case str():
            return f"{leaf}x"
        case Path():
            return leaf / "x"
        case None:
            return Path("/x")  # what no resource of `full` fills in, of a power: memory to go on from, open files
    raise AssertionError(f"a leaf of type {type(leaf)} is new here: say how to change it")


def leaves() -> Iterator[Any]:
    document = full()
    for kind in type(document).model_fields:
        name, resource = next(iter(getattr(document, kind).items()))
        for path, changed in variants(resource):
            desired = with_entry(document, kind, name, changed)
            yield pytest.param(kind, path, desired, id=".".join([kind, *path]))


def test_every_field_of_the_document_has_exactly_one_planner() -> None:
    assert PLANNERS.keys() == ClusterDocument.model_fields.keys()
    assert len(set(PLANNERS.values())) == len(PLANNERS)


@pytest.mark.parametrize("action", get_args(Action))
def test_every_action_has_its_stage_and_its_kind_and_something_that_carries_it_out(action: type[Action]) -> None:
    assert isinstance(action.stage, Stage)
    assert action.kind in ClusterDocument.model_fields
    assert execute.dispatch(action) is not execute.dispatch(object)


@pytest.mark.parametrize(("kind", "path", "desired"), [*leaves()])
def test_a_change_of_any_leaf_is_planned_by_its_owner(
    kind: str, path: tuple[str, ...], desired: ClusterDocument
) -> None:
    steps = {owner: [*planner(desired, full())] for owner, planner in PLANNERS.items()}
    owners = {owner for owner, of_owner in steps.items() if of_owner}
    assert owners == (set() if (kind, path[0]) in UNPLANNED else PLANNED_TOGETHER.get((kind, *path), {kind}))


@pytest.mark.parametrize("kind", PLANNERS)
def test_a_resource_that_is_missing_is_planned_by_its_owner(kind: str) -> None:
    name = next(iter(getattr(full(), kind)))
    rest = {other: value for other, value in getattr(full(), kind).items() if other != name}
    observed = full().model_copy(update={kind: rest})
    steps = [*PLANNERS[kind](full(), observed)]
    assert bool(steps) == (kind not in {"taps", "marks", "forks"})  # they come and go with what they are of


def test_what_is_as_desired_needs_no_plan() -> None:
    assert plan(REAL, REAL) == Plan()
    assert plan(WANTED, REAL) == Plan()


def test_an_empty_host_is_built_from_the_network_up() -> None:
    kinds = [[type(action).__name__ for action in stage] for stage in plan(WANTED, ClusterDocument()).stages()]
    assert kinds == [
        ["CreateLayer", "CreateLayer"],
        ["CreateNetwork"],
        ["WriteSeed", "WriteSeed"],
        ["DefineDomain", "DefineDomain"],
        ["Start", "Start"],
    ]


def test_nodes_that_run_hear_of_a_new_one_once_it_runs_too() -> None:
    kinds = [[type(of).__name__ for of in stage] for stage in plan(compiled(TRIPLE), REAL).stages()]
    assert kinds == [["CreateLayer"], ["WriteSeed"], ["DefineDomain"], ["Start"], ["UpdateSeed", "UpdateSeed"]]


def test_a_whole_cluster_is_taken_down_with_its_network_last() -> None:
    kinds = [{type(action).__name__ for action in stage} for stage in plan(ClusterDocument(), REAL).stages()]
    assert kinds == [{"CutPower"}, {"UndefineDomain"}, {"DeleteLayer", "DeleteSeed"}, {"DeleteNetwork"}]


def test_the_stages_hold_every_action_once() -> None:
    whole = plan(WANTED, ClusterDocument())
    assert sorted(map(repr, whole.actions)) == sorted(repr(action) for stage in whole.stages() for action in stage)
    assert [*Stage] == sorted(Stage)


def test_a_network_that_is_not_ours_holds_back_everything_that_builds_on_it() -> None:
    observed = ClusterDocument(networks={name: theirs() for name in WANTED.networks})
    todo = plan(WANTED, observed)
    assert {type(action) for action in todo.actions} == {CreateLayer}
    assert [(obstacle.code, obstacle.node) for obstacle in todo.obstacles] == [(ErrorCode.CONFLICT, None)]


@pytest.mark.parametrize("kind", ["seeds", "domains", "power"])
def test_what_is_unknown_of_one_node_holds_back_that_node_alone(kind: str) -> None:
    observed = with_entry(ClusterDocument(), kind, "alpha", theirs(ErrorCode.OPERATION_FAILED))
    todo = plan(WANTED, observed)
    assert {action.node for action in todo.actions if not isinstance(action, CreateLayer)} == {None, "beta"}
    assert [obstacle.node for obstacle in todo.obstacles] == ["alpha"]


def test_a_layer_that_differs_holds_back_its_node() -> None:
    path, layer = next(iter(WANTED.layers.items()))
    assert isinstance(layer, Layer)
    todo = plan(WANTED, ClusterDocument(layers={path: layer.model_copy(update={"size_bytes": 2**40})}))
    assert {action.node for action in todo.actions} == {None, "beta"}
    assert [obstacle.node for obstacle in todo.obstacles] == ["alpha"]


@pytest.mark.parametrize("kind", ["domains", "power"])
def test_nothing_is_done_to_a_machine_that_may_be_somebody_elses(kind: str) -> None:
    observed = with_entry(REAL, kind, "alpha", theirs())
    todo = plan(ClusterDocument(), observed)
    assert {action.node for action in todo.actions if action.node} - {"beta"} == {"alpha"}
    assert {type(action).__name__ for action in todo.actions if action.node == "alpha"} == {"DeleteSeed"}


def test_a_foreign_domain_that_no_node_is_named_after_is_not_in_the_way() -> None:
    assert plan(WANTED, with_entry(REAL, "domains", "backup", theirs())) == Plan()


def test_a_foreign_domain_on_our_disk_that_must_go_is_an_obstacle() -> None:
    observed = ClusterDocument(domains={"alpha": theirs()}, layers=REAL.layers)
    todo = plan(ClusterDocument(), observed)
    assert [obstacle.node for obstacle in todo.obstacles] == ["alpha"]
    assert {action.node for action in todo.actions} == {"beta"}


def test_what_cannot_be_read_is_reported_also_where_it_is_not_desired() -> None:
    observed = with_entry(REAL, "domains", "backup", theirs(ErrorCode.LIBVIRT_UNAVAILABLE))
    assert [obstacle.node for obstacle in plan(WANTED, observed).obstacles] == ["backup"]


def test_disks_that_are_kept_as_they_are_may_be_anything() -> None:
    kept = ClusterDocument(layers={"/overlays/lab/alpha.vda.r0.0.qcow2": theirs()})
    assert plan(kept, kept) == Plan()
    assert plan(kept, with_entry(kept, "power", "alpha", Power(state=PowerState.RUNNING))).obstacles == ()


def test_a_layer_is_not_deleted_while_its_machine_goes_on_running() -> None:
    garbage = Layer(node="alpha", disk="vdb", size_bytes=1)
    todo = plan(WANTED, with_entry(REAL, "layers", "/disks/old.qcow2", garbage))
    assert todo == Plan()


def test_a_layer_is_deleted_below_a_machine_that_is_known_not_to_have_it_open() -> None:
    path = Path("/disks/old.qcow2")
    observed = with_entry(REAL, "layers", str(path), Layer(node="alpha", disk="vdb", size_bytes=1))
    running = Power(state=PowerState.RUNNING, open_files=frozenset({"/disks/other.qcow2"}))
    (deletion,) = plan(WANTED, with_entry(observed, "power", "alpha", running)).actions
    assert isinstance(deletion, DeleteLayer)
    assert deletion.path == path
    holding = running.model_copy(update={"open_files": frozenset({str(path)})})
    assert plan(WANTED, with_entry(observed, "power", "alpha", holding)) == Plan()


def test_a_shared_disk_goes_when_the_last_node_has_let_go_of_it() -> None:
    garbage = Layer(node="alpha", disk="vdb", size_bytes=1, format="raw")
    observed = with_entry(REAL, "layers", "/disks/shared.raw", garbage)
    observed = with_entry(observed, "power", "alpha", Power(state=PowerState.OFF))
    held = Power(state=PowerState.RUNNING, open_files=frozenset({"/disks/shared.raw"}))
    let_go = Power(state=PowerState.RUNNING, open_files=frozenset())
    for power, deleted in ((held, False), (let_go, True)):
        actions = plan(WANTED, with_entry(observed, "power", "beta", power)).actions
        assert (DeleteLayer in {type(action) for action in actions}) is deleted
    unclear = with_entry(with_entry(observed, "power", "beta", let_go), "domains", "beta", theirs())
    assert DeleteLayer not in {type(action) for action in plan(WANTED, unclear).actions}


def test_whose_a_shared_disk_is_may_change_and_its_size_may_not() -> None:
    want = Layer(node="alpha", disk="vdb", size_bytes=2, format="raw")
    wanted = with_entry(WANTED, "layers", "/disks/shared.raw", want)
    other = with_entry(REAL, "layers", "/disks/shared.raw", want.model_copy(update={"node": "gone", "disk": "vdc"}))
    assert plan(wanted, other) == Plan()
    smaller = with_entry(REAL, "layers", "/disks/shared.raw", want.model_copy(update={"size_bytes": 1}))
    (obstacle,) = plan(wanted, smaller).obstacles
    assert "size_bytes 1 -> 2) and holds data" in obstacle.message


def test_a_layer_is_deleted_where_its_machine_is_off_or_is_turned_off_first() -> None:
    garbage = with_entry(REAL, "layers", "/disks/old.qcow2", Layer(node="alpha", disk="vdb", size_bytes=1))
    off = with_entry(garbage, "power", "alpha", Power(state=PowerState.OFF))
    assert DeleteLayer in {type(action) for action in plan(WANTED, off).actions}
    cycled = with_entry(WANTED, "power", "alpha", Power(state=PowerState.RUNNING, boot_epoch=1))
    assert {type(action) for action in plan(cycled, garbage).actions} == {CutPower, Start, DeleteLayer}


def test_a_machine_that_could_not_come_up_again_is_not_brought_down_for_a_power_cycle() -> None:
    cycled = with_entry(WANTED, "power", "alpha", Power(state=PowerState.RUNNING, boot_epoch=1))
    todo = plan(cycled, with_entry(REAL, "seeds", "alpha", theirs()))
    assert (todo.actions, [obstacle.node for obstacle in todo.obstacles]) == ((), ["alpha"])


def test_a_machine_with_an_obstacle_is_turned_off_where_that_is_desired() -> None:
    off = with_entry(WANTED, "power", "alpha", Power(state=PowerState.OFF, boot_epoch=1))
    todo = plan(off, with_entry(REAL, "seeds", "alpha", theirs()))
    assert [type(action) for action in todo.actions] == [CutPower]


def test_a_node_on_its_way_down_is_waited_for() -> None:
    observed = with_entry(REAL, "power", "alpha", Power(state=PowerState.STOPPING))
    todo = plan(WANTED, observed)
    assert (todo.actions, todo.waiting, todo.converged) == ((), frozenset({"alpha"}), False)


def test_the_nodes_that_a_new_definition_restarts_are_named() -> None:
    domain = WANTED.domains["beta"]
    assert isinstance(domain, Domain)
    todo = plan(with_entry(WANTED, "domains", "beta", domain.model_copy(update={"vcpus": 9})), REAL)
    assert nodes_to_restart(todo) == {"beta"}
    assert [type(action) for action in todo.actions] == [DefineDomain]


def test_a_network_that_was_replaced_gets_its_nodes_plugged_in_by_the_next_plan() -> None:
    unplugged = {node: tap.model_copy(update={"bridge": None}) for node, tap in REAL.taps.items()}
    todo = plan(WANTED, REAL.model_copy(update={"taps": unplugged}))
    assert [(type(action), action.node) for action in todo.actions] == [(PlugTap, "alpha"), (PlugTap, "beta")]


def test_no_empty_disk_takes_the_place_of_one_that_is_away_unless_that_is_agreed_to() -> None:
    kept = {path: of for path, of in REAL.layers.items() if isinstance(of, Layer) and of.node != "alpha"}
    away = REAL.model_copy(update={"layers": kept, "seeds": {"beta": REAL.seeds["beta"]}})
    todo = plan(WANTED, away, consent=frozenset())
    assert [action for action in todo.actions if action.node == "alpha"] == []
    (obstacle,) = todo.obstacles
    assert (obstacle.code, obstacle.node) == (ErrorCode.APPROVAL_REQUIRED, "alpha")
    assert "is no longer there (mount it, or put it back)" in obstacle.message
    made = plan(WANTED, away, consent=frozenset({"layer/alpha/*"})).actions
    assert CreateLayer in {type(action) for action in made if action.node == "alpha"}
    off = WANTED.model_copy(update={"power": {**WANTED.power, "alpha": Power(state=PowerState.OFF)}})
    down = [type(action) for action in plan(off, away, consent=frozenset()).actions if action.node == "alpha"]
    assert down in ([CutPower], [ShutDown]), "it may be brought down, and no more"
    undefined = away.model_copy(update={"domains": {}, "power": {}})
    assert not plan(WANTED, undefined, consent=frozenset()).obstacles, "what was never made is made"
