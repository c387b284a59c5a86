"""What the kernel log that a visit read tells of the node's kernel."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.health.node_probe import boot_moment, judge_buffer, judge_overwritten
from reconciler.kernel_log.log_answers import first_bad_on_console
from reconciler.model.results import ExecResult
from reconciler.model.status import ConditionStatus
from reconciler.observe.clean_kernels import KernelState

HEADER = "0f0e0d0c-0b0a-4908-8706-050403020100 100.00\n"
ALL_READ = "dd: error reading '/dev/kmsg': Resource temporarily unavailable\n"
WARN = "4,1,40000000,-;WARNING: CPU: 0 PID: 12 at drivers/test/provoke.c:41 f+0x1/0x2\n"


def seen(log: str, stderr: str = ALL_READ) -> KernelState:
    answer = ExecResult(exit_code=1, stdout=log, stderr=stderr, duration_s=0.1, timed_out=False)
    return asyncio.run(judge_buffer(answer, "n0"))


def test_a_quiet_kernel_is_well_since_its_boot() -> None:
    found = seen(HEADER + "6,0,1,-;Linux version\n")
    assert found.condition.status is ConditionStatus.TRUE
    assert found.event is None


def test_the_first_bad_event_makes_it_ill_since_then() -> None:
    well, ill = seen(HEADER), seen(HEADER + "6,0,1,-;Linux version\n" + WARN)
    assert ill.event is not None
    assert (ill.condition.status, ill.condition.reason) == (ConditionStatus.FALSE, "Warn")
    since_boot = ill.condition.last_transition - well.condition.last_transition
    assert since_boot.total_seconds() == pytest.approx(40, abs=2)


@pytest.mark.parametrize(
    ("console", "status", "reason"),
    [
        ("[    0.000000] Linux version 6\n[    1.000000] fine\n", ConditionStatus.TRUE, "NothingReported"),
        ("[    0.000000] Linux version 6\n[   40.000000] BUG: KASAN: x\n", ConditionStatus.FALSE, "Kasan"),
        ("login:\n[    7.000000] the beginning was rotated away\n", ConditionStatus.UNKNOWN, "LogOverwritten"),
        (
            "[    9.000000] Linux version 6\n[    3.000000] reverted\n[    4.000000] on\n",
            ConditionStatus.UNKNOWN,
            "LogOverwritten",
        ),
        ("", ConditionStatus.UNKNOWN, "LogOverwritten"),
    ],
)
def test_a_log_that_has_wrapped_is_as_good_as_its_console(console: str, status: ConditionStatus, reason: str) -> None:
    wrapped = seen(HEADER + "6,7,50000000,-;later\n")
    assert wrapped.condition.status is ConditionStatus.UNKNOWN
    event, whole_boot = first_bad_on_console(console.encode())
    judged = judge_overwritten(wrapped, event, whole_boot=whole_boot).condition
    assert (judged.status, judged.reason) == (status, reason)


@pytest.mark.parametrize(
    ("log", "stderr"),
    [
        (HEADER, "dd: failed to open '/dev/kmsg': Permission denied\n"),
        (HEADER, "dd: error reading '/dev/kmsg': Broken pipe\n"),
        ("", "sh: 1: dd: not found\n"),
    ],
)
def test_a_log_that_was_not_read_says_nothing_good(log: str, stderr: str) -> None:
    assert seen(log, stderr).condition.status is ConditionStatus.UNKNOWN


def test_how_long_an_answer_takes_makes_no_other_boot_of_it() -> None:
    booted = datetime(2026, 1, 1, tzinfo=UTC)
    for late_s in (-0.02, 0.0, 0.02, 0.4):
        for uptime_s in (1.0, 3600.25):
            assert boot_moment(booted + timedelta(seconds=uptime_s + late_s), uptime_s) == booted


def test_a_kernel_is_well_since_a_whole_second() -> None:
    assert seen(HEADER).condition.last_transition.microsecond == 0
