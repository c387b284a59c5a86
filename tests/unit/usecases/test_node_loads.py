"""Rates from two looks at counters."""

from reconciler.model.document import PowerState
from reconciler.model.node_load import NodeCounters
from reconciler.model.results import DomainState
from reconciler.usecases.node_loads import load_of

PLACE = ("lab", "alpha")


def counters(cpu_time_s: float | None = 10.0, sent_bytes: int | None = 1000) -> NodeCounters:
    return NodeCounters(
        power=PowerState.RUNNING,
        vcpus=2,
        cpu_time_s=cpu_time_s,
        memory_bytes=1 << 29,
        resident_bytes=1 << 28,
        disk_read_bytes=0,
        disk_written_bytes=0,
        disk_reads=0,
        disk_writes=0,
        received_bytes=0,
        sent_bytes=sent_bytes,
    )


def test_rates_are_over_the_time_between_two_looks() -> None:
    load = load_of(*PLACE, {PLACE: counters(13.0, 5000)}, {PLACE: counters()}, 2.0)
    assert (load.cpu_pct, load.sent_bytes_per_s, load.received_bytes_per_s) == (150.0, 2000.0, 0.0)
    assert (load.domain_state, load.vcpus, load.interval_s) == (DomainState.RUNNING, 2, 2.0)


def test_a_first_look_and_one_after_a_new_start_have_no_rates() -> None:
    first = load_of(*PLACE, {PLACE: counters()}, {}, None)
    started_again = load_of(*PLACE, {PLACE: counters(1.0, 10)}, {PLACE: counters()}, 2.0)
    for load in (first, started_again):
        assert (load.cpu_pct, load.sent_bytes_per_s) == (None, None)
        assert load.resident_bytes == 1 << 28


def test_what_is_not_told_now_or_was_not_told_before_has_no_rate() -> None:
    for now, before in ((counters(None), counters()), (counters(), counters(None))):
        assert load_of(*PLACE, {PLACE: now}, {PLACE: before}, 2.0).cpu_pct is None


def test_a_node_without_a_machine_here_is_shown_as_unknown() -> None:
    load = load_of(*PLACE, {}, {}, 2.0)
    assert (load.domain_state, load.cpu_pct, load.memory_bytes) == (DomainState.UNKNOWN, None, None)
