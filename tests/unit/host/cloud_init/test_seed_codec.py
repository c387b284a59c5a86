from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.host.cloud_init.cloud_config import required_values, shape_problems, value_problems
from reconciler.host.cloud_init.etc_hosts import render_hosts
from reconciler.host.cloud_init.seed_codec import SeedInputs, parse_host_key, render_seed, seed_digest

GOLDEN = Path(__file__).parent / "golden"
PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nbm90IGEga2V5\n-----END OPENSSH PRIVATE KEY-----\n"
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 n1.demo"
NODES = {"n2": IPv4Address("192.168.100.11"), "n1": IPv4Address("192.168.100.9")}

ROOT_ON_NAT = SeedInputs(
    cluster_name="demo",
    node="n1",
    instance_id="6f1a3a5e-r0",
    mac="52:11:22:33:44:55",
    ip=IPv4Address("192.168.100.9"),
    prefix_length=24,
    gateway=IPv4Address("192.168.100.1"),
    hosts=render_hosts(NODES, "demo"),
    ssh_user="root",
    ssh_public_key="ssh-ed25519 AAAAclient user@host",
)
USER_ISOLATED = replace(
    ROOT_ON_NAT,
    gateway=None,
    ssh_user="tester",
    user_data={
        "bootcmd": [["modprobe", "loop"]],
        "users": ["default"],
        "ssh_pwauth": True,
        "write_files": [{"path": "/etc/motd", "content": "one\ntwo\n"}],
    },
)


@pytest.mark.parametrize(("name", "inputs"), [("root-nat", ROOT_ON_NAT), ("user-isolated", USER_ISOLATED)])
def test_a_seed_is_rendered_to_the_letter(name: str, inputs: SeedInputs) -> None:
    rendered = render_seed(inputs, PRIVATE, PUBLIC).by_name()
    expected = {path.name: path.read_text() for path in (GOLDEN / name).iterdir()}
    assert rendered == expected


def test_the_host_key_is_read_back_from_the_user_data() -> None:
    assert parse_host_key(render_seed(ROOT_ON_NAT, PRIVATE, PUBLIC).user_data) == (PRIVATE, PUBLIC)


@pytest.mark.parametrize("text", ["", "#cloud-config\n{}\n", "- 1", "ssh_keys: 1", "ssh_keys: {}", "{", "\t"])
def test_user_data_without_a_host_key_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="no host key"):
        parse_host_key(text)


@pytest.mark.parametrize(
    "change",
    [
        {"instance_id": "other"},
        {"mac": "52:00:00:00:00:01"},
        {"ip": IPv4Address("192.168.100.12")},
        {"prefix_length": 25},
        {"gateway": None},
        {"ssh_user": "tester"},
        {"ssh_public_key": "ssh-ed25519 other"},
        {"user_data": {"runcmd": ["true"]}},
        {"node": "n2"},
        {"cluster_name": "other"},
    ],
)
def test_the_digest_changes_with_whatever_the_seed_says(change: dict[str, Any]) -> None:
    assert seed_digest(replace(ROOT_ON_NAT, **change), "h") != seed_digest(ROOT_ON_NAT, "h")


def test_the_digest_changes_with_the_hosts_and_with_nothing_else() -> None:
    assert seed_digest(ROOT_ON_NAT, "h") != seed_digest(ROOT_ON_NAT, "other")
    reordered = replace(ROOT_ON_NAT, user_data={"b": 1, "a": 2})
    assert seed_digest(reordered, "h") == seed_digest(replace(reordered, user_data={"a": 2, "b": 1}), "h")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["users", "user", "bootcmd", "ssh_authorized_keys", "hostname", "network", "ssh_keys", "runcmd"])
user_data = st.dictionaries(keys | st.text(max_size=8), values, max_size=4)


@given(user_data, st.sampled_from(["root", "tester"]))
def test_any_user_data_makes_a_seed_that_lets_us_in(user_data: dict[str, Any], ssh_user: str) -> None:
    inputs = replace(ROOT_ON_NAT, user_data=user_data, ssh_user=ssh_user)
    rendered = yaml.safe_load(render_seed(inputs, PRIVATE, PUBLIC).user_data)
    required = required_values("n1", ssh_user)
    assert rendered.items() >= required.items()
    assert rendered["ssh_keys"] == {"ed25519_private": PRIVATE, "ed25519_public": PUBLIC}
    assert inputs.ssh_public_key in str(rendered["ssh_authorized_keys" if ssh_user == "root" else "users"])
    assert "network" not in rendered
    if not [*shape_problems(user_data, ssh_user), *value_problems(user_data, required)]:
        taken_up = {"users", "user", "bootcmd", "ssh_authorized_keys", *required}
        assert rendered.items() >= {key: of for key, of in user_data.items() if key not in taken_up and of}.items()
