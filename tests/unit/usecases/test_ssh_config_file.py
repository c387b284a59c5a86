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


@given(st.binary().filter(lambda config: b"vmcluster" not in config))
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
    assert await remove_ssh_config(ssh_dir) == [
        f"removed the lines of vmcluster from {real}",
        f"removed {ssh_dir / 'vmcluster_config'}",
    ]
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


def names_below(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("linked", [False, True])
async def test_a_configuration_that_was_made_for_it_goes_with_it_and_one_that_was_there_stays(
    runtime: Runtime, tmp_path: Path, linked: bool
) -> None:
    await make(runtime, tmp_path, "lab")
    ssh_dir = tmp_path / ".ssh"
    ssh_dir.mkdir()
    if linked:
        (ssh_dir / "config").symlink_to(tmp_path / "elsewhere")
    before = names_below(ssh_dir)
    for _ in range(2):
        await write_ssh_config(runtime, ssh_dir)
        await write_ssh_config(runtime, ssh_dir)
        assert len(await remove_ssh_config(ssh_dir)) == 2
        assert names_below(ssh_dir) == before
        assert not (tmp_path / "elsewhere").exists()
    assert await remove_ssh_config(ssh_dir) == []
    (ssh_dir / "config").touch()
    await write_ssh_config(runtime, ssh_dir)
    await remove_ssh_config(ssh_dir)
    assert (ssh_dir / "config").read_bytes() == b""
    await remove_ssh_config(ssh_dir)
    (ssh_dir / "config").resolve().unlink()
    await write_ssh_config(runtime, ssh_dir)
    config = ssh_dir / "config"
    config.write_bytes(config.read_bytes() + b"Host mine\n")
    await remove_ssh_config(ssh_dir)
    assert config.read_bytes() == b"Host mine\n"
