"""What a visit prints, by real shells, and how it is understood."""

import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.artifacts.node_scripts import RECORD_PATH
from reconciler.model.results import ExecResult
from reconciler.observe.node_vitals import LOOK_COMMAND, READING_COMMAND, VitalsAnswer, parse_vitals_answer
from tests.waiting import PATIENCE_S

MODULES = "virtio_net 69632 0 - Live 0x0000000000000000\next4 1 2 - Live 0x0 (OE)\n"
VITALS = {
    "/proc/sys/kernel/tainted": "4096\n",
    "/proc/sys/kernel/printk": "5\t4\t1\t7\n",
    "/proc/uptime": "100.25 80.00\n",
    "/proc/stat": "cpu  1 2 3\nctxt 5\nbtime 1767322945\nprocesses 7\n",
}
LOG = "0f0e0d0c-0b0a-4908-8706-050403020100 100.00\n6,0,1,-;Linux version\n"
ARTIFACT = "ab" * 32

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def understood(
    vitals: Mapping[str, str] = {},
    *,
    modules: str = MODULES,
    artifact: str = "",
    log: str = "",
    asked: datetime | None = None,
) -> VitalsAnswer:
    """What is understood of a visit at `NOW`; `vitals` replace those with such a last part of their name."""
    files = {RECORD_PATH: artifact, "/proc/modules": modules}
    files |= {path: vitals.get(path.rpartition("/")[2], told) for path, told in VITALS.items()}
    files |= {"/proc/consoles": vitals.get("consoles", ""), "kernel-log": log}
    printed = "there:\n" + "\n".join(f"==> {path} <==\n{told}" for path, told in files.items() if told)
    answer = ExecResult(exit_code=0, stdout=printed, stderr="", duration_s=0.1, timed_out=False)
    return parse_vitals_answer(answer, NOW, asked)


def test_a_look_tells_modules_artifact_and_what_the_kernel_says_of_itself() -> None:
    seen = understood(artifact=f"{ARTIFACT}\n/tree\n")
    assert (seen.modules, seen.artifact_id, seen.log.stdout) == (("virtio_net", "ext4"), ARTIFACT, "")
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
    seen = understood({"consoles": consoles}, log=LOG)
    assert (seen.artifact_id, seen.log.stdout) == (None, LOG)
    assert seen.vitals is not None
    assert seen.vitals.on_serial is on_serial


def test_a_kernel_without_modules_has_none() -> None:
    seen = understood(modules="", log=LOG)
    assert (seen.modules, seen.log.stdout) == ((), LOG)
    assert seen.vitals is not None


@pytest.mark.parametrize(
    "vitals",
    [
        {"tainted": ""},
        {"tainted": "x\n"},
        {"printk": "\n"},
        {"uptime": ""},
        {"uptime": "nan\n"},
        {"uptime": "1e300\n"},
        dict.fromkeys(("tainted", "printk", "uptime"), ""),
    ],
)
def test_what_could_not_be_read_is_unknown_and_the_modules_are_known(vitals: dict[str, str]) -> None:
    seen = understood(vitals, log=LOG)
    assert (seen.vitals, seen.modules, seen.log.stdout) == (None, ("virtio_net", "ext4"), LOG)


@pytest.mark.parametrize(
    ("clock", "offset_s"),
    [(0, None), (-2, None), (3, None), (-95, -94.0), (95, 91.0), (-4, -3.0), ("x", None), ("9" * 12, 10**12)],
)
def test_a_clock_that_is_wrong_by_more_than_the_visit_took_is_told(clock: int | str, offset_s: float | None) -> None:
    asked = NOW - timedelta(seconds=4)
    booted = int(asked.timestamp()) + clock - 100 if isinstance(clock, int) else clock
    found = understood({"stat": f"cpu 1\nbtime {booted}\n", "uptime": "100.00 80.00\n"}, asked=asked).clock_offset_s
    assert found == (offset_s if clock != "9" * 12 else 10**12 - 1 + 100 - NOW.timestamp())


def test_a_clock_beyond_all_times_is_wrong_by_a_number() -> None:
    assert understood({"uptime": f"{'9' * 300}\n"}, asked=NOW).clock_offset_s == 2**40 - NOW.timestamp()
    assert understood({"uptime": "nan 1\n"}, asked=NOW).clock_offset_s is None


@pytest.mark.parametrize("output", ["", "\n", "\nvirtio_net 1 2", "garbage", "there:\n==> /proc/modules <=="])
def test_an_answer_that_broke_off_tells_nothing_wrong(output: str) -> None:
    answer = ExecResult(exit_code=0, stdout=output, stderr="", duration_s=0.1, timed_out=False)
    seen = parse_vitals_answer(answer, NOW)
    assert (seen.vitals, seen.artifact_id, seen.log.stdout) == (None, None, "")


@pytest.mark.parametrize("shell", ["bash", "dash", "busybox sh"])
def test_every_shell_tells_the_same_of_this_very_kernel(shell: str) -> None:
    if shutil.which(shell.split(maxsplit=1)[0]) is None:
        pytest.skip(f"no {shell} here")
    asked = datetime.now(UTC)
    ran = subprocess.run(
        [*shell.split(), "-c", LOOK_COMMAND], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    answer = ExecResult(exit_code=0, stdout=ran.stdout, stderr=ran.stderr, duration_s=0.1, timed_out=False)
    seen = parse_vitals_answer(answer, datetime.now(UTC), asked)
    assert (seen.log.stderr, seen.clock_offset_s) == ("", None)
    assert seen.vitals is not None
    assert seen.vitals.taint == Path("/proc/sys/kernel/tainted").read_text().strip()
    modules = Path("/proc/modules")
    listed = modules.read_text().splitlines() if modules.exists() else []
    assert seen.modules == tuple(line.split()[0] for line in listed)


def test_a_reading_goes_on_with_the_log_whatever_the_last_file_ends_with() -> None:
    command = READING_COMMAND.replace("/proc/consoles", "/proc/self/cmdline").rpartition("exec dd")[0]
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    seen = parse_vitals_answer(
        ExecResult(exit_code=0, stdout=ran.stdout, stderr="", duration_s=0.1, timed_out=False), NOW
    )
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert seen.log.stdout.startswith(f"{boot_id} ")
