"""The first topology of a new user: short, with a comment where a choice is."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

import yaml

from reconciler.desired.host_checks import free_subnet
from reconciler.errors import InvalidArgument
from reconciler.model import names
from reconciler.model.topology import VirtType

_FIRST_NODE = 10
"""The host number of the first node's address."""
_OF_HOMES = IPv4Network("192.168.0.0/18")
"""Subnets that routers of homes and offices use are not proposed, even if this host is in none of them now."""

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/._-]+")
"""What is text in every version of YAML, but for words such as `yes`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterTopology:
    """What is chosen of a new topology; every node is alike."""

    name: str
    nodes: int = 3
    vcpus: int = 1
    memory_mb: int = 512
    image: str = names.BASE_IMAGE
    virt_type: VirtType = VirtType.AUTO


def proposed_name(file: Path) -> str:
    """The name of a cluster in a file of that name, with a dash for what a name cannot have."""
    stem = "".join(char if char.isascii() and char.isalnum() else "-" for char in file.stem.lower())
    return stem.strip("-")[: names.CLUSTER_NAME_MAX_LENGTH].strip("-") or "lab"


def is_cluster_name(text: str) -> bool:
    """Whether a cluster can have that name."""
    return len(text) <= names.CLUSTER_NAME_MAX_LENGTH and re.fullmatch(names.LABEL_PATTERN, text) is not None


def render_starter(chosen: StarterTopology, taken: Iterable[IPv4Network]) -> str:
    """The text of the topology, in a subnet that overlaps none that is taken.

    Raises `InvalidArgument` if there is none for that many nodes. What else cannot be is found by checking the text.
    """
    subnet = _subnet_for(chosen.nodes, taken)
    return "\n".join([*_head(chosen, subnet), *_nodes(chosen, subnet)]) + "\n"


def _head(chosen: StarterTopology, subnet: IPv4Network) -> list[str]:
    return [
        "# A topology of vmcluster. Change what you like, then:",
        "#   vmcluster plan FILE     shows what would be done",
        "#   vmcluster apply FILE    does it, and again after each edit",
        "",
        f"cluster_name: {_scalar(chosen.name)}",
        f"base_image: {_scalar(chosen.image)} # never written to: each node gets a layer of its own",
        f"virt_type: {chosen.virt_type.value} # kvm, qemu (emulated), or auto: KVM where it works",
        "",
        "network:",
        f"  name: {_scalar(f'net-{chosen.name}')}",
        f"  bridge: {_scalar(_bridge(chosen.name))} # is created on the host",
        f"  subnet: {subnet} # its first address is the host's",
        "  forward: nat # nodes reach the outside through the host; isolated: only the host and each other",
        "",
        "nodes:",
    ]


def _nodes(chosen: StarterTopology, subnet: IPv4Network) -> Iterable[str]:
    for index in range(chosen.nodes):
        yield f"  - name: n{index}"
        yield "    role: node # free text: `vmcluster inventory` makes groups of it" if index == 0 else "    role: node"
        yield f"    vcpus: {chosen.vcpus}"
        yield f"    memory_mb: {chosen.memory_mb}"
        yield f"    ip: {subnet[_FIRST_NODE + index]}"


def _subnet_for(nodes: int, taken: Iterable[IPv4Network]) -> IPv4Network:
    host_bits = max(8, (nodes + _FIRST_NODE).bit_length())
    like = IPv4Network((0, 32 - host_bits)) if host_bits <= 16 else None  # noqa: PLR2004  192.168.0.0/16
    subnet = free_subnet(like, [*taken, _OF_HOMES]) if like else None
    if subnet is None:
        raise InvalidArgument(
            f"no free subnet in 192.168.0.0/16 has room for {nodes} nodes",
            hint="ask for fewer nodes, and add the others by hand with a subnet of your own",
        )
    return subnet


def _bridge(cluster: str) -> str:
    """A name of at most 15 characters that other clusters hardly have."""
    whole = f"virbr-{cluster}"
    if len(whole) <= names.INTERFACE_NAME_MAX_LENGTH:
        return whole
    return f"virbr-{hashlib.sha256(cluster.encode()).hexdigest()}"[: names.INTERFACE_NAME_MAX_LENGTH]


def _scalar(text: str) -> str:
    """The text as YAML reads it back: quoted where it would be read as something else."""
    return text if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text else json.dumps(text, ensure_ascii=False)
