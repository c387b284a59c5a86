"""What several hosts say of a cluster is one status: as bad as its worst part."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.model.document import PowerState
from reconciler.model.faults import FaultType, NetFaultInfo
from reconciler.model.status import Condition, ConditionStatus, ConditionType, NodeReport, RecordStatus
from reconciler.store.merged_status import LOST, merged_status
from tests.simulation.test_parts import placed
from tests.simulation.worlds import running_record

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECORD = placed(running_record("alpha", "beta"), {"alpha": "one", "beta": "two"}).model_copy(update={"generation": 3})
GOOD, BAD, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
READY = ConditionType.READY
NODE_OF = {"one": "alpha", "two": "beta", "three": "gamma"}


def said(kind: ConditionType, status: ConditionStatus, reason: str = "Why", since: int = 0) -> Condition:
    at = NOW + timedelta(seconds=since)
    return Condition(type=kind, status=status, reason=reason, message=reason.lower(), last_transition=at)


def word(
    host: str, *conditions: Condition, generation: int = 3, request: int = 5, converged: bool = True
) -> RecordStatus:
    return RecordStatus(
        cluster_name="lab",
        host=host,
        observed_generation=generation,
        converged=converged,
        round_request=request,
        conditions=conditions or (said(ConditionType.READY, GOOD),),
        nodes={NODE_OF[host]: NodeReport(state=PowerState.RUNNING)},
        network_active=True,
        updated_at=NOW,
    )


def merged(words: Mapping[str, RecordStatus], **lost: datetime | None) -> RecordStatus:
    status = merged_status(RECORD, words, lost)
    assert status is not None
    return status


def test_it_is_done_when_all_are_and_as_old_as_the_oldest_word() -> None:
    status = merged({"one": word("one"), "two": word("two", generation=2, request=7)})
    assert (status.converged, status.observed_generation, status.round_request, status.host) == (True, 2, 5, "")
    assert status.nodes.keys() == {"alpha", "beta"}
    assert not merged({"one": word("one"), "two": word("two", converged=False)}).converged
    assert merged_status(RECORD, {}, {}) is None


def test_what_is_unsettled_on_one_host_is_and_unknown_if_one_does_not_say() -> None:
    one = word("one", converged=False).model_copy(update={"unsettled": frozenset({"alpha"})})
    two = word("two").model_copy(update={"unsettled": frozenset()})
    assert merged({"one": one, "two": two}).unsettled == frozenset({"alpha"})
    assert merged({"one": one, "two": word("two")}).unsettled is None
    assert merged({"one": one}).unsettled is None


def test_a_host_that_has_said_nothing_yet_holds_the_answer_back() -> None:
    status = merged({"one": word("one")})
    assert (status.converged, status.observed_generation, status.round_request) == (False, 0, 0)
    assert [(of.status, of.reason) for of in status.conditions if of.type is ConditionType.READY] == [
        (UNKNOWN, "NotObserved")
    ]


def test_a_host_without_a_node_counts_as_long_as_it_may_have_something() -> None:
    assert not merged({"one": word("one"), "two": word("two"), "three": word("three", converged=False)}).converged


@pytest.mark.parametrize(
    ("kind", "one", "two", "expected"),
    [
        (READY, (GOOD, "A", 1), (GOOD, "A", 2), (GOOD, "A", "a", 2)),
        (READY, (BAD, "A", 1), (GOOD, "B", 2), (BAD, "A", "one: a", 1)),
        (READY, (BAD, "A", 4), (BAD, "B", 2), (BAD, "A", "one: a; two: b", 2)),
        (READY, (UNKNOWN, "A", 1), (BAD, "B", 2), (BAD, "B", "two: b", 2)),
        (READY, (UNKNOWN, "A", 1), (GOOD, "B", 2), (UNKNOWN, "A", "one: a", 1)),
        (ConditionType.DRIFTED, (GOOD, "Seen", 1), (BAD, "AsWanted", 2), (GOOD, "Seen", "one: seen", 1)),
        (ConditionType.RUNNING, (BAD, "NotWanted", 1), (GOOD, "Up", 2), (GOOD, "Up", "up", 2)),
        (ConditionType.RUNNING, (BAD, "NotWanted", 1), (BAD, "NotWanted", 2), (BAD, "NotWanted", "notwanted", 1)),
    ],
)
def test_a_condition_is_as_bad_as_its_worst_part_and_good_since_the_last_is(
    kind: ConditionType,
    one: tuple[ConditionStatus, str, int],
    two: tuple[ConditionStatus, str, int],
    expected: tuple[ConditionStatus, str, str, int],
) -> None:
    status = merged({"one": word("one", said(kind, *one)), "two": word("two", said(kind, *two))})
    (found,) = status.conditions
    since = (found.last_transition - NOW).seconds
    assert (found.status, found.reason, found.message, since) == expected


def test_a_lost_host_is_named_with_its_nodes_and_ends_a_wait_once_the_others_are_done() -> None:
    status = merged({"one": word("one"), "two": word("two")}, two=NOW)
    assert (status.converged, status.observed_generation, set(status.nodes)) == (False, 3, {"alpha"})
    (ready,) = [of for of in status.conditions if of.type is ConditionType.READY]
    assert (ready.status, ready.reason, ready.last_transition) == (UNKNOWN, LOST, NOW)
    (defined,) = [of for of in status.conditions if of.type is ConditionType.DEFINED]
    assert ready.message.startswith(f"{defined.message}; start `vmcluster watch` there"), "the remedy is told once"
    assert defined.message.startswith("host two has not answered since"), "and the host is named once"
    (loss,) = status.obstacles
    assert (loss.code, loss.terminal, loss.recoverable) == (ErrorCode.HOST_LOST, True, True)
    assert loss.message.startswith("host two has not answered since 2026-01-01T00:00:00Z: its nodes (beta) are unknown")
    for late in (word("one", converged=False), word("one", generation=2)):
        assert not merged({"one": late, "two": word("two")}, two=None).obstacles[-1].terminal


def test_a_fault_is_applied_where_all_that_receive_through_it_have_it() -> None:
    def info(applied: bool | None, **observed: object) -> NetFaultInfo:
        return NetFaultInfo(
            handle_id="cut-1",
            fault_type=FaultType.PARTITION,
            affected_nodes=("alpha", "beta"),
            created_at=NOW,
            parameters={},
            applied=applied,
            observed=observed,
        )

    def applied(first: NetFaultInfo, second: NetFaultInfo, **lost: datetime | None) -> tuple[bool | None, set[str]]:
        words = {"one": word("one"), "two": word("two")}
        faults = {"one": (first,), "two": (second,)}
        words = {host: of.model_copy(update={"faults": faults[host]}) for host, of in words.items()}
        (found,) = merged(words, **lost).faults
        return found.applied, set(found.observed)

    both, here, none = info(True, beta={}), info(True, alpha={}), info(False)
    assert applied(here, both) == (True, {"alpha", "beta"})
    assert applied(here, none) == (True, {"alpha"})
    assert applied(here, info(False, beta={})) == (False, {"alpha", "beta"})
    assert applied(none, none) == (False, set())
    assert applied(here, info(None))[0] is None
    assert applied(here, both, two=NOW)[0] is None
