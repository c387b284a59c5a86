"""The user's own OpenSSH configuration keeps every byte that is not ours."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Conflict
from reconciler.runtime import Runtime
from reconciler.usecases.ssh_config_file import remove_ssh_config, with_include, without_include, write_ssh_config
from tests.unit.usecases.test_login_names import make, runtime

__all__ = ["runtime"]

INCLUDED = Path("/home/u/.ssh/vmcluster_config")


@given(st.binary())
def test_taking_the_block_out_again_brings_back_every_byte(config: bytes) -> None:
    once = with_include(config, INCLUDED)
    assert with_include(once, INCLUDED) == once
    assert without_include(once) == config
    assert without_include(config) == config


def test_a_block_that_was_moved_stays_where_it_is() -> None:
    block = with_include(b"", Path("/old"))
    config = b"# mine\n" + block + b"Host x\n"
    assert with_include(config, INCLUDED) == b"# mine\n" + with_include(b"", INCLUDED) + b"Host x\n"


@pytest.mark.parametrize("kept", [slice(None, 1), slice(2, None)])
def test_a_block_that_has_lost_a_mark_is_left_to_its_user(kept: slice) -> None:
    lines = with_include(b"", INCLUDED).splitlines(keepends=True)
    with pytest.raises(Conflict, match="but not the line"):
        with_include(b"".join(lines[kept]), INCLUDED)


async def test_names_work_beside_what_is_there_and_a_link_to_the_file_stays_one(
    runtime: Runtime, tmp_path: Path
) -> None:
    await make(runtime, tmp_path, "lab")
    ssh_dir, real = tmp_path / "home dir" / ".ssh", tmp_path / "dotfiles" / "ssh_config"
    for directory in (ssh_dir, real.parent):
        directory.mkdir(parents=True)
    own = b"Host other\n  HostName 10.0.0.1\n# caf\xe9 without a line end"
    real.write_bytes(own)
    real.chmod(0o640)
    (ssh_dir / "config").symlink_to(real)
    await write_ssh_config(runtime, ssh_dir)
    await write_ssh_config(runtime, ssh_dir)
    assert [hostname(ssh_dir, name) for name in ("lab-alpha", "other")] == ["192.168.77.11", "10.0.0.1"]
    assert (ssh_dir / "config").is_symlink()
    await remove_ssh_config(ssh_dir)
    assert (real.read_bytes(), real.stat().st_mode & 0o777) == (own, 0o640)
    assert [entry.name for entry in ssh_dir.iterdir()] == ["config"]
    await remove_ssh_config(ssh_dir)


async def test_a_directory_that_is_not_there_is_made_and_nothing_is_removed_where_nothing_is(
    runtime: Runtime, tmp_path: Path
) -> None:
    await remove_ssh_config(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    await write_ssh_config(runtime, tmp_path / "home" / ".ssh")
    assert (tmp_path / "home" / ".ssh" / "config").stat().st_mode & 0o777 == 0o600


def hostname(ssh_dir: Path, host: str) -> str:
    done = subprocess.run(
        ["ssh", "-G", "-F", ssh_dir / "config", host], capture_output=True, text=True, check=True, cwd="/"
    )
    return next(line.removeprefix("hostname ") for line in done.stdout.splitlines() if line.startswith("hostname "))
