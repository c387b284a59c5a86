"""Which marks on the host a record knows: those of its own history, and nothing that is beyond it."""

from pathlib import Path

import pytest

from reconciler.desired.compile import compile_document
from reconciler.desired.known_marks import marks_to_sign
from reconciler.error_codes import ErrorCode
from reconciler.model import names
from reconciler.model.document import ClusterDocument, Layer, Mark, Snapshot, Unknown, mark_key
from reconciler.model.origin import Lineage, Origin
from reconciler.model.plan import Plan
from reconciler.model.record import UNSIGNED, ClusterRecord, Deletion
from reconciler.plan.planner import plan
from tests.simulation.worlds import CLUSTER, CLUSTER_DIR, EMULATED, NOW, OVERLAY_DIR, as_wanted, running_record

OURS = Origin(store="0a", generation=1, token="1b", state_dir="/state")
LATER = Origin(store="0a", generation=2, token="2c", state_dir="/state")
THEIRS = Origin(store="ff", generation=7, token="7d", state_dir="/home/bob/state")
LINEAGE = Lineage("0a", frozenset({OURS}))
HEAD = mark_key("directory", CLUSTER_DIR)
RECORD = running_record("alpha", "beta").model_copy(update={"generation": 2, "snapshot_requests": 1})
GOING = [None, Deletion(remove_overlays=True), Deletion(remove_overlays=False)]


def layer_path(node: str, revision: int) -> str:
    return str(names.layer_path(OVERLAY_DIR, CLUSTER, node, names.ROOT_DISK, revision, 0))


def seen(origin: Origin | None = OURS, **other: Origin | Unknown | None) -> ClusterDocument:
    """A host as `RECORD` wants it, every mark of that origin but for those named, as in `domains__alpha`."""
    document = as_wanted(RECORD)
    keys = [
        mark_key(kind, name) for kind in ("networks", "domains", "layers", "seeds") for name in getattr(document, kind)
    ]
    marks: dict[str, Mark | Unknown] = {key: Mark(origin=origin) for key in (*keys, HEAD)}
    for name, value in other.items():
        key = HEAD if name == "head" else name.replace("__", "/")
        assert key in marks
        marks[key] = value if isinstance(value, Unknown) else Mark(origin=value)
    return document.model_copy(update={"marks": marks})


def planned(record: ClusterRecord, observed: ClusterDocument, lineage: Lineage = LINEAGE) -> Plan:
    return plan(compile_document(record, EMULATED, observed, lineage=lineage, now=NOW), observed)


def with_layer(observed: ClusterDocument, node: str, revision: int, origin: Origin | None) -> ClusterDocument:
    path = layer_path(node, revision)
    layer = Layer(node=node, disk=names.ROOT_DISK, size_bytes=2**30, backing=Path("/images/base.qcow2"))
    marks = {**observed.marks, mark_key("layers", path): Mark(origin=origin)}
    return observed.model_copy(update={"layers": {**observed.layers, path: layer}, "marks": marks})


def with_snapshot(observed: ClusterDocument, request: int, origin: Origin | None) -> ClusterDocument:
    snapshot = Snapshot(request=request, include_memory=False)
    marks = {**observed.marks, mark_key("snapshots", "theirs"): Mark(origin=origin)}
    return observed.model_copy(update={"snapshots": {"theirs": snapshot}, "marks": marks})


def test_what_the_record_has_made_is_no_difference() -> None:
    assert planned(RECORD, seen()) == Plan()


@pytest.mark.parametrize("deletion", GOING)
@pytest.mark.parametrize("place", ["domains__alpha", "networks__net-lab", "seeds__beta", "head"])
def test_one_thing_of_another_store_stops_everything_and_is_named_with_its_remedy(
    place: str, deletion: Deletion | None
) -> None:
    record = RECORD.model_copy(update={"deletion": deletion})
    found = planned(record, seen(**{place: THEIRS}))
    assert (found.actions, found.foreign, found.converged) == ((), True, False)
    (obstacle,) = found.obstacles
    assert (obstacle.code, obstacle.terminal) == (ErrorCode.CONFLICT, True)
    for word in ("another store", "/home/bob/state", "ff", "generation 7", "cluster_adopt"):
        assert word in obstacle.message


