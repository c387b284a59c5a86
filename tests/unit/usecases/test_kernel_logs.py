"""When a node went on from memory, as its cluster's events tell."""

from datetime import UTC, datetime

import pytest

from reconciler.errors import InvalidArgument, PartialFailure, SshError
from reconciler.model.event import ClusterEvent, EventKind
from reconciler.usecases.kernel_logs import Resumed, last_resumed, whole


def event(at_s: float, subject: str, node: str = "n0", kind: EventKind = EventKind.ACTION_DONE) -> ClusterEvent:
    return ClusterEvent(
        cluster_name="c", at=datetime.fromtimestamp(at_s, UTC), kind=kind, subject=subject, message="", node=node
    )


def test_it_is_between_putting_the_memory_back_and_letting_the_cpus_run() -> None:
    events = [event(10, "ResumeMemory"), event(12, "Resume"), event(20, "ResumeMemory", "n1"), event(30, "Resume")]
    assert last_resumed(events, "n0") == Resumed(10, 12)
    assert last_resumed(events, "n1") == Resumed(20)
    assert last_resumed(events, "n2") is None


def test_what_failed_put_nothing_back_and_what_was_only_paused_neither() -> None:
    events = [event(10, "ResumeMemory", kind=EventKind.ACTION_FAILED), event(12, "Resume"), event(14, "Start")]
    assert last_resumed(events, "n0") is None


def test_the_last_time_counts_also_where_a_controller_repaired_it() -> None:
    events = [event(10, "ResumeMemory"), event(12, "Resume"), event(20, "ResumeMemory", kind=EventKind.DRIFT_REPAIRED)]
    assert last_resumed(events, "n0") == Resumed(20)


def test_what_failed_on_many_nodes_keeps_its_remedies_and_says_each_once() -> None:
    failures = {"a": InvalidArgument("no", hint="do x"), "b": SshError("no", hint="do y")}
    with pytest.raises(PartialFailure, match=r"failed on 3 of 4 nodes: .* \(do x; do y\)"):
        whole({"d": 1, **failures, "c": InvalidArgument("no", hint="do x")}, "it failed")
