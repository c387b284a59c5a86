"""Any set of faults folds to links that mean what the set means, packet by packet."""

import math
from collections.abc import Sequence
from datetime import timedelta
from itertools import permutations
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.faults.combine import Fault, as_kernel_shows, combine, fold, wanted_at
from reconciler.model.choices import CutMode, Direction, Distribution
from reconciler.model.faults import Groups, Halves, ImpairFault, One, PartitionFault
from reconciler.model.links import HOST, Impairment, Inbound, Link
from tests.unit.faults.samples import NODES, NOW, fault_sets, impair, impairments, partition

ENDS = (*NODES, HOST)


# The brute-force meaning: one packet, all faults, one after the other.


def stops(fault: Fault, sender: str, receiver: str) -> bool:
    """Whether the fault alone keeps a packet from arriving."""
    if not isinstance(fault, PartitionFault):
        return False
    if fault.request.mode is CutMode.LINK_DOWN:
        (loner,) = [node for node in NODES if len(fault.grudge.get(node, ())) == len(NODES) - 1]
        return loner in {sender, receiver}
    return sender in fault.grudge.get(receiver, ())


def times_hit(fault: Fault, sender: str, receiver: str) -> int:
    """How often a packet passes the fault's impairment; what goes to the host is hit on its way back."""
    if not isinstance(fault, ImpairFault) or receiver == HOST:
        return 0
    ways = [(sender, receiver)] + [(receiver, sender)] * (sender == HOST)
    return sum(is_asked_for(fault, *way) for way in ways)


def is_asked_for(fault: ImpairFault, sender: str, receiver: str) -> bool:
    request = fault.request
    for source, target, opposite in ((sender, receiver, Direction.FROM), (receiver, sender, Direction.TO)):
        if source == request.source and request.direction is not opposite:
            meant = request.include_host if target == HOST else request.targets is None or target in request.targets
            if meant:
                return True
    return False


def pass_all(hits: Sequence[Impairment]) -> dict[str, float]:
    """What becomes of packets that pass one impairment after the other."""
    arrives = once = clean = in_order = 1.0
    delay_ms, rate = 0.0, math.inf
    for hit in hits:
        delay_ms += hit.delay_ms
        arrives *= 1 - hit.loss_pct / 100
        once *= 1 - hit.duplicate_pct / 100
        clean *= 1 - hit.corrupt_pct / 100
        in_order *= 1 - hit.reorder_pct / 100
        rate = min(rate, hit.rate_kbit or math.inf)
    return {"delay": delay_ms, "arrives": arrives, "once": once, "clean": clean, "in_order": in_order, "rate": rate}


def assert_means(link: Link, hits: Sequence[Impairment]) -> None:
    expected, found = pass_all(hits), pass_all([link.impairment] if link.impairment else [])
    assert found["delay"] == pytest.approx(min(expected["delay"], 270_000), rel=1e-4, abs=0.01)
    for chance in ("arrives", "once", "clean", "in_order"):
        assert found[chance] == pytest.approx(expected[chance], abs=2e-6)
    assert found["rate"] == pytest.approx(expected["rate"], rel=1e-3)


def met(links: dict[str, Inbound], sender: str, receiver: str) -> Link:
    return links.get(receiver, Inbound()).links.get(sender, Link())


@given(fault_sets)
def test_any_set_of_faults_folds_to_its_brute_force_meaning(faults: list[Fault]) -> None:
    links = fold(faults, NODES)
    down = {node for node, inbound in links.items() if inbound.down}
    for sender, receiver in permutations(ENDS, 2):
        link = met(links, sender, receiver)
        stopped = link.cut or not down.isdisjoint({sender, receiver})
        assert stopped == any(stops(fault, sender, receiver) for fault in faults)
        hits = [
            fault.request.impairment
            for fault in faults
            if isinstance(fault, ImpairFault)
            for _ in range(times_hit(fault, sender, receiver))
        ]
        assert_means(link, hits)
    assert HOST not in links


@given(fault_sets, st.randoms())
def test_the_order_of_faults_never_matters(faults: list[Fault], chance: object) -> None:
    shuffled = list(faults)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fold(faults, NODES) == fold(shuffled, NODES)


@given(st.lists(impairments, min_size=1, max_size=4))
def test_what_is_combined_is_as_the_kernel_shows_it(parts: list[Impairment]) -> None:
    combined = combine(parts)
    assert combined is not None
    assert as_kernel_shows(combined) == combined