def test_a_store_that_was_lost_is_told_from_one_elsewhere() -> None:
    lineage = Lineage("0a", frozenset({OURS}), THEIRS.state_dir)
    (obstacle,) = planned(RECORD, seen(head=THEIRS), lineage).obstacles
    assert "made by a store that no longer exists (/home/bob/state" in obstacle.message


def test_a_later_generation_of_a_copy_of_the_store_stops_everything() -> None:
    found = planned(RECORD, seen(head=LATER))
    assert (found.actions, found.foreign) == ((), True)
    assert "generation 2 of a record that this store does not know" in found.obstacles[0].message
    assert planned(RECORD, seen(head=LATER), Lineage("0a", frozenset({OURS, LATER}))) == Plan()


def test_the_same_generation_with_another_token_is_another_copys() -> None:
    assert planned(RECORD, seen(head=OURS.model_copy(update={"token": "other"}))).foreign


def test_things_of_one_origin_are_one_obstacle() -> None:
    (obstacle,) = planned(RECORD, seen(THEIRS)).obstacles
    assert "and 5 more" in obstacle.message


@pytest.mark.parametrize("deletion", GOING)
@pytest.mark.parametrize(
    "observed",
    [
        with_layer(seen(None), "alpha", 1, None),
        with_layer(seen(None), "gamma", 0, None),
        with_snapshot(seen(None), 2, None),
        with_layer(seen(), "alpha", 1, OURS),
        with_snapshot(seen(), 2, OURS),
    ],
)
def test_what_is_beyond_the_record_stops_everything_no_matter_who_made_it(
    observed: ClusterDocument, deletion: Deletion | None
) -> None:
    found = planned(RECORD.model_copy(update={"deletion": deletion}), observed)
    assert (found.actions, found.foreign) == ((), True)


def test_what_the_record_has_asked_for_and_wants_no_more_goes_as_before() -> None:
    observed = with_snapshot(seen(), 1, OURS)
    assert [type(action).__name__ for action in planned(RECORD, observed).actions] == ["DeleteSnapshot"]


def test_marks_of_an_earlier_version_count_where_the_cluster_has_a_record_and_nowhere_else() -> None:
    assert planned(RECORD, seen(None)) == Plan()
    unwritten = RECORD.model_copy(update={"generation": 0})
    assert planned(unwritten, seen(None)).foreign
    assert planned(unwritten.model_copy(update={"adopted": (UNSIGNED,)}), seen(None)) == Plan()


def test_what_is_taken_over_counts_and_is_signed_with_the_head_first() -> None:
    record = RECORD.model_copy(update={"adopted": (UNSIGNED, THEIRS.key)})
    observed = seen(domains__alpha=THEIRS, head=THEIRS, seeds__beta=None)
    assert planned(record, observed) == Plan()
    assert marks_to_sign(record, observed) == [HEAD, "domains/alpha", "seeds/beta"]
    assert marks_to_sign(record, seen()) == []
    assert marks_to_sign(record, seen(), LATER) == [HEAD], "it says which generation acted last"
    assert marks_to_sign(record, seen(head=LATER), LATER) == []
    later = THEIRS.model_copy(update={"generation": 8, "token": "8e"})
    assert planned(record, seen(head=later)).foreign, "what the other store made since was not taken over"


def test_a_directory_of_somebody_elses_is_not_taken_for_the_clusters_and_does_not_keep_it_from_going() -> None:
    not_ours = Unknown(
        unknown="/overlays/lab was not created for cluster 'lab'", code=ErrorCode.CONFLICT, terminal=True
    )
    assert planned(RECORD, seen(head=not_ours)).foreign
    going = RECORD.model_copy(update={"deletion": Deletion(remove_overlays=False)})
    assert not planned(going, seen(head=not_ours)).foreign
