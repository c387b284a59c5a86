"""Logging in with the system's ssh."""

from pathlib import Path

import pytest

from reconciler.desired.compile import seed_inputs
from reconciler.errors import ClusterNotFound, LibvirtUnavailable, NodeNotFound, SshError
from reconciler.host.cloud_init.seed_driver import read_host_key, write_seed
from reconciler.model.record import ClusterRecord
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.usecases.login import known_hosts_path, login_command, login_commands, refresh_known_hosts
from tests.unit.store.samples import sample_record

ABSENT_LIBVIRT = "qemu+unix:///system?socket=/nonexistent/libvirt-sock"


def with_host_keys(record: ClusterRecord, directory: Path) -> ClusterRecord:
    record = record.model_copy(update={"spec": record.spec.model_copy(update={"overlay_dir": directory})})
    for inputs in seed_inputs(record).values():
        write_seed(directory, inputs, "digest")
    return record


async def test_each_node_has_a_command_that_accepts_its_host_key_only(tmp_path: Path) -> None:
    async with Runtime(Settings(state_dir=tmp_path / "state", libvirt_uri=ABSENT_LIBVIRT)) as runtime:
        await runtime.store.put(with_host_keys(sample_record(), tmp_path), expected_generation=0, actor="test")
        commands = await login_commands(runtime, "lab")
        known_hosts = known_hosts_path(runtime.settings.state_dir, "lab")
    assert list(commands) == ["zeta", "alpha"]
    assert commands["alpha"][0] == "ssh"
    assert "StrictHostKeyChecking=yes" in commands["alpha"]
    assert f'UserKnownHostsFile="{known_hosts}"' in commands["alpha"]
    assert commands["alpha"][-1] == "192.168.77.11"
    for node, line in zip(("zeta", "alpha"), known_hosts.read_text().splitlines(), strict=True):
        host_key = read_host_key(tmp_path, "lab", node)
        assert host_key is not None
        assert line.split() == [commands[node][-1], *host_key.split()[:2]]


async def test_a_login_needs_a_cluster_a_node_a_host_key_and_a_libvirt_that_says_it_runs(tmp_path: Path) -> None:
    async with Runtime(Settings(state_dir=tmp_path / "state", libvirt_uri=ABSENT_LIBVIRT)) as runtime:
        with pytest.raises(ClusterNotFound):
            await login_command(runtime, "lab", "alpha")
        await runtime.store.put(sample_record(), expected_generation=0, actor="test")
        with pytest.raises(NodeNotFound, match="has no node 'nope'"):
            await login_command(runtime, "lab", "nope")
        with pytest.raises(LibvirtUnavailable):
            await login_command(runtime, "lab", "alpha")
        with pytest.raises(SshError, match="host key is missing"):
            await login_commands(runtime, "lab")


async def test_a_configuration_that_names_the_known_hosts_file_stays_right_when_host_keys_change(
    tmp_path: Path,
) -> None:
    async with Runtime(Settings(state_dir=tmp_path / "state", libvirt_uri=ABSENT_LIBVIRT)) as runtime:
        await refresh_known_hosts(runtime, sample_record())
        known_hosts = known_hosts_path(runtime.settings.state_dir, "lab")
        assert not known_hosts.exists(), "a node without a host key cannot be logged in to"
        await refresh_known_hosts(runtime, with_host_keys(sample_record(), tmp_path / "a"))
        before, inode = known_hosts.read_text(), known_hosts.stat().st_ino
        await refresh_known_hosts(runtime, with_host_keys(sample_record(), tmp_path / "a"))
        assert known_hosts.stat().st_ino == inode
        await refresh_known_hosts(runtime, with_host_keys(sample_record(), tmp_path / "b"))
        assert known_hosts.read_text() != before
