"""Where the last boot begins, and what only looks like one."""

import pytest

from reconciler.kernel_log.boots import DISKS_REPLACED, MEMORY_PUT_BACK
from reconciler.kernel_log.console import last_boot, parse_console


def since_boot(*said: str) -> list[str]:
    return [line.text for line in last_boot(parse_console("\n".join([*said, ""]).encode()))]


def stamped(*times: float) -> list[str]:
    return [f"[{time:12.6f}] at {time:g}" for time in times]


def test_the_last_boot_begins_where_the_clock_goes_back() -> None:
    assert since_boot(*stamped(5, 90), "BIOS", *stamped(0, 0.5)) == ["at 0", "at 0.5"]


def test_the_last_boot_begins_after_a_panics_last_words() -> None:
    lines = parse_console(b"[    5.000000] ---[ end Kernel panic - not syncing: x ]---\n[    4.900000] new\n")
    assert [line.text for line in last_boot(lines)] == ["new"]


def test_a_kernel_that_has_panicked_and_still_speaks_is_not_booted() -> None:
    panicked = parse_console(b"[    5.000000] ---[ end Kernel panic - not syncing: x ]---\n[    9.000000] sched: odd\n")
    assert list(last_boot(panicked)) == panicked


OLD = ["at 90", "at 91"]


@pytest.mark.parametrize(
    "after",
    [
        stamped(0.02, 92),
        stamped(0.02, 0.03, 0.04, 5000),
        ["login: [    0.500000] quoted"],
        ["[   40.000000]  stuck_function+0x1/0x2", "[   40.000001]  its_caller+0x1/0x2"],
        ["[   40.000000] RIP: 0010:stuck+0x1/0x2", *stamped(92), "[   41.000000] </NMI>", *stamped(93)],
        stamped(90.5),
        stamped(5),
    ],
    ids=[
        "one stray line",
        "some",
        "a stamp behind other text",
        "a stuck CPU's trace",
        "and again",
        "a small disorder",
        "one at the end",
    ],
)
def test_an_old_time_that_does_not_last_is_no_boot(after: list[str]) -> None:
    assert since_boot(*stamped(90, 91), *after)[:2] == OLD


def test_an_old_time_at_which_the_clock_stays_is_a_boot_whatever_comes_much_later() -> None:
    booted = [f"at {second}" for second in range(20)]
    assert since_boot(*stamped(90, 91), *stamped(*range(20)), *stamped(500)) == [*booted, "at 500"]


def test_the_kernels_first_words_and_those_of_firmware_tell_of_a_boot_that_says_little() -> None:
    banner = "[    0.000000] Linux version 6.1.0-test (builder@test)"
    assert since_boot(*stamped(90, 91), f"n0 login: {banner}", *stamped(500)) == [banner[15:], "at 500"]
    assert since_boot(*stamped(0.3), banner, *stamped(0.2)) == [banner[15:], "at 0.2"]
    assert since_boot(*stamped(90, 91), "SeaBIOS (version test)", *stamped(2, 500)) == ["at 2", "at 500"]


def test_a_boot_that_begins_behind_a_login_prompt_is_one_as_more_follows() -> None:
    assert since_boot(*stamped(90, 91), "n0 login: [    0.500000] quiet", *stamped(0.6)) == ["quiet", "at 0.6"]


def test_each_boot_counts_from_the_one_before() -> None:
    assert since_boot(*stamped(90), *stamped(0, 1, 30), *stamped(0, 1)) == ["at 0", "at 1"]
    assert since_boot(*stamped(90), *stamped(0, 1, 30), *stamped(0)) == ["at 0", "at 1", "at 30", "at 0"]


def test_after_the_last_words_of_a_shutdown_one_line_is_enough() -> None:
    last = ["[   91.000000] reboot: Restarting system"]
    assert since_boot(*stamped(90), *last, *stamped(0.5)) == ["at 0.5"]
    assert since_boot(*stamped(90), *last, "[   90.999000] still here")[0] == "at 90"


def test_what_was_said_before_a_memory_was_put_back_has_never_been() -> None:
    panic = "[   52.000000] Kernel panic - not syncing: undone"
    assert since_boot(*stamped(5), panic, *stamped(0, 20), MEMORY_PUT_BACK, *stamped(60, 70)) == ["at 60", "at 70"]
    assert since_boot(panic, MEMORY_PUT_BACK) == []
    assert since_boot(panic, MEMORY_PUT_BACK, *stamped(60, 0, 0.5)) == ["at 0", "at 0.5"]


def test_what_was_said_before_disks_were_replaced_is_of_another_past_also_before_the_next_boot() -> None:
    panic = "[   52.000000] Kernel panic - not syncing: undone"
    assert since_boot(*stamped(5), panic, DISKS_REPLACED) == []
    assert since_boot(*stamped(90), panic, DISKS_REPLACED, *stamped(0, 1)) == ["at 0", "at 1"]
