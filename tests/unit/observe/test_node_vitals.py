"""What a visit prints, by real shells, and how it is understood."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.model.results import ExecResult
from reconciler.observe.node_vitals import LOOK_COMMAND, VitalsAnswer, parse_vitals_answer
from tests.waiting import PATIENCE_S

MODULES = "virtio_net 69632 0 - Live 0x0000000000000000\next4 1 2 - Live 0x0 (OE)\n"
VITALS = "4096\n5\t4\t1\t7\n100.25 80.00\n1767323045\n"
LOG = "0f0e0d0c-0b0a-4908-8706-050403020100 100.00\n6,0,1,-;Linux version\n"
ARTIFACT = "ab" * 32

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def understood(output: str) -> VitalsAnswer:
    printed = f"\n\n--\n\n--\n{output}"
    return parse_vitals_answer(ExecResult(exit_code=0, stdout=printed, stderr="", duration_s=0.1, timed_out=False), NOW)


def test_a_look_tells_modules_artifact_and_what_the_kernel_says_of_itself() -> None:
    seen = understood(f"{ARTIFACT}\n{MODULES}--\n{VITALS}")
    assert (seen.modules, seen.artifact_id) == (("virtio_net", "ext4"), ARTIFACT)
    assert seen.vitals is not None
    assert (seen.vitals.taint, seen.vitals.console_level, seen.vitals.on_serial) == ("4096", 5, False)
    assert seen.vitals.booted == NOW - timedelta(seconds=100.25)


@pytest.mark.parametrize(
    ("consoles", "on_serial"),
    [
        ("tty0                 -WU (EC p  )    4:7\nttyS0                -W- (E  p a)    4:64\n", True),
        ("ttyS0                -W- (   p a)    4:64\n", False),
        ("ttyS01               -W- (EC p a)    4:64\n", False),
        ("", False),
    ],
)
def test_a_reading_tells_also_of_the_consoles_and_has_the_log(consoles: str, on_serial: bool) -> None:
    seen = understood(f"\n{MODULES}--\n{VITALS}{consoles}--\n{LOG}")
    assert (seen.artifact_id, seen.log.stdout) == (None, LOG)
    assert seen.vitals is not None
    assert seen.vitals.on_serial is on_serial


def test_a_kernel_without_modules_has_none() -> None:
    seen = understood(f"\n--\n{VITALS}--\n{LOG}")
    assert (seen.modules, seen.log.stdout) == ((), LOG)
    assert seen.vitals is not None


@pytest.mark.parametrize(
    "vitals", ["", "\n5 4 1 7\n1.0 1.0\n1\n", "0\n\n1.0 1.0\n1\n", "0\n5 4 1 7\n\n1\n", "0\n5 4 1 7\nnan\n1\n"]
)
def test_what_could_not_be_read_is_unknown_and_the_modules_are_known(vitals: str) -> None:
    seen = understood(f"\n{MODULES}--\n{vitals}--\n{LOG}")
    assert (seen.vitals, seen.modules, seen.log.stdout) == (None, ("virtio_net", "ext4"), LOG)


@pytest.mark.parametrize(
    ("clock", "offset_s"),
    [(0, None), (-2, None), (3, None), (-95, -94.0), (95, 91.0), (-4, -3.0), ("x", None), ("9" * 30, 2.0**40)],
)
def test_a_clock_that_is_wrong_by_more_than_the_visit_took_is_told(clock: int | str, offset_s: float | None) -> None:
    began = int(NOW.timestamp())
    shown = began + clock if isinstance(clock, int) else clock
    printed = f"\n\n--\n\n--\n\n{MODULES}--\n4096\n5 4 1 7\n100.25 80.00\n{shown}\n--\n{LOG}"
    answer = ExecResult(exit_code=0, stdout=printed, stderr="", duration_s=4, timed_out=False)
    found = parse_vitals_answer(answer, NOW + timedelta(seconds=4), NOW).clock_offset_s
    assert found == (offset_s if clock != "9" * 30 else 2**40 - began - 4)


@pytest.mark.parametrize("output", ["", "\n", "\nvirtio_net 1 2", "garbage"])
def test_an_answer_that_broke_off_tells_nothing_wrong(output: str) -> None:
    seen = understood(output)
    assert (seen.vitals, seen.artifact_id, seen.log.stdout) == (None, None, "")


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_every_shell_tells_the_same_of_this_very_kernel(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    ran = subprocess.run([shell, "-c", LOOK_COMMAND], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    seen = parse_vitals_answer(
        ExecResult(exit_code=0, stdout=ran.stdout, stderr="", duration_s=0.1, timed_out=False), NOW
    )
    assert seen.vitals is not None
    assert seen.vitals.taint == Path("/proc/sys/kernel/tainted").read_text().strip()
    modules = Path("/proc/modules")
    listed = modules.read_text().splitlines() if modules.exists() else []
    assert seen.modules == tuple(line.split()[0] for line in listed)