@given(fault_sets)
def test_healing_one_fault_leaves_the_links_of_the_rest(faults: list[Fault]) -> None:
    for healed in range(len(faults)):
        rest = faults[:healed] + faults[healed + 1 :]
        links = fold(rest, NODES)
        for sender, receiver in permutations(NODES, 2):
            assert met(links, sender, receiver).cut == any(
                stops(fault, sender, receiver)
                for fault in rest
                if isinstance(fault, PartitionFault) and fault.request.mode is CutMode.DROP
            )


def test_two_impairments_on_one_pair_combine() -> None:
    combined = combine(
        [
            Impairment(delay_ms=40, jitter_ms=8, loss_pct=10, rate_kbit=5000, limit_packets=300),
            Impairment(delay_ms=80, jitter_ms=4, loss_pct=20, distribution=Distribution.NORMAL, rate_kbit=3000),
        ]
    )
    assert combined == Impairment(
        delay_ms=120,
        jitter_ms=12,
        loss_pct=28,
        distribution=Distribution.NORMAL,
        rate_kbit=3000,
        limit_packets=300,
    )


def test_a_zero_impairment_is_no_impairment() -> None:
    assert combine([]) is None
    assert combine([Impairment(), Impairment()]) is None


def test_the_queue_has_room_for_all_that_is_under_way() -> None:
    fast = combine([Impairment(delay_ms=100)])
    slow = combine([Impairment(delay_ms=100, rate_kbit=10_000)])
    assert fast is not None
    assert slow is not None
    assert fast.limit_packets * 1500 >= 10e9 / 8 * 0.1
    assert slow.limit_packets == 1000 + math.ceil(10e6 / 8 * 0.1 / 512)


def test_an_overlap_of_cuts_ends_with_the_later_one() -> None:
    soon, later = NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)
    short, long = (partition(One(node="n1"), expires_at=time) for time in (soon, later))
    forever = partition(One(node="n1"))
    assert fold([short, long], NODES)["n1"].links["n2"].cut_expires_at == later
    assert fold([long, forever], NODES)["n1"].links["n2"].cut_expires_at is None


def test_a_fault_whose_time_has_come_is_not_desired() -> None:
    fault = partition(Halves(), expires_at=NOW)
    assert wanted_at([fault], NOW) == ()
    assert wanted_at([fault], NOW - timedelta(seconds=1)) == (fault,)


def test_all_peers_are_those_of_now_and_nodes_that_left_are_left_out() -> None:
    everyone, pair = impair("n1", loss_pct=1), partition(Groups(groups=(("n1",), ("n5",))))
    assert set(fold([everyone], (*NODES, "n6"))) == {"n2", "n3", "n4", "n5", "n6"}
    assert fold([everyone, pair], NODES[:2]).keys() == {"n2"}
    assert fold([everyone, pair], NODES[1:]) == {}


def test_a_pulled_cable_stays_pulled_when_a_node_joins() -> None:
    fault = partition(One(node="n2"), mode=CutMode.LINK_DOWN)
    assert fold([fault], (*NODES, "n6")) == {"n2": Inbound(down=True)}


def test_the_link_with_the_host_carries_both_ways_on_the_way_in() -> None:
    fault = impair("n1", "n2", direction=Direction.BOTH, include_host=True, delay_ms=8)
    links = fold([fault], NODES)
    delays = {(sender, to): link.impairment for to, inbound in links.items() for sender, link in inbound.links.items()}
    assert {pair: one.delay_ms for pair, one in delays.items() if one} == {
        ("n2", "n1"): 8,
        ("n1", "n2"): 8,
        (HOST, "n1"): 16,
    }


def test_ten_thousand_pairs_fold_fast_and_share_their_links() -> None:
    nodes = [f"n{index:03}" for index in range(101)]
    faults: list[Fault] = [partition(Halves(), nodes), *(impair(node, nodes=nodes, delay_ms=5) for node in nodes)]
    started = process_time()
    links = fold(faults, nodes)
    assert process_time() - started < 3
    assert sum(len(inbound.links) for inbound in links.values()) == 101 * 100
    assert len({id(link) for inbound in links.values() for link in inbound.links.values()}) <= 2 * len(nodes)
