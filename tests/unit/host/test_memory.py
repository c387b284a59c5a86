"""Sample: Linux 6.1."""

import os

import pytest

from reconciler.host.memory import observe_available_memory_mb, observe_memory_mb, parse_memory_mb

MEMINFO = """\
MemTotal:       24684488 kB
MemFree:        19369216 kB
SwapCached:            0 kB
SwapTotal:       8388604 kB
SwapFree:        8388604 kB
VmallocTotal:   34359738367 kB
"""


@pytest.mark.parametrize(
    ("meminfo", "expected"),
    [
        (MEMINFO, (24684488 + 8388604) // 1024),
        (MEMINFO.replace("SwapTotal", "Other"), 24684488 // 1024),
        (MEMINFO.replace("MemTotal", "Other"), None),
        ("", None),
    ],
)
def test_memory_is_ram_and_swap_or_not_known(meminfo: str, expected: int | None) -> None:
    assert parse_memory_mb(meminfo) == expected


def test_this_host_has_at_least_its_ram() -> None:
    found = observe_memory_mb()
    assert found is not None
    assert found >= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def test_less_is_available_than_there_is() -> None:
    available, whole = observe_available_memory_mb(), observe_memory_mb()
    assert available is not None
    assert whole is not None
    assert 0 < available < whole
