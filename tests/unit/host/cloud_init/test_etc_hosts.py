"""The cluster's lines stand in /etc/hosts between two marks, and a user's lines around them are kept."""

import subprocess
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from reconciler.host.cloud_init.etc_hosts import MERGE_HOSTS, hosts_command, render_hosts

NODES = {"n2": IPv4Address("192.168.100.11"), "n1": IPv4Address("192.168.100.9")}
BLOCK = render_hosts(NODES, "demo")
BEGIN, INNER = BLOCK.splitlines()[0], "".join(f"{line}\n" for line in BLOCK.splitlines()[1:-1])
OLD_FILE = "# The nodes of cluster demo; written again at every boot.\n127.0.0.1 localhost\n192.168.100.9 gone\n"


def merged(directory: Path, before: str | None, block: str = BLOCK, command: str = MERGE_HOSTS) -> str:
    etc = directory / "etc"
    etc.mkdir(exist_ok=True)
    hosts = etc / "hosts"
    if before is not None:
        hosts.write_text(before)
    subprocess.run(["sh", "-c", command.replace("/etc/", f"{etc}/")], input=block.encode(), check=True)
    assert [path.name for path in etc.iterdir()] == ["hosts"]
    return hosts.read_text()


def test_a_full_name_stands_first_where_hostname_takes_it_from() -> None:
    lines = render_hosts(NODES, "demo", {"n2": "web.example.org"}).splitlines()
    assert "192.168.100.11 web.example.org n2" in lines
    assert "192.168.100.9 n1" in lines


def test_hosts_are_the_same_in_whatever_order_the_nodes_come() -> None:
    assert render_hosts(NODES, "demo") == render_hosts(dict(reversed(NODES.items())), "demo")


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        (None, ""),
        ("", ""),
        ("127.0.1.1 n1\n10.0.0.1 registry", "127.0.1.1 n1\n10.0.0.1 registry\n"),
        (f"{BLOCK}10.0.0.1 registry\n", "10.0.0.1 registry\n"),
        (f"10.0.0.1 first\n\n{render_hosts({}, 'demo')}10.0.0.1 last\n", "10.0.0.1 first\n\n10.0.0.1 last\n"),
        (f"{BEGIN}\n{INNER}10.0.0.1 registry\n", f"{INNER}10.0.0.1 registry\n"),
        ("# END vmcluster\n10.0.0.1 registry\n", "10.0.0.1 registry\n"),
        (f"{BLOCK}10.0.0.1 registry\n{BLOCK}", "10.0.0.1 registry\n"),
        (OLD_FILE, ""),
    ],
    ids=["none", "empty", "foreign", "ours-first", "ours-between", "end-deleted", "end-alone", "twice", "before-marks"],
)
def test_lines_outside_of_the_marks_are_kept_and_ours_come_first(before: str | None, kept: str, tmp_path: Path) -> None:
    after = merged(tmp_path, before)
    assert after == BLOCK + kept
    assert merged(tmp_path, None) == after


def test_the_mode_of_the_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").touch(mode=0o604)
    merged(tmp_path, None)
    assert (tmp_path / "etc/hosts").stat().st_mode & 0o777 == 0o604


def test_a_user_who_is_not_root_becomes_root_for_it(tmp_path: Path) -> None:
    command = hosts_command("tester")
    assert command.startswith("sudo -n sh -c ")
    assert merged(tmp_path, "10.0.0.1 a\n", command=command.removeprefix("sudo -n ")) == f"{BLOCK}10.0.0.1 a\n"
