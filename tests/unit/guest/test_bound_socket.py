"""Connections through one interface: our own, and those of the real `ssh` and `rsync`."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.guest.openssh import render_ssh_command, write_known_hosts
from reconciler.guest.request import Unreachable
from reconciler.guest.rsync import render_rsync_upload
from reconciler.guest.ssh_connection import dial
from tests.sshd import Sshd

NOWHERE = "no-such-device"


async def test_our_own_connections_go_through_the_interface_or_fail(sshd: Sshd) -> None:
    connection = await dial(replace(sshd.address, source="127.0.0.9", device="lo"))
    assert connection.transport.get_extra_info("sockname")[0] == "127.0.0.9"
    connection.abort()
    with pytest.raises(Unreachable, match="No such device"):
        await dial(replace(sshd.address, source="127.0.0.9", device=NOWHERE))


def test_ssh_goes_through_the_interface_or_fails(sshd: Sshd, tmp_path: Path) -> None:
    write_known_hosts(tmp_path / "known_hosts", [sshd.address])

    def asked(device: str) -> "subprocess.CompletedProcess[str]":
        address = replace(sshd.address, source="127.0.0.9", device=device)
        command = render_ssh_command(address, tmp_path / "known_hosts", ["cat; echo $SSH_CONNECTION"])
        return subprocess.run(command, input="sent ", capture_output=True, text=True, check=False)

    done = asked("lo")
    assert (done.returncode, done.stdout.split()[:2], done.stderr) == (0, ["sent", "127.0.0.9"], "")
    failed = asked(NOWHERE)
    assert (failed.returncode, failed.stdout) == (255, "")
    assert f"connect to 127.0.0.1 port {sshd.port} through {NOWHERE}: No such device" in failed.stderr


def test_rsync_goes_through_the_interface_or_fails(sshd: Sshd, tmp_path: Path) -> None:
    write_known_hosts(tmp_path / "known_hosts", [sshd.address])
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "file").write_text("content")
    (tmp_path / "to").mkdir()

    def sent(device: str) -> int:
        address = replace(sshd.address, source="127.0.0.9", device=device)
        command = render_rsync_upload(
            address, tmp_path / "known_hosts", tmp_path / "from", str(tmp_path / "to"), ["-r"]
        )
        return subprocess.run(command, capture_output=True, check=False).returncode

    assert sent(NOWHERE) != 0
    assert not [*(tmp_path / "to").iterdir()]
    assert sent("lo") == 0
    assert (tmp_path / "to" / "file").read_text() == "content"
