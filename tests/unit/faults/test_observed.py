"""What the host shows of a fault."""

from datetime import UTC, datetime, timedelta

from reconciler.faults.combine import Fault, fold
from reconciler.faults.explain import fault_info
from reconciler.faults.observed import with_observed
from reconciler.model.choices import CutMode
from reconciler.model.faults import One
from reconciler.model.links import Inbound, Link

from .samples import NODES, impair, partition

CUT = partition(One(node="n1"))
SLOW = impair("n1", "n2", delay_ms=40, name="slow")
MORE = impair("n1", "n2", delay_ms=8, loss_pct=1, name="more")


def shown(fault: Fault, observed: dict[str, Inbound] | None, *beside: Fault) -> dict[str, object]:
    info, wanted = fault_info(fault, NODES), fold([fault, *beside], NODES)
    return with_observed(info, fold([fault], NODES), wanted, observed).parameters


def test_what_the_host_has_as_desired_is_applied_and_shows_the_values_of_the_kernel() -> None:
    both = fold([SLOW, MORE], NODES)
    found = shown(SLOW, both, MORE)
    assert found["applied"] is True
    assert found["latency_ms"] == 40
    observed = found["observed"]
    assert isinstance(observed, dict)
    assert observed["n2"]["n1"].items() >= {"cut": False, "latency_ms": 48.0, "loss_pct": 1.0}.items()


def test_what_is_missing_or_other_is_not_applied() -> None:
    assert shown(SLOW, {})["applied"] is False
    assert shown(SLOW, fold([MORE], NODES))["applied"] is False
    half = {**fold([CUT], NODES), "n1": Inbound(links={"n2": Link(cut=True)})}
    assert shown(CUT, half)["applied"] is False
    assert shown(CUT, fold([CUT], NODES))["applied"] is True


def test_a_pulled_cable_is_seen_at_its_own_node() -> None:
    pulled = partition(One(node="n1"), mode=CutMode.LINK_DOWN)
    assert shown(pulled, fold([pulled], NODES))["applied"] is True
    assert shown(pulled, fold([CUT], NODES))["applied"] is False


def test_a_host_that_cannot_be_looked_at_says_neither() -> None:
    assert shown(CUT, None)["applied"] is None


def test_the_end_of_a_cut_is_told_as_desired_however_the_host_counts_down_to_it() -> None:
    until = datetime(2030, 1, 1, tzinfo=UTC)
    timed = partition(One(node="n1"), expires_at=until)

    def told(seen: datetime) -> object:
        drifted = partition(One(node="n1"), expires_at=seen)
        observed = shown(timed, fold([drifted], NODES))["observed"]
        assert isinstance(observed, dict)
        return observed["n1"]["n2"]["cut_expires_at"]

    assert told(until + timedelta(seconds=0.4)) == "2030-01-01T00:00:00Z"
    assert told(until + timedelta(minutes=1)) == "2030-01-01T00:01:00Z"


def test_what_was_asked_for_is_told_apart_from_what_is_observed() -> None:
    links = fold([CUT], NODES)
    info = with_observed(fault_info(CUT, NODES), fold([CUT], NODES), links, links)
    assert not {"applied", "observed"} & info.requested.keys()
    assert info.applied is True
    assert info.parameters == {**info.requested, "applied": info.applied, "observed": info.observed}
