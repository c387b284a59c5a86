"""What faults do, in words and data, and as the tools list them."""

from datetime import timedelta

import pytest
from pydantic import TypeAdapter

from reconciler.faults.combine import Fault
from reconciler.faults.explain import explain_link, fault_info, handle_of
from reconciler.faults.kinds import pulled_by
from reconciler.faults.words import sides_in_words
from reconciler.model.choices import CutMode, Direction, Distribution
from reconciler.model.faults import (
    Bridge,
    ExplicitGrudge,
    FaultType,
    Groups,
    Halves,
    MajoritiesRing,
    One,
    PartitionFault,
    WantedFault,
)
from reconciler.model.links import HOST
from tests.unit.faults.samples import NODES, NOW, impair, partition

SLOW = impair("n1", name="slow", delay_ms=40, jitter_ms=8, distribution=Distribution.NORMAL, loss_pct=10)
BACK = impair("n3", "n1", name="back", delay_ms=16)
LOSSY = impair("n1", "n3", name="lossy", loss_pct=10, rate_kbit=1000)
SPLIT = partition(Halves(), name="split", expires_at=NOW + timedelta(seconds=90))
PULLED = partition(One(node="n5"), name="pulled", mode=CutMode.LINK_DOWN)


def test_a_pulled_cable_is_traced_to_the_faults_that_pulled_it() -> None:
    faults = {fault.handle_id: fault for fault in (SLOW, SPLIT, PULLED)}
    assert [pulled_by(faults, node) for node in ("n5", "n1")] == [[PULLED.handle_id], []]


def test_a_link_without_faults_is_unchanged() -> None:
    explained = explain_link([SLOW], NODES, "n2", "n3")
    assert explained.summary == "arrives as if there were no faults"
    assert (explained.cut, explained.impairment, explained.faults, explained.added_rtt_ms) == (False, None, (), 0)


def test_faults_on_one_link_are_told_apart_and_added_up() -> None:
    explained = explain_link([SLOW, BACK, LOSSY], NODES, "n1", "n3")
    assert explained.summary == "delays by 40 ms ± 8 ms (normal), loses 19 %, limits to 1000 kbit/s"
    assert explained.added_rtt_ms == 56
    assert [(one.handle_id, one.effect) for one in explained.faults] == [
        ("slow", "impairment: delays by 40 ms ± 8 ms (normal), loses 10 %"),
        ("lossy", "impairment: loses 10 %, limits to 1000 kbit/s"),
    ]


def test_a_cut_says_by_whom_and_until_when() -> None:
    explained = explain_link([SPLIT, SLOW], NODES, "n1", "n3")
    assert explained.cut
    assert explained.added_rtt_ms is None
    assert explained.summary == "nothing arrives"
    assert explained.impairment is not None
    assert explained.faults[0].effect == "partition (halves, drop) n1,n2 | n3,n4,n5, until 2026-01-01T00:01:30Z"


@pytest.mark.parametrize(("sender", "receiver"), [("n5", "n1"), ("n1", "n5"), (HOST, "n5")])
def test_a_pulled_cable_cuts_both_ways_and_from_the_host(sender: str, receiver: str) -> None:
    explained = explain_link([PULLED], NODES, sender, receiver)
    assert explained.cut
    assert explained.faults[0].effect == "partition (one, link-down) n1,n2,n3,n4 | n5"


def test_a_one_way_cut_leaves_no_round_trip() -> None:
    one_way = partition(One(node="n1"), direction=Direction.TO)
    assert explain_link([one_way], NODES, "n1", "n2").cut
    back = explain_link([one_way], NODES, "n2", "n1")
    assert not back.cut
    assert back.added_rtt_ms is None


def test_a_handle_names_the_nodes_at_both_ends() -> None:
    handle = handle_of(LOSSY, NODES)
    assert (handle.fault_type, handle.affected_nodes) == (FaultType.IMPAIRMENT, ("n1", "n3"))
    assert handle_of(SLOW, NODES).affected_nodes == NODES


def test_a_listed_partition_shows_what_it_came_to() -> None:
    info = fault_info(partition(One(node="n2"), ("n1", "n2"), seed=4), ("n1", "n2"))
    assert info.fault_type is FaultType.PARTITION
    assert info.parameters == {
        "shape": "one",
        "node": "n2",
        "direction": "both",
        "mode": "drop",
        "seed": 4,
        "sides": "n1 | n2",
        "grudge": {"n1": ["n2"], "n2": ["n1"]},
    }


def test_a_listed_fault_is_in_the_words_of_the_tool_that_takes_it() -> None:
    two = fault_info(partition(Groups(groups=(("n1",), ("n2", "n3")))), NODES).parameters
    assert (two["partition_a"], two["partition_b"]) == (["n1"], ["n2", "n3"])
    assert fault_info(impair("n1", "n3", delay_ms=20, duplicate_pct=1), NODES).parameters == {
        "source_node": "n1",
        "target_node": "n3",
        "direction": "to",
        "include_host": False,
        "latency_ms": 20,
        "jitter_ms": 0,
        "loss_pct": 0,
        "corrupt_pct": 0,
        "reorder_pct": 0,
        "duplicate_pct": 1,
    }
    assert fault_info(impair("n1", loss_pct=1), NODES).parameters["target_node"] == "all"
    assert fault_info(impair("n1", "n2", "n3", loss_pct=1), NODES).parameters["target_node"] == ["n2", "n3"]


@pytest.mark.parametrize("fault", [SLOW, SPLIT, PULLED], ids=lambda fault: fault.handle_id)
def test_a_desired_fault_survives_the_store(fault: Fault) -> None:
    adapter: TypeAdapter[Fault] = TypeAdapter(WantedFault)
    assert adapter.validate_json(adapter.dump_json(fault)) == fault


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (partition(Groups(groups=(("n1", "n4"), ("n3",)))), "n1,n4 | n3"),
        (partition(Groups(groups=(("n5",), ("n2",), ("n1", "n3")))), "n1,n3 | n2 | n5"),
        (partition(Bridge(node="n2", groups=(("n1", "n4"), ("n3",)))), "n1,n4 | n3, bridge n2"),
        (partition(Bridge()), "n1,n2 | n4,n5, bridge n3"),
        (partition(One(node="n2"), direction=Direction.TO), "n2 -x> n1,n3,n4,n5"),
        (partition(ExplicitGrudge(grudge={"n1": ("n2",), "n2": ("n1", "n3")})), "n2 -x> n1; n1,n3 -x> n2"),
        (partition(MajoritiesRing(), NODES[:3]), "n2 -x> n1; n3 -x> n2; n1 -x> n3"),
    ],
)
def test_a_partition_says_who_is_parted_from_whom(fault: PartitionFault, words: str) -> None:
    assert sides_in_words(fault) == words
    assert fault_info(fault, NODES).parameters["sides"] == words
