"""The command as a process would run it, on a store of its own and a libvirt that is not there."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from reconciler.frontends.cli.app import run_command_line
from reconciler.model.record import ClusterRecord
from reconciler.store.sqlite import SqliteStore
from tests.kvm_verdict import give_kvm_verdict
from tests.outputs import Ended
from tests.unit.store.samples import sample_record

ABSENT_LIBVIRT = "qemu+unix:///system?socket=/nonexistent/libvirt-sock"


Invoke = Callable[..., Ended]


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path / "state"


@pytest.fixture
def invoke(state_dir: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Invoke:
    monkeypatch.setattr("reconciler.controller.backoff.FIRST_DELAY_S", 0.001)  # the absent libvirt stays away

    def invoke(*arguments: str) -> Ended:
        code = run_command_line(arguments)
        out, err = capfd.readouterr()
        structlog.reset_defaults()
        return Ended(code, out, err, arguments)

    return invoke


@pytest.fixture
def lab(state_dir: Path) -> ClusterRecord:
    """The record of a cluster `lab` with two nodes."""

    give_kvm_verdict(state_dir)

    async def put() -> ClusterRecord:
        async with SqliteStore(state_dir) as store:
            return await store.put(sample_record(), expected_generation=0, actor="test")

    return asyncio.run(put())


def environment(directory: Path) -> dict[str, str]:
    """What a process needs to run the command on a store of its own."""
    (directory / "config.yaml").touch()
    return {
        "VMCLUSTER_CONFIG": str(directory / "config.yaml"),
        "VMCLUSTER_STATE_DIR": str(directory / "state"),
        "VMCLUSTER_ARTIFACT_REGISTRY": str(directory / "artifacts" / "registry.json"),
        "VMCLUSTER_ARTIFACT_STORE_DIR": str(directory / "artifacts" / "trees"),
        "VMCLUSTER_TOPOLOGY_DIR": str(directory),
        "VMCLUSTER_LIBVIRT_URI": ABSENT_LIBVIRT,
        "NO_COLOR": "1",
    }
