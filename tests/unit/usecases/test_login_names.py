"""Logins for other programs: what the real ssh and the real Ansible make of them."""

import json
import os
import shlex
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.errors import ClusterNotFound, SshError
from reconciler.model.record import ClusterRecord
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.usecases.ansible_inventory import (
    inventory_as_data,
    inventory_as_ini,
    inventory_as_yaml,
    variables_of,
)
from reconciler.usecases.login_names import NamedLogins, named_logins, render_ssh_config
from tests.unit.store.samples import sample_record
from tests.unit.usecases.test_login import ABSENT_LIBVIRT, with_host_keys

ODD = """a b %h 100% 'c' "d" \\ $HOME ~ #e"""


@pytest.fixture
async def runtime(tmp_path: Path) -> Any:
    async with Runtime(Settings(state_dir=tmp_path / "state", libvirt_uri=ABSENT_LIBVIRT)) as runtime:
        yield runtime


async def make(runtime: Runtime, directory: Path, name: str, *nodes: str, role: str = "worker") -> ClusterRecord:
    """A cluster with host keys, and a login key in a directory with an odd name."""
    record = sample_record(name)
    key = directory / ODD / "key"
    key.parent.mkdir(exist_ok=True)
    key.touch(mode=0o600)
    one = record.spec.nodes["alpha"].model_copy(update={"role": role})
    spec = record.spec.model_copy(
        update={
            "nodes": dict.fromkeys(nodes, one) or record.spec.nodes,
            "ssh": record.spec.ssh.model_copy(update={"key_path": key}),
        }
    )
    intents = dict.fromkeys(spec.nodes, record.nodes["alpha"])
    made = with_host_keys(record.model_copy(update={"spec": spec, "nodes": intents}), directory)
    return await runtime.store.put(made, expected_generation=0, actor="test")


def as_ssh_reads_it(logins: NamedLogins, directory: Path, host: str) -> dict[str, str]:
    config = directory / "config"
    config.write_text(render_ssh_config(logins))
    done = subprocess.run(["ssh", "-G", "-F", str(config), host], capture_output=True, text=True, check=True)
    return dict(line.partition(" ")[::2] for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", ["lab-alpha", "lab.alpha"])
async def test_ssh_finds_a_node_by_either_name(runtime: Runtime, tmp_path: Path, name: str) -> None:
    record = await make(runtime, tmp_path, "lab")
    found = as_ssh_reads_it(await named_logins(runtime, ["lab"]), tmp_path, name)
    assert (found["hostname"], found["user"], found["port"]) == ("192.168.77.11", "root", "22")
    assert found["stricthostkeychecking"] == "true"
    assert found["identityfile"].replace("%%", "%") == str(record.spec.ssh.key_path)
    known_hosts = tmp_path / "state" / "known_hosts" / "lab"
    assert found["userknownhostsfile"] == str(known_hosts)
    assert len(known_hosts.read_text().splitlines()) == 2


async def test_ssh_and_ansible_reach_the_nodes_of_a_fork_and_not_those_with_the_same_addresses(
    runtime: Runtime, tmp_path: Path
) -> None:
    record = await make(runtime, tmp_path, "fork")
    network = record.spec.network.model_copy(update={"host_address": IPv4Address("192.168.77.254")})
    record = record.model_copy(update={"spec": record.spec.model_copy(update={"network": network})})
    await runtime.store.put(record, expected_generation=record.generation, actor="test")
    logins = await named_logins(runtime, ["fork"])
    found = as_ssh_reads_it(logins, tmp_path, "fork-alpha")
    assert found["bindaddress"] == "192.168.77.254"
    assert f" {network.bridge} 192.168.77.254 " in found["proxycommand"], "whatever the routes say"
    assert found["proxyusefdpass"] == "yes"
    words = shlex.split(variables_of(logins, "fork-alpha")["ansible_ssh_common_args"])
    assert "BindAddress=192.168.77.254" in words
    assert f"ProxyCommand={found['proxycommand']}" in words


async def test_a_name_that_two_nodes_would_have_stays_with_neither(runtime: Runtime, tmp_path: Path) -> None:
    await make(runtime, tmp_path, "a", "b-c", "d")
    await make(runtime, tmp_path, "a-b", "c")
    logins = await named_logins(runtime)
    assert [login.names for login in logins] == [("a.b-c",), ("a-d", "a.d"), ("a-b.c",)]
    assert [login.names for login in await named_logins(runtime, ["a-b"])] == [("a-b.c",)]


async def test_a_cluster_without_a_key_is_left_out_with_the_reason_unless_it_is_named(
    runtime: Runtime, tmp_path: Path
) -> None:
    await make(runtime, tmp_path, "lab")
    await runtime.store.put(sample_record("keyless"), expected_generation=0, actor="test")
    logins = await named_logins(runtime)
    assert list(logins.by_cluster) == ["lab"]
    assert "the SSH key of cluster 'keyless', /etc/key, is not there" in logins.left_out["keyless"]
    with pytest.raises(SshError, match="/etc/key"):
        await named_logins(runtime, ["keyless"])
    with pytest.raises(ClusterNotFound):
        await named_logins(runtime, ["nope"])


async def test_ansible_reads_the_same_from_every_form(runtime: Runtime, tmp_path: Path) -> None:
    record = await make(runtime, tmp_path, "lab-1", "n0", "n1", role="42")
    logins = await named_logins(runtime)
    data = inventory_as_data(logins)
    script = tmp_path / "inventory.sh"
    (tmp_path / "data.json").write_text(json.dumps(data))
    script.write_text(f"#!/bin/sh\nexec cat '{tmp_path}/data.json'\n")
    script.chmod(0o755)
    (tmp_path / "hosts.yaml").write_text(yaml.safe_dump(inventory_as_yaml(logins)))
    (tmp_path / "hosts.ini").write_text(inventory_as_ini(logins))
    read = [as_ansible_reads_it(tmp_path / name) for name in ("inventory.sh", "hosts.yaml", "hosts.ini")]
    assert read[0] == read[1] == read[2]
    variables = read[0]["_meta"]["hostvars"]["lab-1-n1"]
    assert variables == variables_of(logins, "lab-1-n1")
    assert (variables["ansible_host"], variables["vmcluster_role"]) == ("192.168.77.11", "42")
    assert variables["ansible_ssh_private_key_file"] == str(record.spec.ssh.key_path)
    assert read[0]["cluster_lab_1"]["hosts"] == read[0]["role_42"]["hosts"] == ["lab-1-n0", "lab-1-n1"]
    assert variables_of(logins, "nope") == {}


def as_ansible_reads_it(inventory: Path) -> Any:
    program = Path(sys.executable).with_name("ansible-inventory")
    done = subprocess.run(
        [program, "-i", inventory, "--list"],
        capture_output=True,
        text=True,
        check=True,
        cwd=inventory.parent,
        env={**os.environ, "ANSIBLE_HOME": str(inventory.parent / "ansible")},
    )
    assert done.stderr == ""
    return json.loads(done.stdout)
