"""Why a machine stands still, as its users read it."""

from datetime import UTC, datetime

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.model.document import ClusterDocument, Halt, HaltReason, Power, PowerState, Unknown
from reconciler.model.plan import Plan
from reconciler.plan.halted_machines import (
    WayBack,
    boots_again,
    ended_unexpectedly,
    halt_of,
    stands_still,
    way_back,
    why,
)

STOPPED = Halt(
    reason=HaltReason.INTERNAL_ERROR,
    words="KVM internal error. Suberror: 1; emulation failure",
    since=datetime(2026, 11, 29, 2, 6, 16, tzinfo=UTC),
)
UNREAD = Unknown(unknown="QEMU's log /l cannot be read: Permission denied", code=ErrorCode.INTERNAL_ERROR)


@pytest.mark.parametrize("virt_type", ["kvm", "qemu"])
def test_a_machine_that_qemu_stopped_is_reported_with_qemus_words_and_a_remedy_that_helps(virt_type: str) -> None:
    obstacle = stands_still("a", STOPPED, virt_type)
    assert (obstacle.code, obstacle.terminal) == (ErrorCode.GUEST_CRASHED, True)
    assert (
        "was stopped by QEMU itself at 2026-11-29 02:06:16 UTC: internal error; "
        "QEMU said: KVM internal error. Suberror: 1; emulation failure" in obstacle.message
    )
    assert "`node_crash` boots it again" in obstacle.message
    assert ("`virt_type: qemu`" in obstacle.message) == (virt_type == "kvm")
    assert "vmcluster start" not in obstacle.message
    assert "paused" not in obstacle.message


@pytest.mark.parametrize("reason", HaltReason)
def test_every_reason_has_words_of_its_own_and_only_a_pause_by_somebody_is_called_just_that(reason: HaltReason) -> None:
    told = why(Halt(reason=reason))
    assert (told == "is paused") == (reason is HaltReason.USER)
    assert sum(why(Halt(reason=other)) == told for other in HaltReason) == 1


@pytest.mark.parametrize(
    ("halt", "words"),
    [
        (
            Halt(reason=HaltReason.IO_ERROR, disks={"vdb": "no space left", "vda": "an I/O error"}),
            "was paused by an I/O error on vda: an I/O error, vdb: no space left",
        ),
        (STOPPED.model_copy(update={"words": UNREAD, "since": None}), "internal error (QEMU's log /l cannot be read"),
        (UNREAD, "is paused for an unknown reason: QEMU's log /l"),
        (Halt(reason=HaltReason.SUSPENDED), "`cluster_start` wakes it"),
        (Halt(reason=HaltReason.USER, since=STOPPED.since), "the guest is paused (since 2026-11-29 02:06:16 UTC); `"),
        (Halt(reason=HaltReason.IO_ERROR, since=STOPPED.since), "by an I/O error at 2026-11-29 02:06:16 UTC (is"),
        (Halt(reason=HaltReason.WATCHDOG), "by its watchdog device; `cluster_start` resumes it"),
    ],
    ids=["disks", "log unreadable", "unknown", "suspended", "paused", "since", "watchdog"],
)
def test_what_is_known_of_a_pause_is_in_its_message(halt: Halt | Unknown, words: str) -> None:
    assert words in stands_still("a", halt, "kvm").message


@pytest.mark.parametrize("reason", HaltReason)
def test_a_wait_goes_on_only_where_the_standstill_ends_by_itself(reason: HaltReason) -> None:
    passes = reason in {HaltReason.STARTING, HaltReason.JOB}
    assert stands_still("a", Halt(reason=reason), "qemu").terminal == (not passes)


@pytest.mark.parametrize("reason", HaltReason)
def test_the_way_back_is_a_boot_only_where_a_machine_cannot_run_on_and_never_disturbs_who_looks_at_it(
    reason: HaltReason,
) -> None:
    power = Power(state=PowerState.PAUSED, halt=Halt(reason=reason))
    seen = Plan(obstacles=(stands_still("a", Halt(reason=reason), "qemu"),))
    found = way_back(seen, ClusterDocument(power={"a": power}))
    if reason in {HaltReason.PANIC, HaltReason.INTERNAL_ERROR}:
        assert found == WayBack(boots=frozenset({"a"}))
        assert boots_again(power, "qemu").endswith("its memory is lost")
    elif reason in {HaltReason.STARTING, HaltReason.JOB, HaltReason.DEBUGGER}:
        assert found == WayBack()
    else:
        assert found == WayBack(resumes=frozenset({"a"}))


def test_a_machine_that_was_turned_off_is_not_said_to_have_ended_by_itself() -> None:
    ended = Halt(reason=HaltReason.QEMU_ENDED, words="qemu: fatal: no memory")
    assert (
        ended_unexpectedly(ended) == "it is off because its QEMU ended unexpectedly; QEMU said: qemu: fatal: no memory"
    )
    assert halt_of(Power(state=PowerState.OFF)) is None
    assert ended_unexpectedly(None) == ""
