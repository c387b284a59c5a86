"""What a change of a record was about, in words."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.choices import StopMode
from reconciler.model.faults import Groups, PartitionFault, PartitionRequest
from reconciler.model.record import ClusterRecord, WantedPower
from reconciler.records import record_changes
from reconciler.records.change_descriptions import change_in_words
from tests.simulation.worlds import cluster_spec, extra_disk, node_spec, records, running_record

PAIR = running_record("alpha", "beta")
FAULT = PartitionFault(
    handle_id="f-1",
    created_at=datetime.now(UTC),
    request=PartitionRequest(shape=Groups(groups=(("alpha",), ("beta",)))),
    grudge={"alpha": ("beta",), "beta": ("alpha",)},
)


def with_spec(record: ClusterRecord, **nodes: object) -> ClusterRecord:
    return record_changes.with_spec(record, "lab", cluster_spec(nodes))  # type: ignore[arg-type]


def words(before: ClusterRecord | None, after: ClusterRecord | None) -> str:
    documents = (of.model_dump(mode="json", exclude={"generation"}) if of else None for of in (before, after))
    return "; ".join(change_in_words(*documents))


LARGER = with_spec(PAIR, alpha=node_spec(0, memory_mb=768), beta=PAIR.spec.nodes["beta"])


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (None, PAIR, "+ cluster of 2 nodes"),
        (PAIR, None, "- the record"),
        (PAIR, LARGER, "~ alpha: memory_mb 512 -> 768"),
        (
            PAIR,
            record_changes.power_cycled(LARGER, frozenset({"alpha"}), StopMode.SHUTDOWN),
            "~ alpha: memory_mb 512 -> 768; alpha: shutdown and boot",
        ),
        (PAIR, with_spec(PAIR, alpha=PAIR.spec.nodes["alpha"]), "- node beta"),
        (
            PAIR,
            PAIR.model_copy(update={"spec": PAIR.spec.model_copy(update={"snapshot_names": {"baseline": "clean"}})}),
            "~ snapshot_names.baseline -> clean",
        ),
        (PAIR, record_changes.with_snapshot(PAIR, "clean", include_memory=False, quiesce=False), "+ snapshot clean"),
        (PAIR, PAIR.model_copy(update={"faults": {"f-1": FAULT}}), "+ partition f-1"),
        (PAIR.model_copy(update={"faults": {"f-1": FAULT}}), PAIR, "- partition f-1"),
        (PAIR, record_changes.stopped(PAIR, StopMode.SHUTDOWN), "~ alpha, beta: running -> off"),
        (
            PAIR,
            record_changes.power_cycled(PAIR, frozenset({"beta"}), StopMode.DESTROY, power={"beta": WantedPower.OFF}),
            "~ beta: running -> off; beta: power cut",
        ),
        (PAIR, record_changes.deleted(PAIR, remove_overlays=True), "to be destroyed, disks too"),
        (PAIR, PAIR.model_copy(update={"snapshot_requests": 9}), "bookkeeping only"),
    ],
)
def test_what_was_asked_for_comes_before_what_followed_from_it(
    before: ClusterRecord | None, after: ClusterRecord | None, said: str
) -> None:
    assert words(before, after) == said


def test_a_new_disk_is_named_and_its_value_is_cut() -> None:
    more = with_spec(PAIR, alpha=node_spec(0, extra_disks={"vdb": extra_disk("alpha")}), beta=PAIR.spec.nodes["beta"])
    said = words(PAIR, more)
    assert re.match(r"~ alpha: extra_disks\.vdb -> \{.{59}…", said)


@given(st.data())
def test_every_change_is_told_and_no_two_records_that_differ_in_what_was_asked_look_alike(data: st.DataObject) -> None:
    before, after = data.draw(records()), data.draw(records())
    said = words(before, after)
    assert said
    asked = ("spec", "snapshots", "faults", "deletion")
    if any(getattr(before, part) != getattr(after, part) for part in asked):
        assert said != "bookkeeping only"
