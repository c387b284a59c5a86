"""Verdicts on links: confirmed, contradicted, or not to be told from what was measured."""

from dataclasses import replace

import pytest

from reconciler.faults.combine import Fault
from reconciler.faults.explain import explain_link
from reconciler.faults.link_verdicts import MAX_COUNT, Measured, Verdict, judge, probes_needed
from reconciler.model.choices import Direction
from reconciler.model.faults import One
from reconciler.model.links import Impairment

from .samples import NODES, impair, partition

CUT = partition(One(node="n1"))
ONE_WAY = partition(One(node="n1"), direction=Direction.TO)
SLOW = impair("n1", "n2", delay_ms=100)
LOSSY = impair("n1", "n2", loss_pct=20)
NEAR = (1.0, 2.0, 3.0)
CONFIRMED, MISMATCH, INCONCLUSIVE = Verdict.CONFIRMED, Verdict.MISMATCH, Verdict.INCONCLUSIVE


def measured(arrived: int, *round_trips_ms: float, sent: int = 20) -> Measured:
    return Measured(sent=sent, arrived=arrived, round_trips_ms=round_trips_ms)


@pytest.mark.parametrize(
    ("faults", "found", "verdict"),
    [
        ([], measured(20, *NEAR), CONFIRMED),
        ([], measured(0), MISMATCH),
        ([], measured(19, *NEAR), INCONCLUSIVE),
        ([], measured(10, *NEAR), MISMATCH),
        ([], measured(20), INCONCLUSIVE),
        ([], measured(20, 200.0, 210.0), MISMATCH),
        ([CUT], measured(0), CONFIRMED),
        ([CUT], measured(1), MISMATCH),
        ([ONE_WAY], measured(0), CONFIRMED),
        ([SLOW], measured(20, 101.0, 103.0, 140.0), CONFIRMED),
        ([SLOW], measured(20, *NEAR), MISMATCH),
        ([SLOW], measured(20, 300.0, 310.0), INCONCLUSIVE),
        ([SLOW], measured(0), MISMATCH),
        ([LOSSY], measured(80, *NEAR, sent=100), CONFIRMED),
        ([LOSSY], measured(100, *NEAR, sent=100), MISMATCH),
        ([LOSSY], measured(20, *NEAR, sent=100), MISMATCH),
        ([LOSSY], measured(18, *NEAR), INCONCLUSIVE),
        ([impair("n1", "n2", rate_kbit=100)], measured(20, *NEAR), INCONCLUSIVE),
        ([impair("n1", "n2", loss_pct=100)], measured(0), CONFIRMED),
    ],
)
def test_a_link_is_judged_by_what_its_faults_do(faults: list[Fault], found: Measured, verdict: Verdict) -> None:
    judged = judge(explain_link(faults, NODES, "n1", "n2"), found)
    assert judged.verdict is verdict, judged.reason
    assert judged.reason


def test_the_way_back_of_a_one_way_cut_is_heard_though_nothing_can_answer() -> None:
    judged = judge(explain_link([ONE_WAY], NODES, "n2", "n1"), measured(20))
    assert (judged.verdict, judged.loss_pct, judged.rtt_ms) == (CONFIRMED, 0.0, None)


def test_a_machine_that_is_slow_to_answer_itself_is_no_slow_link() -> None:
    link = explain_link([], NODES, "n1", "n2")
    slow = measured(20, 280.0, 290.0)
    assert judge(link, replace(slow, own_answers_ms=90.0)).verdict is CONFIRMED
    assert judge(link, replace(slow, own_answers_ms=20.0)).verdict is MISMATCH


def test_what_was_not_measured_is_inconclusive_and_says_why() -> None:
    judged = judge(explain_link([CUT], NODES, "n1", "n2"), None, "node n2 is not running")
    assert (judged.verdict, judged.reason) == (INCONCLUSIVE, "node n2 is not running")


def test_more_packets_are_sent_the_smaller_the_loss_is_and_never_too_many() -> None:
    assert probes_needed([Impairment(delay_ms=5)]) == 20
    assert probes_needed([Impairment(loss_pct=50), Impairment(loss_pct=10)]) == 100
    assert probes_needed([Impairment(corrupt_pct=0.001)]) == MAX_COUNT
