import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.controller.healers import start_healer
from reconciler.errors import HostCapabilityMissing, HostCommandFailed
from reconciler.process import leave_behind, run
from reconciler.programs import clean_environment, find_program, require_program
from reconciler.settings import Settings


@pytest.mark.parametrize("path", ["", ".", ":/nowhere", "/nowhere:", "bin", "./bin:../bin"])
async def test_programs_are_found_in_the_systems_directories_and_never_in_the_callers(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (tmp_path, tmp_path / "bin"):
        place.mkdir(exist_ok=True)
        for name in ("sh", "vmcluster-of-the-caller"):
            (place / name).write_text("#!/bin/sh\necho caught\n")
            (place / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", path)
    assert find_program("vmcluster-of-the-caller") is None
    assert find_program("./sh") is None
    assert (await run(["sh", "-c", "echo found"])).stdout == b"found\n"
    with pytest.raises(HostCapabilityMissing, match="'vmcluster-of-the-caller' is not installed"):
        await run(["vmcluster-of-the-caller"])


def test_a_directory_of_path_comes_before_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sh").write_text("#!/bin/true\n")
    (tmp_path / "sh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert require_program("sh") == str(tmp_path / "sh")


@pytest.mark.parametrize("harm", ["writable by all", "below a writable one", "another user's", "by way of a link"])
def test_no_program_is_found_where_other_users_could_put_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    place = tmp_path / "above" / "bin"
    place.mkdir(parents=True)
    (place / "sh").write_text("#!/bin/true\n")
    (place / "sh").chmod(0o755)
    match harm:
        case "writable by all":
            place.chmod(0o777)
        case "below a writable one":
            place.parent.chmod(0o777)
        case "another user's":
            if os.geteuid() != 0:
                pytest.skip("only root gives a directory to somebody else")
            os.chown(place, 65534, 65534)
        case "by way of a link":
            place.chmod(0o777)
            place = tmp_path / "link"
            place.symlink_to(tmp_path / "above" / "bin")
    monkeypatch.setenv("PATH", str(place))
    assert require_program("sh") != str(place / "sh")
    assert str(place) not in clean_environment()["PATH"]


async def test_a_program_is_started_in_the_root_with_a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP", "GIT_DIR", "https_proxy", "BASH_ENV"):
        monkeypatch.setenv(name, "/of/the/caller")
    monkeypatch.setenv("LC_MESSAGES", "de_DE.UTF-8")
    said = (await run(["sh", "-c", "pwd; env"], env={"ADDED": "yes"})).stdout.decode().splitlines()
    assert said[0] == "/"
    assert {"ADDED=yes", "LC_MESSAGES=de_DE.UTF-8", f"HOME={os.environ['HOME']}"} <= set(said)
    assert not [line for line in said if line.endswith("/of/the/caller")]


def test_a_program_that_is_left_behind_begins_in_the_root_with_a_clean_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("LD_PRELOAD", "PYTHONPATH", "GIT_DIR", "SSH_AUTH_SOCK", "SSH_AGENT_PID", "BASH_ENV", "ENV", "IFS"):
        monkeypatch.setenv(name, "/of/the/caller")
    said = tmp_path / "said"
    leave_behind(["/bin/sh", "-c", f"{{ pwd; env; }} >{said}"], env={"ADDED": "yes"})
    lines = said.read_text().splitlines()
    assert lines[0] == "/"
    assert "ADDED=yes" in lines
    assert not [line for line in lines if line.endswith("/of/the/caller")]
    with pytest.raises(HostCommandFailed, match="exit code 127 from: /no/such/program"):
        leave_behind(["/no/such/program"], env={})


@pytest.mark.processes
def test_no_module_of_the_callers_directory_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caught = tmp_path / "caught"
    for module in ("structlog", "asyncssh", "pydantic", "yaml"):
        (tmp_path / f"{module}.py").write_text(f"open({str(caught)!r}, 'a').write('{module} ')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    state = tmp_path / "state"
    start_healer(Settings(state_dir=state), "no-such-cluster")
    monkeypatch.delenv("PYTHONPATH")
    server = [sys.executable, "-m", "reconciler"]
    subprocess.run(server, stdin=subprocess.DEVNULL, check=True, env={**os.environ, "VMCLUSTER_STATE_DIR": str(state)})
    assert not caught.exists()
