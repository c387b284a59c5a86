"""Keys that we make are taken by OpenSSH and never replace what is there."""

import os
import shutil
import subprocess
from pathlib import Path

import asyncssh
import pytest

from reconciler.errors import Conflict
from reconciler.guest.keys import generate_client_key, generate_host_key


def test_the_halves_of_a_host_key_belong_together() -> None:
    private, public = generate_host_key()
    derived = asyncssh.import_private_key(private).export_public_key().decode().split()[:2]
    assert public.split()[:2] == derived
    assert public.startswith("ssh-ed25519 ")
    assert "\n" not in public


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs openssh-client")
def test_openssh_reads_the_private_key(tmp_path: Path) -> None:
    public = generate_client_key(tmp_path / "key")
    derived = subprocess.run(["ssh-keygen", "-y", "-f", tmp_path / "key"], capture_output=True, text=True, check=True)
    assert derived.stdout.split()[:2] == public.split()[:2]


def test_a_client_key_is_private_and_has_its_public_half_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "made" / "key"
    public = generate_client_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.with_name("key.pub").read_text() == f"{public}\n"
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["key", "key.pub"]


def test_nobody_else_can_put_another_key_in_its_place_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        generate_client_key(tmp_path / "made" / "for" / "key")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o022 for path in tmp_path.rglob("*")} == {0}


def test_a_key_that_is_there_is_kept(tmp_path: Path) -> None:
    first = generate_client_key(tmp_path / "key")
    before = (tmp_path / "key").read_bytes()
    assert generate_client_key(tmp_path / "key").split()[:2] == first.split()[:2]
    assert (tmp_path / "key").read_bytes() == before


def test_a_missing_public_half_is_made_again(tmp_path: Path) -> None:
    first = generate_client_key(tmp_path / "key")
    (tmp_path / "key.pub").unlink()
    generate_client_key(tmp_path / "key")
    assert (tmp_path / "key.pub").read_text().split()[:2] == first.split()[:2]


def test_a_file_that_is_not_a_key_is_a_conflict_and_stays(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("my notes")
    with pytest.raises(Conflict, match="not an SSH private key"):
        generate_client_key(tmp_path / "key")
    assert (tmp_path / "key").read_text() == "my notes"
