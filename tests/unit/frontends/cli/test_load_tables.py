"""What nodes use, as a table for people."""

import os
import pty

import pytest

from reconciler.frontends.cli.load_tables import live_loads, show_loads, size_of
from reconciler.model.node_load import NodeLoad
from reconciler.model.results import DomainState

LOAD = NodeLoad(
    cluster_name="lab",
    node_name="n0",
    domain_state=DomainState.RUNNING,
    interval_s=2,
    vcpus=2,
    cpu_pct=151.2,
    memory_bytes=512 << 20,
    resident_bytes=388 << 20,
    disk_read_bytes_per_s=0,
    disk_written_bytes_per_s=1536 * 1024,
    disk_reads_per_s=0,
    disk_writes_per_s=3,
    received_bytes_per_s=999,
    sent_bytes_per_s=None,
)


@pytest.mark.parametrize(
    ("count", "shown"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (104_857, "102 KiB"), (1 << 45, "32768 GiB")],
)
def test_sizes_are_short(count: float | None, shown: str) -> None:
    assert size_of(count) == shown


def test_a_node_is_a_line_and_what_is_not_known_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    off = NodeLoad(cluster_name="lab", node_name="n1", domain_state=DomainState.SHUT_OFF)
    show_loads([LOAD, off])
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split()[:5] == ["CLUSTER", "NODE", "STATE", "CPU", "OF"]
    assert " ".join(first.split()) == "lab n0 running 151 % 200 % 388 MiB / 512 MiB 0 B/s 1.5 MiB/s 999 B/s -"
    assert second.split() == ["lab", "n1", "shut", "off", *["-"] * 7]


def test_a_live_table_counts_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("LINES", "10")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(theirs, "w") as terminal, monkeypatch.context() as patched:
        patched.setattr("sys.stdout", terminal)
        with live_loads() as show:
            show([LOAD])
            show([LOAD] * 20)
    drawn = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "… and 13 more" in drawn
    assert "1.5 MiB/s" in drawn
