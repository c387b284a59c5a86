"""What the doctor says, and how it ends."""

from reconciler.frontends.cli.doctor_command import examination_lines
from reconciler.model.examination import CheckOutcome, CheckResult, Examination, Repair

from .conftest import Invoke

GOOD = CheckResult(name="programs", verdict=CheckOutcome.OK, message="all there")
SLOW = CheckResult(name="kvm", verdict=CheckOutcome.WARNING, message="does not work", remedy="enable it", fixable=True)
BAD = CheckResult(name="libvirt", verdict=CheckOutcome.FAILED, message="does not answer", remedy="start it")


def printed(*checks: CheckResult, repairs: tuple[Repair, ...] = ()) -> list[str]:
    return [line for line, _ in examination_lines(Examination(checks=checks, repairs=repairs))]


def test_each_failure_has_its_remedy_below_it() -> None:
    assert printed(GOOD, SLOW, BAD) == [
        "✓ programs: all there",
        "! kvm: does not work",
        "    → enable it",
        "✗ libvirt: does not answer",
        "    → start it",
        "1 of 3 checks failed; `vmcluster doctor --fix` fixes 1",
    ]


def test_a_host_that_lacks_nothing_is_ready() -> None:
    assert printed(GOOD)[-1] == "this host is ready"


def test_repairs_come_first_and_tell_what_could_not_be_done() -> None:
    lines = printed(
        GOOD,
        repairs=(
            Repair(name="directory", message="made /d"),
            Repair(name="key", message="no right to", done=False),
        ),
    )
    assert lines[:2] == ["fixed: directory: made /d", "not fixed: key: no right to"]


def test_a_host_without_libvirt_fails_the_examination(invoke: Invoke) -> None:
    ended = invoke("doctor", "-o", "json")
    assert ended.code == 1
    verdicts = {check["name"]: check["verdict"] for check in ended.data["checks"]}
    assert "failed" in verdicts.values()
    assert ended.data["repairs"] == []
    assert all(check["remedy"] for check in ended.data["checks"] if check["verdict"] != "ok")
