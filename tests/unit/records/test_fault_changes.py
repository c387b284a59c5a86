"""Faults in a record: handles are never used twice, what is asked for again is the same, what is healed is gone."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.errors import InvalidArgument, NodeNotFound, NoParameters
from reconciler.model.faults import DeclaredFault, FaultRequest, Groups, Halves, ImpairRequest, PartitionRequest
from reconciler.model.links import Impairment
from reconciler.model.record import ClusterRecord
from reconciler.records import fault_changes, record_changes
from tests.simulation.worlds import CLUSTER, cluster_spec, node_spec

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)
SPEC = cluster_spec({"alpha": node_spec(0), "beta": node_spec(1)})
RECORD = record_changes.with_spec(None, CLUSTER, SPEC)
SPLIT = PartitionRequest(shape=Groups(groups=(("alpha",), ("beta",))))
HALVES = PartitionRequest(shape=Halves())
SLOW = ImpairRequest(source="alpha", impairment=Impairment(delay_ms=20))


def faulty(*requests: FaultRequest) -> ClusterRecord:
    record = RECORD
    for request in requests:
        record, _ = fault_changes.with_fault(record, request, now=NOW)
    return record


def declaring(record: ClusterRecord, **faults: DeclaredFault) -> ClusterRecord:
    """The record after an apply of a topology with these faults."""
    spec = record.spec.model_copy(update={"faults": faults})
    return fault_changes.with_declared_faults(record_changes.with_spec(record, CLUSTER, spec), now=NOW)


class TestByHand:
    def test_handles_say_the_kind_and_count_on_over_both(self) -> None:
        assert list(faulty(SPLIT, SLOW).faults) == ["partition-1", "impairment-2"]

    def test_a_handle_is_never_given_out_again(self) -> None:
        healed = fault_changes.without_faults(faulty(SPLIT, SLOW), ["partition-1", "impairment-2"])
        assert healed.faults == {}
        assert list(fault_changes.with_fault(healed, SPLIT, now=NOW)[0].faults) == ["partition-3"]

    def test_the_same_request_again_is_the_same_fault(self) -> None:
        assert faulty(SPLIT, SPLIT) == faulty(SPLIT)

    def test_the_time_of_a_repeated_request_starts_over(self) -> None:
        first, _ = fault_changes.with_fault(RECORD, SPLIT, now=NOW, duration_s=60)
        again, fault = fault_changes.with_fault(first, SPLIT, now=LATER, duration_s=60)
        assert list(again.faults) == ["partition-1"]
        assert (fault.created_at, fault.expires_at) == (NOW, LATER + timedelta(seconds=60))
        assert fault_changes.with_fault(again, SPLIT, now=LATER)[1].expires_at is None

    def test_a_request_that_is_the_same_can_be_asked_for_beside_the_first(self) -> None:
        assert list(fault_changes.with_fault(faulty(SPLIT), SPLIT, now=NOW, afresh=True)[0].faults) == [
            "partition-1",
            "partition-2",
        ]

    def test_what_has_expired_is_requested_again(self) -> None:
        short, _ = fault_changes.with_fault(RECORD, SPLIT, now=NOW, duration_s=1)
        again, fault = fault_changes.with_fault(short, SPLIT, now=LATER)
        assert fault.handle_id == "partition-2"
        assert list(fault_changes.without_expired_faults(again, now=LATER).faults) == ["partition-2"]

    @pytest.mark.parametrize(
        ("request_", "error"),
        [
            (PartitionRequest(shape=Groups(groups=(("alpha",), ("nobody",)))), NodeNotFound),
            (PartitionRequest(shape=Groups(groups=(("alpha",), ()))), InvalidArgument),
            (ImpairRequest(source="alpha", impairment=Impairment()), NoParameters),
            (ImpairRequest(source="alpha", targets=("alpha",), impairment=Impairment(loss_pct=1)), InvalidArgument),
        ],
    )
    def test_what_cannot_be_is_refused(self, request_: FaultRequest, error: type[Exception]) -> None:
        with pytest.raises(error):
            fault_changes.with_fault(RECORD, request_, now=NOW)

    def test_a_destroyed_cluster_has_no_faults(self) -> None:
        assert record_changes.deleted(faulty(SPLIT), remove_overlays=False).faults == {}


class TestDeclared:
    def test_an_apply_makes_them_and_another_one_leaves_them_alone(self) -> None:
        once = declaring(RECORD, split=DeclaredFault(request=SPLIT))
        assert [(of.handle_id, of.declared_as) for of in once.faults.values()] == [("partition-1", "split")]
        assert declaring(once, split=DeclaredFault(request=SPLIT)) == once

    def test_what_leaves_the_file_is_healed_and_what_was_asked_for_by_hand_stays(self) -> None:
        both = declaring(faulty(SLOW), split=DeclaredFault(request=SPLIT))
        assert list(both.faults) == ["impairment-1", "partition-2"]
        assert list(declaring(both).faults) == ["impairment-1"]

    def test_what_was_healed_by_hand_stays_so_until_the_next_apply(self) -> None:
        declared = {"split": DeclaredFault(request=SPLIT)}
        healed = fault_changes.without_faults(declaring(RECORD, **declared), ["partition-1"])
        assert record_changes.started(healed).faults == {}
        assert list(declaring(healed, **declared).faults) == ["partition-2"]

    def test_a_changed_one_is_another_fault(self) -> None:
        once = declaring(RECORD, split=DeclaredFault(request=SPLIT))
        changed = declaring(once, split=DeclaredFault(request=HALVES, duration_s=5))
        assert list(changed.faults) == ["partition-2"]
        assert changed.faults["partition-2"].expires_at == NOW + timedelta(seconds=5)

    def test_a_shape_is_laid_over_the_nodes_again_where_they_changed(self) -> None:
        once = declaring(RECORD, halves=DeclaredFault(request=HALVES))
        grown = cluster_spec({"alpha": node_spec(0), "beta": node_spec(1), "gamma": node_spec(2)})
        grown = grown.model_copy(update={"faults": {"halves": DeclaredFault(request=HALVES)}})
        after = fault_changes.with_declared_faults(record_changes.with_spec(once, CLUSTER, grown), now=NOW)
        assert list(after.faults) == ["partition-2"]

    def test_the_time_of_one_is_not_restarted_by_an_apply_meanwhile(self) -> None:
        declared = {"split": DeclaredFault(request=SPLIT, duration_s=60)}
        once = declaring(RECORD, **declared)
        assert fault_changes.with_declared_faults(once, now=LATER) == once
        over = NOW + timedelta(seconds=61)
        assert list(fault_changes.with_declared_faults(once, now=over).faults) == ["partition-2"]

    def test_one_by_hand_is_never_taken_for_one_of_the_topology(self) -> None:
        declared = declaring(RECORD, split=DeclaredFault(request=SPLIT))
        both, fault = fault_changes.with_fault(declared, SPLIT, now=NOW)
        assert (len(both.faults), fault.declared_as) == (2, None)
