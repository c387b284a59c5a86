"""Reports without the kernel's mark on a console that has it."""

import pytest

from reconciler.kernel_log.console import parse_console
from tests.unit.kernel_log.samples import find_events

BOOT = "[    1.000000] all is well\ninit: hello\n"
STATE = "Modules linked in:\nCPU: 1 PID: 77 Comm: trial Not tainted 6.1.0 #1\n"
WARNING = f"WARNING: CPU: 1 PID: 77 at fs/trial.c:12 trial+0x1/0x20\n{STATE}Call Trace:\n caller+0x3/0x40\n"


def kinds(said: str) -> list[str]:
    return [event.kind.value for event in find_events(parse_console(said.encode()))]


@pytest.mark.parametrize(
    "report",
    [
        WARNING,
        f"BUG: KASAN: use-after-free in trial+0x1/0x20\nRead of size 8 at addr ff by task trial/77\n\n{STATE}",
        WARNING.replace("PID: 77 Comm", "UID: 0 PID: 77 Comm"),
    ],
)
def test_a_whole_report_after_the_last_mark_is_the_kernels(report: str) -> None:
    assert len(kinds(BOOT + report)) == 1


@pytest.mark.parametrize(
    "said",
    [
        "WARNING: CPU: 1 PID: 77 at fs/trial.c:12 trial+0x1/0x20\n",
        "Kernel panic - not syncing: quoted\n",
        STATE,
        f"{WARNING}[    2.000000] the kernel still has its mark\n",
    ],
    ids=["one line", "a panic's first line", "a state alone", "before a mark"],
)
def test_what_a_program_prints_is_not(said: str) -> None:
    assert kinds(BOOT + said) == []
