"""The text of a node's NoCloud seed, and the digest that says whether it has to be written again. Pure.

Facts about cloud-init are from 22.4 (Debian 12) and hold for later versions: a seed needs `meta-data` and
`user-data`; host keys in `ssh_keys` are taken as they are and none is generated; `bootcmd` runs at every boot,
everything else once per instance id.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

import yaml

from reconciler.errors import InvalidArgument

SEED_VERSION = 1
"""Part of every digest: raised when the text that we render changes, so that seeds are written again."""

VOLUME_LABEL = "cidata"
HOSTS_FILE = "hosts"

PROTECTED_KEYS = {
    "hostname": "the node's name is its host name",
    "preserve_hostname": "the node's name is its host name",
    "manage_etc_hosts": "/etc/hosts lists the cluster's nodes",
    "network": "the node's address is `ip`",
    "ssh_keys": "host keys are made and verified by the system",
    "ssh_deletekeys": "host keys are made and verified by the system",
    "disable_root": "the system logs in as `ssh.user`",
}
"""Top-level cloud-config keys that a user cannot set, with the reason: without ours no login would be possible."""

_LISTS = ("bootcmd", "ssh_authorized_keys", "users")

# `mount` fails where the seed was taken away: the guest then boots with the file it has.
_UPDATE_HOSTS = (
    "mkdir -p /run/vmcluster-seed; "
    f"if mount -o ro LABEL={VOLUME_LABEL} /run/vmcluster-seed; then "
    f"cat /run/vmcluster-seed/{HOSTS_FILE} > /etc/hosts; umount /run/vmcluster-seed; fi"
)


@dataclass(frozen=True, slots=True)
class SeedInputs:
    """Everything that a node's seed says, the host key excepted; `hosts` is the whole text of /etc/hosts.

    `gateway` is None where the network leads nowhere: the guest then has no default route and no name server.
    """

    cluster_name: str
    node: str
    instance_id: str
    mac: str
    ip: IPv4Address
    prefix_length: int
    gateway: IPv4Address | None
    hosts: str
    ssh_user: str
    ssh_public_key: str
    user_data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SeedFiles:
    """The files of a seed, as text."""

    meta_data: str
    user_data: str
    network_config: str
    hosts: str

    def by_name(self) -> dict[str, str]:
        """The files under the names that NoCloud looks for, and `hosts`."""
        return {
            "meta-data": self.meta_data,
            "user-data": self.user_data,
            "network-config": self.network_config,
            HOSTS_FILE: self.hosts,
        }


def render_hosts(nodes: Mapping[str, IPv4Address], cluster: str) -> str:
    """The /etc/hosts that all nodes of a cluster share; the order of `nodes` does not matter."""
    by_address = sorted(nodes.items(), key=lambda node: (int(node[1]), node[0]))
    lines = [
        f"# The nodes of cluster {cluster}; written again at every boot.",
        "127.0.0.1 localhost",
        "::1 localhost ip6-localhost ip6-loopback",
        *(f"{ip} {name}" for name, ip in by_address),
    ]
    return "\n".join(lines) + "\n"


def seed_digest(inputs: SeedInputs, hosts_digest: str) -> str:
    """What a seed made from `inputs` is marked with; `hosts_digest` stands for `inputs.hosts`, which is large."""
    asked = (
        SEED_VERSION,
        inputs.cluster_name,
        inputs.node,
        inputs.instance_id,
        inputs.mac,
        str(inputs.ip),
        inputs.prefix_length,
        str(inputs.gateway),
        hosts_digest,
        inputs.ssh_user,
        inputs.ssh_public_key,
        inputs.user_data,
    )
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()


def user_data_problems(user_data: Mapping[str, Any]) -> dict[str, str]:
    """What stands against merging a user's cloud-config into ours: top-level key -> reason."""
    problems = {key: reason for key, reason in PROTECTED_KEYS.items() if key in user_data}
    not_lists = {
        key: "must be a list" for key in _LISTS if key in user_data and not isinstance(user_data[key], list | tuple)
    }
    return problems | not_lists


def render_seed(inputs: SeedInputs, host_key_private: str, host_key_public: str) -> SeedFiles:
    """The seed's files. Raises `InvalidArgument` where `user_data` asks for what it cannot have."""
    problems = user_data_problems(inputs.user_data)
    if problems:
        listed = "; ".join(f"{key}: {reason}" for key, reason in problems.items())
        raise InvalidArgument(f"user_data cannot be merged: {listed}", node=inputs.node, hint="remove those keys")
    ours = _our_cloud_config(inputs, host_key_private, host_key_public)
    return SeedFiles(
        meta_data=_yaml({"instance-id": inputs.instance_id, "local-hostname": inputs.node}),
        user_data="#cloud-config\n" + _yaml(merge(ours, inputs.user_data)),
        network_config=_yaml(_network_config(inputs)),
        hosts=inputs.hosts,
    )


def parse_host_key(user_data: str) -> tuple[str, str]:
    """The private and the public host key in a seed's user-data; raises `ValueError` where it has none."""
    try:
        keys = yaml.safe_load(user_data)["ssh_keys"]
        return str(keys["ed25519_private"]), str(keys["ed25519_public"])
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ValueError("the seed carries no host key") from error


def merge(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """`theirs` laid over `ours`: mappings are merged, lists appended to ours, everything else is theirs."""
    merged = dict(ours)
    for key, value in theirs.items():
        mine = merged.get(key)
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(mine, value)
        elif isinstance(mine, list) and isinstance(value, list | tuple):
            merged[key] = [*mine, *value]
        else:
            merged[key] = value
    return merged


def _our_cloud_config(inputs: SeedInputs, host_key_private: str, host_key_public: str) -> dict[str, Any]:
    return {
        "hostname": inputs.node,
        "preserve_hostname": False,
        "manage_etc_hosts": False,
        "ssh_pwauth": False,
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": host_key_private, "ed25519_public": host_key_public},
        **_login(inputs.ssh_user, inputs.ssh_public_key),
        "bootcmd": [_UPDATE_HOSTS],
    }


def _login(user: str, public_key: str) -> dict[str, Any]:
    """The keys that let `user` in; naming `users` leaves out the image's own default user."""
    if user == "root":
        return {"disable_root": False, "users": [], "ssh_authorized_keys": [public_key]}
    account = {
        "name": user,
        "shell": "/bin/bash",
        "lock_passwd": True,
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "ssh_authorized_keys": [public_key],
    }
    return {"users": [account]}


def _network_config(inputs: SeedInputs) -> dict[str, Any]:
    """Version 2; the card is found by its address and keeps its name.

    The default route is spelled out because not every renderer of cloud-init 22.4 knows `to: default`. Without
    `accept-ra: false` a guest can wait for a router's advertisement that never comes.
    """
    card: dict[str, Any] = {
        "match": {"macaddress": inputs.mac},
        "dhcp4": False,
        "dhcp6": False,
        "accept-ra": False,
        "addresses": [f"{inputs.ip}/{inputs.prefix_length}"],
    }
    if inputs.gateway is not None:
        card["routes"] = [{"to": "0.0.0.0/0", "via": str(inputs.gateway)}]
        card["nameservers"] = {"addresses": [str(inputs.gateway)]}
    return {"version": 2, "ethernets": {"cluster": card}}


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Block style, and text of several lines as it is read."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
