"""The text of a node's NoCloud seed, and the digest that tells whether it must be written again. Pure.

Facts about cloud-init are from 22.4 (Debian 12) and hold for later versions: a seed needs `meta-data` and
`user-data`; with host keys in `ssh_keys` none are generated; `bootcmd` runs at every boot, everything else once per
instance id.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

import yaml

from reconciler.host.cloud_init.cloud_config import required_values, with_login
from reconciler.host.cloud_init.etc_hosts import MERGE_HOSTS

SEED_VERSION = 2
"""Part of every digest: incremented when the text that we render changes, so that seeds are written again."""

VOLUME_LABEL = "cidata"
HOSTS_FILE = "hosts"

_CARD = "eth0"

# `mount` fails if the seed was removed: the guest then boots with the file it has.
_UPDATE_HOSTS = f"""mkdir -p /run/vmcluster-seed
if mount -o ro LABEL={VOLUME_LABEL} /run/vmcluster-seed; then
{{ {MERGE_HOSTS}
}} </run/vmcluster-seed/{HOSTS_FILE}
umount /run/vmcluster-seed
fi"""

GROW_ROOT = """if ! command -v growpart >/dev/null; then
part=/sys/dev/block/$(mountpoint -d /)
if number=$(cat $part/partition); then
disk=$(readlink -f $part/..)
end=$(($(cat $part/start) + $(cat $part/size)))
if [ $((end + 2048)) -lt $(cat $disk/size) ]; then
echo ', +' | sfdisk --force --no-reread --no-tell-kernel -N $number /dev/${disk##*/}
partx --update --nr $number /dev/${disk##*/}
fi
fi
name=$(readlink -f $part)
resize2fs /dev/${name##*/}
fi"""
"""Shell commands for every boot, so that a guest uses a root disk that is larger than the image.

Most images bring growpart(1), which cloud-init runs at every boot. Without it, sfdisk(8) and partx(8) of util-linux
do the same, and only if more than a MiB of the disk follows the last partition.
"""


@dataclass(frozen=True, slots=True)
class SeedInputs:
    """Everything that a node's seed contains, except the host key; `hosts` are our lines of /etc/hosts.

    `grows` says that the root disk is larger than its image.
    `gateway` is None if the network is isolated: the guest then has no default route and no name server. `mtu` is None
    where packets have the usual size.
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
    grows: bool = False
    mtu: int | None = None


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


def seed_digest(inputs: SeedInputs, hosts_digest: str) -> str:
    """The mark of a seed made from `inputs`; `hosts_digest` replaces `inputs.hosts`, which is large."""
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
        inputs.grows,
        *([] if inputs.mtu is None else [inputs.mtu]),
    )
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()


def render_seed(inputs: SeedInputs, host_key_private: str, host_key_public: str) -> SeedFiles:
    """The seed's files, for any `user_data`: impossible values were refused when the topology was read."""
    ours = _our_cloud_config(inputs, host_key_private, host_key_public)
    required = required_values(inputs.node, inputs.ssh_user)
    merged = with_login(ours, inputs.user_data, required, inputs.ssh_user, inputs.ssh_public_key)
    return SeedFiles(
        meta_data=_yaml({"instance-id": inputs.instance_id, "local-hostname": inputs.node}),
        user_data="#cloud-config\n" + _yaml(merged),
        network_config=_yaml(_network_config(inputs)),
        hosts=inputs.hosts,
    )


def parse_host_key(user_data: str) -> tuple[str, str]:
    """The private and the public host key in a seed's user-data; raises `ValueError` if it has none."""
    try:
        keys = yaml.safe_load(user_data)["ssh_keys"]
        return str(keys["ed25519_private"]), str(keys["ed25519_public"])
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ValueError("the seed contains no host key") from error


def _our_cloud_config(inputs: SeedInputs, host_key_private: str, host_key_public: str) -> dict[str, Any]:
    return {
        **required_values(inputs.node, inputs.ssh_user),
        "ssh_pwauth": False,
        "ssh_keys": {"ed25519_private": host_key_private, "ed25519_public": host_key_public},
        **_login(inputs.ssh_user, inputs.ssh_public_key),
        "bootcmd": [_UPDATE_HOSTS, *([GROW_ROOT] if inputs.grows else [])],
    }


def _login(user: str, public_key: str) -> dict[str, Any]:
    """The keys that let `user` in; setting `users` omits the image's own default user."""
    if user == "root":
        return {"users": [], "ssh_authorized_keys": [public_key]}
    account = {
        "name": user,
        "shell": "/bin/bash",
        "lock_passwd": True,
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "ssh_authorized_keys": [public_key],
    }
    return {"users": [account]}


def _network_config(inputs: SeedInputs) -> dict[str, Any]:
    """Version 2, with the card matched by its MAC address and given a name.

    Before 22.3 cloud-init used the key here as its name (<https://github.com/canonical/cloud-init/issues/3516>).
    The default route is written out because not every renderer of cloud-init 22.4 knows `to: default`. Without
    `accept-ra: false` a guest can wait for a router advertisement that never comes.
    """
    card: dict[str, Any] = {
        "match": {"macaddress": inputs.mac},
        "set-name": _CARD,
        "dhcp4": False,
        "dhcp6": False,
        "accept-ra": False,
        "addresses": [f"{inputs.ip}/{inputs.prefix_length}"],
    }
    if inputs.mtu is not None:
        card["mtu"] = inputs.mtu
    if inputs.gateway is not None:
        card["routes"] = [{"to": "0.0.0.0/0", "via": str(inputs.gateway)}]
        card["nameservers"] = {"addresses": [str(inputs.gateway)]}
    return {"version": 2, "ethernets": {_CARD: card}}


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Block style, with multi-line text written as it is read."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
