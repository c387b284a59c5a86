"""When a clean reading of a kernel's log stands in for another, and when it does not."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.guest.address import GuestAddress
from reconciler.model.status import Condition, ConditionStatus, ConditionType
from reconciler.observe.clean_kernels import TRUSTED_S, CleanKernels, KernelState
from reconciler.observe.node_console import ConsolePlace
from reconciler.observe.node_vitals import Vitals

BOOTED = datetime(2026, 1, 1, tzinfo=UTC)
VITALS = Vitals(taint="4096", console_level=5, booted=BOOTED, on_serial=True)
ADDRESS = GuestAddress(
    cluster="c", node="n0", host="192.0.2.1", user="root", key_path=Path("/key"), host_key="ssh-ed25519 AAAA"
)


def state(status: ConditionStatus = ConditionStatus.TRUE) -> KernelState:
    return KernelState(
        Condition(
            type=ConditionType.KERNEL_HEALTHY, status=status, reason="Because", message="", last_transition=BOOTED
        )
    )


@pytest.fixture
def console(tmp_path: Path) -> Path:
    path = tmp_path / "n0.console.log"
    path.write_text("[    0.000000] Linux version 6\n[    1.000000] BUG: KASAN: known and over, in an earlier boot\n")
    return path


@pytest.fixture
def quiet(console: Path) -> CleanKernels:
    kernels = CleanKernels()
    kernels.learn(ADDRESS, state(), VITALS, ConsolePlace.end_of(console))
    return kernels


def append(console: Path, text: str) -> None:
    with console.open("a") as opened:
        opened.write(text)


async def test_a_quiet_kernel_stays_quiet_while_nothing_bad_is_on_its_console(
    quiet: CleanKernels, console: Path
) -> None:
    append(console, "[    9.000000] eth0: link up\nlogin: BUG: no kernel's word\n[   10.000000] ext4: mounted\n")
    assert quiet.has(ADDRESS)
    assert await quiet.still(ADDRESS, VITALS) == state()


@pytest.mark.parametrize(
    "said",
    [
        "INFO: task kworker/0:1:17 blocked for more than 120 seconds.",
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [x:1]",
        "UBSAN: shift-out-of-bounds in lib/x.c:1:2",
        "WARNING: possible circular locking dependency detected",
        "BUG: KASAN: use-after-free in f+0x1/0x2",
        "WARNING: CPU: 0 PID: 12 at drivers/test/provoke.c:41 f+0x1/0x2",
        "Kernel panic - not syncing: x",
    ],
)
async def test_whatever_the_console_announces_has_the_log_read(quiet: CleanKernels, console: Path, said: str) -> None:
    append(console, f"login: [    9.500000] {said}\n")
    assert await quiet.still(ADDRESS, VITALS) is None


async def test_an_announcement_of_which_only_a_part_was_there_is_found_when_it_is_whole(
    quiet: CleanKernels, console: Path
) -> None:
    append(console, "[    9.500000] INFO: task x:17 blo")
    assert await quiet.still(ADDRESS, VITALS) == state()
    append(console, "cked for more than 120 seconds.\n")
    assert await quiet.still(ADDRESS, VITALS) is None


async def test_lines_that_did_not_reach_the_console_have_the_log_read(quiet: CleanKernels, console: Path) -> None:
    append(console, "[    9.500000] ** 12 printk messages dropped **\n")
    assert await quiet.still(ADDRESS, VITALS) is None


@pytest.mark.parametrize(
    "now",
    [
        None,
        replace(VITALS, taint="4608"),
        replace(VITALS, console_level=4),
        replace(VITALS, booted=BOOTED + timedelta(seconds=30)),
        replace(VITALS, booted=BOOTED - timedelta(seconds=30)),
    ],
    ids=["unknown", "tainted", "console turned down", "rebooted", "clock set"],
)
async def test_a_kernel_that_is_not_as_it_was_is_read(quiet: CleanKernels, now: Vitals | None) -> None:
    assert await quiet.still(ADDRESS, now) is None


def _rotate(console: Path) -> None:
    console.rename(console.with_name(f"{console.name}.0"))
    console.write_text("[    9.000000] newer\n" * 10)


def _flood(console: Path) -> None:
    append(console, "x" * 1_000_000)


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: os.truncate(path, 3), _rotate, _flood])
async def test_a_console_that_does_not_tell_has_the_log_read(
    quiet: CleanKernels, console: Path, lose: Callable[[Path], None]
) -> None:
    lose(console)
    assert await quiet.still(ADDRESS, VITALS) is None


@pytest.mark.parametrize(
    ("found", "vitals"),
    [
        (state(ConditionStatus.FALSE), VITALS),
        (state(ConditionStatus.UNKNOWN), VITALS),
        (state(), None),
        (state(), replace(VITALS, on_serial=False)),
        (state(), replace(VITALS, console_level=4)),
    ],
    ids=["ill", "unknown", "no vitals", "no serial console", "console shows no warnings"],
)
def test_nothing_is_kept_that_could_hide_trouble(
    quiet: CleanKernels, console: Path, found: KernelState, vitals: Vitals | None
) -> None:
    quiet.learn(ADDRESS, found, vitals, ConsolePlace.end_of(console))
    assert not quiet.has(ADDRESS)


def test_without_a_console_nothing_is_kept(quiet: CleanKernels) -> None:
    quiet.learn(ADDRESS, state(), VITALS, None)
    assert not quiet.has(ADDRESS)


def test_a_reading_counts_for_a_minute(console: Path) -> None:
    now_s = [1000.0]
    kernels = CleanKernels(lambda: now_s[0])
    kernels.learn(ADDRESS, state(), VITALS, ConsolePlace.end_of(console))
    now_s[0] += TRUSTED_S - 1
    assert kernels.has(ADDRESS)
    now_s[0] += 2
    assert not kernels.has(ADDRESS)
