"""Which generation a rollback goes back to where none is named."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from reconciler.errors import InvalidArgument, StoreUnavailable
from reconciler.model.choices import StopMode
from reconciler.model.record import BootSpec, ClusterRecord
from reconciler.records import record_changes
from reconciler.records.history import changes_told
from reconciler.records.recovery import documents, last_other
from reconciler.store.patch import difference
from reconciler.store.protocol import HistoryEntry
from tests.unit.store.samples import sample_record

OFF = sample_record()
RUNNING = record_changes.started(OFF)
LARGER = RUNNING.model_copy(update={"spec": RUNNING.spec.model_copy(update={"snapshot_names": {"baseline": "clean"}})})


def history(*records: ClusterRecord | None) -> list[HistoryEntry]:
    documents = [None, *(record and record.model_dump(mode="json", exclude={"generation"}) for record in records)]
    return [
        HistoryEntry(
            cluster_name="lab",
            generation=index + 1,
            actor="test",
            at=datetime.now(UTC),
            patch=difference(before, after),
        )
        for index, (before, after) in enumerate(pairwise(documents))
    ]


def with_snapshot(record: ClusterRecord) -> ClusterRecord:
    return record_changes.with_snapshot(record, "clean", include_memory=False, quiesce=False)


def crashed(record: ClusterRecord) -> ClusterRecord:
    return record_changes.power_cycled(record, frozenset({"alpha"}), StopMode.DESTROY)


def test_the_one_before_is_gone_back_to_where_it_wants_something_else() -> None:
    assert last_other(history(OFF, RUNNING, LARGER)) == 2
    assert last_other(history(OFF, RUNNING)) == 1


def test_generations_that_only_took_a_snapshot_or_crashed_a_node_are_passed_over() -> None:
    assert last_other(history(RUNNING, LARGER, with_snapshot(LARGER), crashed(with_snapshot(LARGER)))) == 1


def test_a_destroyed_cluster_is_desired_again_and_its_destruction_is_not() -> None:
    gone = record_changes.deleted(RUNNING, remove_overlays=False)
    assert last_other(history(RUNNING, gone)) == 1
    assert last_other(history(OFF, RUNNING, gone, RUNNING)) == 1


def test_what_a_removed_cluster_of_that_name_was_is_gone_back_to_only_while_there_is_no_other() -> None:
    assert last_other(history(OFF, RUNNING, None)) == 2
    assert last_other(history(LARGER, None, OFF, RUNNING)) == 3


@pytest.mark.parametrize(
    "records",
    [
        (OFF,),
        (OFF, with_snapshot(OFF)),
        (record_changes.deleted(OFF, remove_overlays=False),),
        (LARGER, None, RUNNING, with_snapshot(RUNNING)),
    ],
)
def test_where_nothing_else_was_ever_wanted_that_is_said(records: tuple[ClusterRecord | None, ...]) -> None:
    with pytest.raises(InvalidArgument, match="no earlier generation of cluster 'lab' has a different topology"):
        last_other(history(*records))


def test_a_kernel_that_was_built_again_is_nothing_to_go_back_from() -> None:
    def booting(identity: str) -> ClusterRecord:
        boot = BootSpec(kernel=Path("/k"), identity=identity)
        nodes = {name: of.model_copy(update={"boot": boot}) for name, of in RUNNING.spec.nodes.items()}
        return RUNNING.model_copy(update={"spec": RUNNING.spec.model_copy(update={"nodes": nodes})})

    assert last_other(history(RUNNING, booting("1"), booting("2"))) == 1


def test_behind_a_change_that_cannot_be_read_no_generation_is_made_up() -> None:
    first, second, third = history(OFF, RUNNING, LARGER)
    damaged = second.model_copy(update={"patch": (), "unreadable": "the change 2 cannot be read"})
    entries = [first, damaged, third]
    told = documents(entries)
    assert next(told)[0] == 1
    with pytest.raises(StoreUnavailable, match="damaged at generation 2: the change 2 cannot be read"):
        next(told)
    assert [change.changes[0] for change in changes_told(entries)] == [
        "+ cluster of 2 nodes",
        "the change 2 cannot be read",
        "unknown, as an earlier change cannot be read",
    ]
