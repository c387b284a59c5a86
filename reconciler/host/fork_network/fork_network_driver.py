"""Reads and sets the host's own address in the network of a fork."""

from ipaddress import IPv4Address
from pathlib import Path

from reconciler import process
from reconciler.errors import Conflict, OperationFailed
from reconciler.host import tap
from reconciler.host.fork_network.fork_network_codec import (
    parse_host_address,
    parse_other_owners,
    parse_own_addresses,
    render_fork_question,
    render_joining,
    render_owner_question,
    render_rule,
    render_rule_removal,
)
from reconciler.model import names
from reconciler.model.document import HostAddress
from reconciler.model.record import NetworkSpec
from reconciler.process import RunCommand

_IP = ("ip", "-batch", "-")
_APART = {"forwarding": "0", "rp_filter": "1", "arp_ignore": "1"}
"""What keeps a fork to itself: the host passes nothing on from its bridge, accepts only what can be an answer to what
was sent from its address there, and does not say that it has the gateway's, which it may have on another bridge."""
_IPV4 = Path("/proc/sys/net/ipv4/conf")


async def observe_host_address(network: NetworkSpec, run: RunCommand = process.run) -> HostAddress | None:
    """The host's address in the network of a fork; None in any other network, or if there is nothing of it.

    Raises `OperationFailed` if it cannot be read.
    """
    if network.host_address is None:
        return None
    address, bridge = str(network.host_address), network.bridge
    question = render_fork_question(address, bridge)
    # -force: a table without routes and a bridge that is not there are errors, and the rest is shown all the same.
    shown = await run(["ip", "-json", "-force", "-batch", "-"], stdin=question.encode(), check=False)
    try:
        return parse_host_address(shown.stdout, address, str(network.subnet), bridge)
    except ValueError as error:
        raise OperationFailed(f"the host's address on {bridge} could not be read: {error}") from error


async def join_network(bridge: str, want: HostAddress, run: RunCommand = process.run) -> None:
    """Give the host its address on a fork's bridge. Killed anywhere, it is finished when it is called again.

    Raises `Conflict` if the host has that address in another network.
    """
    if others := await other_owners(want.address, bridge, run):
        raise Conflict(
            f"{want.address} is already the host's address on {', '.join(others)}",
            hint="destroy the fork, and fork again",
        )
    for name, value in _APART.items():
        _set(_IPV4 / bridge / name, value)
    await _remove_rule(want.address, run)
    await run(_IP, stdin=render_rule(want.address).encode())
    await run(_IP, stdin=render_joining(bridge, want).encode())


async def leave_network(cluster: str, address: IPv4Address | None, run: RunCommand = process.run) -> None:
    """Remove what does not go with a fork's bridge, also where no record says which address it is.

    What another fork has the address of stays: that one's connections depend on it.
    """
    bridge = names.fork_bridge(cluster)
    found = {str(address)} if address is not None else set()
    if tap.tap_exists(bridge):
        shown = await run(["ip", "-json", "address", "show", "dev", bridge], check=False)
        found.update(parse_own_addresses(shown.stdout))
    for own in sorted(found):
        if not any(of.startswith(names.FORK_PREFIX) for of in await other_owners(own, bridge, run)):
            await _remove_rule(own, run)


async def other_owners(address: str, bridge: str, run: RunCommand = process.run) -> list[str]:
    """The interfaces other than `bridge` at which the host has an address, or would have it again."""
    question = render_owner_question(address)
    shown = await run(["ip", "-json", "-force", "-batch", "-"], stdin=question.encode(), check=False)
    return parse_other_owners(shown.stdout, bridge)


async def _remove_rule(address: str, run: RunCommand) -> None:
    await run(["ip", "-force", "-batch", "-"], stdin=render_rule_removal(address).encode(), check=False)


def _set(path: Path, value: str) -> None:
    try:
        path.write_text(value)
    except OSError as error:
        raise OperationFailed(f"cannot write {path}: {error.strerror}", hint="run as root") from error
