"""A network segment as clusters have it: a bridge, and nodes in namespaces whose taps are ends of veth pairs.

Everything goes through a command runner, so that a segment can be on this host or in a guest.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any, Literal

from reconciler.model.links import HOST, Port, Ports
from reconciler.process import RunCommand

BRIDGE = "seg0"
HOST_MAC = "52:00:00:00:00:01"
NETWORK = "10.99.0"

Kind = Literal["ipv4", "ipv6", "arp", "broadcast"]
KINDS: tuple[Kind, ...] = ("ipv4", "ipv6", "arp", "broadcast")
Pair = tuple[str, str]

_SCRIPTS = Path(__file__).parent


@dataclass(frozen=True)
class Arrival:
    """A datagram that arrived."""

    number: int
    sent_ns: int
    received_ns: int
    intact: bool

    @property
    def delay_ms(self) -> float:
        return (self.received_ns - self.sent_ns) / 1e6


@dataclass(frozen=True)
class Segment:
    """Nodes on one bridge, whose ports are called `vmc-NODE`."""

    nodes: tuple[str, ...]
    run: RunCommand
    python: str

    @property
    def ports(self) -> Ports:
        return Ports({node: Port(tap(node), mac(index)) for index, node in enumerate(self.nodes)}, host_mac=HOST_MAC)

    @property
    def pairs(self) -> frozenset[Pair]:
        """Every directed pair of nodes."""
        return frozenset(permutations(self.nodes, 2))

    async def heard(self) -> dict[Kind, frozenset[Pair]]:
        """The directed pairs with traffic, by kind of traffic; `@host` is one of the nodes."""
        about = {HOST: _about("", BRIDGE, 1, HOST_MAC)} | {
            node: _about(node, "eth0", index + 10, mac(index)) for index, node in enumerate(self.nodes)
        }
        shown: dict[Kind, list[Pair]] = await self._script("reach.py", json.dumps(about))
        return {kind: frozenset((sender, receiver) for sender, receiver in pairs) for kind, pairs in shown.items()}

    async def between_nodes(self) -> dict[Kind, frozenset[Pair]]:
        """As `heard`, without the host; fails if the host and a node do not receive each other's packets."""
        heard = await self.heard()
        host = {(HOST, node) for node in self.nodes} | {(node, HOST) for node in self.nodes}
        assert host <= heard["ipv4"], "the host and its nodes"
        return {kind: pairs & self.pairs for kind, pairs in heard.items()}

    async def stream(
        self,
        sender: str,
        receiver: str,
        *,
        packets: int,
        interval_s: float,
        payload_bytes: int = 64,
        wait_s: float = 0.5,
    ) -> list[Arrival]:
        """The packets of a paced stream that arrive, in order of arrival."""
        address = f"{NETWORK}.{self.nodes.index(receiver) + 10}"
        arguments = (sender, receiver, address, packets, interval_s, payload_bytes, wait_s)
        return [Arrival(*shown) for shown in await self._script("stream.py", *map(str, arguments))]

    async def _script(self, name: str, *arguments: str) -> Any:
        source = (_SCRIPTS / name).read_text()
        done = await self.run([self.python, "-c", source, *arguments], timeout_s=180)
        return json.loads(done.stdout)


@asynccontextmanager
async def segment(run: RunCommand, nodes: Sequence[str], python: str = sys.executable) -> AsyncIterator[Segment]:
    """A segment for the duration of the context."""
    made = Segment(tuple(nodes), run, python)
    await _remove(made)
    await run(["ip", "-batch", "-"], stdin=_batch(made).encode())
    await asyncio.gather(*(_furnish(made, index) for index in range(len(nodes))))
    try:
        yield made
    finally:
        await _remove(made)


def tap(node: str) -> str:
    """The host's end of a node's cable."""
    return f"vmc-{node}"


def mac(index: int) -> str:
    """The MAC address of the node with that index."""
    return f"52:aa:bb:cc:dd:{index + 16:02x}"


def _batch(made: Segment) -> str:
    lines = [f"link add {BRIDGE} address {HOST_MAC} type bridge", f"addr add {NETWORK}.1/24 dev {BRIDGE}"]
    lines += [f"addr add fe80::1:1/64 dev {BRIDGE} nodad", f"link set {BRIDGE} up"]
    for index, node in enumerate(made.nodes):
        lines += [
            f"netns add {node}",
            f"link add {tap(node)} type veth peer name eth0 address {mac(index)} netns {node}",
            f"link set {tap(node)} master {BRIDGE} up",
            *(f"neigh replace {to} lladdr {mac(index)} dev {BRIDGE} nud permanent" for to in _addresses(index + 10)),
        ]
    return "\n".join([*lines, ""])


async def _furnish(made: Segment, own: int) -> None:
    """Set a node's addresses and all others' permanently, so that nothing depends on ARP getting through."""
    lines = ["link set lo up", "link set eth0 up"]
    lines += [f"addr add {NETWORK}.{own + 10}/24 broadcast {NETWORK}.255 dev eth0"]
    lines += [f"addr add fe80::1:{own + 10}/64 dev eth0 nodad"]
    others = {1: HOST_MAC} | {index + 10: mac(index) for index in range(len(made.nodes)) if index != own}
    for number, address in others.items():
        lines += [f"neigh replace {to} lladdr {address} dev eth0 nud permanent" for to in _addresses(number)]
    await made.run(["ip", "-n", made.nodes[own], "-batch", "-"], stdin="\n".join([*lines, ""]).encode())


async def _remove(made: Segment) -> None:
    lines = [f"netns del {node}" for node in made.nodes] + [f"link del {tap(node)}" for node in made.nodes]
    await made.run(
        ["ip", "-force", "-batch", "-"], stdin="\n".join([*lines, f"link del {BRIDGE}", ""]).encode(), check=False
    )


def _addresses(number: int) -> tuple[str, str]:
    return f"{NETWORK}.{number}", f"fe80::1:{number}"


def _about(namespace: str, device: str, number: int, address: str) -> dict[str, str]:
    four, six = _addresses(number)
    return {
        "ns": namespace,
        "device": device,
        "ip": four,
        "link_local": six,
        "mac": address,
        "broadcast": f"{NETWORK}.255",
    }
