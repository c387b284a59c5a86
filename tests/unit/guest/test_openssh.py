"""The system's own `ssh`, driven by our command line against a real sshd."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.guest.keys import generate_host_key
from reconciler.guest.openssh import render_known_hosts, render_ssh_command, write_known_hosts
from tests.sshd import Sshd


def test_ssh_logs_in_with_our_command_line_and_nothing_else(sshd: Sshd, tmp_path: Path) -> None:
    known_hosts = tmp_path / "a directory" / "known_hosts"
    write_known_hosts(known_hosts, [sshd.address])
    done = subprocess.run(
        render_ssh_command(sshd.address, known_hosts, ["echo", "$((6 * 7))"]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "42\n", "")


def test_no_character_of_a_path_means_anything_to_ssh(sshd: Sshd, tmp_path: Path) -> None:
    place = tmp_path / """%h 100% 'a' "b" \\ $HOME ~"""
    place.mkdir()
    key = place / "key"
    key.write_bytes(sshd.address.key_path.read_bytes())
    key.chmod(0o600)
    address = replace(sshd.address, key_path=key)
    write_known_hosts(place / "known_hosts", [address])
    done = subprocess.run(
        render_ssh_command(address, place / "known_hosts", ["true"]), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_ssh_refuses_another_host_key(sshd: Sshd, tmp_path: Path) -> None:
    write_known_hosts(tmp_path / "known_hosts", [replace(sshd.address, host_key=generate_host_key()[1])])
    done = subprocess.run(
        render_ssh_command(sshd.address, tmp_path / "known_hosts", ["true"]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 255
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr


@pytest.mark.parametrize(
    ("port", "expected"), [(22, "10.0.0.5 ssh-ed25519 AAAA\n"), (2222, "[10.0.0.5]:2222 ssh-ed25519 AAAA\n")]
)
def test_a_known_hosts_line_names_the_port_only_where_it_is_not_the_default(
    sshd: Sshd, port: int, expected: str
) -> None:
    address = replace(sshd.address, host="10.0.0.5", port=port, host_key="ssh-ed25519 AAAA a comment")
    assert render_known_hosts([address]) == expected


def test_a_known_hosts_file_is_replaced_whole(sshd: Sshd, tmp_path: Path) -> None:
    write_known_hosts(tmp_path / "known_hosts", [sshd.address, sshd.address])
    write_known_hosts(tmp_path / "known_hosts", [sshd.address])
    assert (tmp_path / "known_hosts").read_text() == render_known_hosts([sshd.address])
    assert [entry.name for entry in tmp_path.iterdir()] == ["known_hosts"]


def test_ssh_connects_from_the_address_that_tells_labs_apart(sshd: Sshd, tmp_path: Path) -> None:
    write_known_hosts(tmp_path / "known_hosts", [sshd.address])
    command = render_ssh_command(
        replace(sshd.address, source="127.0.0.9"), tmp_path / "known_hosts", ["echo", "$SSH_CONNECTION"]
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split()[0] == "127.0.0.9"
