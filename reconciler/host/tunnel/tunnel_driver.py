"""Reads and sets the tunnel of a cluster's network on this host."""

from ipaddress import IPv4Network

from reconciler import process
from reconciler.concurrency import together
from reconciler.errors import Conflict, HostCommandFailed, OperationFailed
from reconciler.host import tap
from reconciler.host.capabilities import Capabilities
from reconciler.host.features import VXLAN
from reconciler.host.fork_network.fork_network_driver import other_owners
from reconciler.host.netlink.dump import Kernel
from reconciler.host.tunnel.tunnel_codec import (
    FoundTunnel,
    is_other_port,
    parse_tunnel,
    render_creation,
    render_guard,
    render_own_address,
    render_peers,
    render_plugging,
    render_question,
    render_removal,
    subnet_of,
)
from reconciler.model import names
from reconciler.model.document import Network, Tunnel
from reconciler.process import RunCommand

_IP = ("ip", "-batch", "-")
_BRIDGE = ("bridge", "-batch", "-")


async def observe_tunnel(
    cluster: str, bridge: str, subnet: IPv4Network, run: RunCommand = process.run
) -> Tunnel | None:
    """The tunnel of a network with that bridge; no program is started if there is no interface of that name.

    Raises `Conflict` if it is not our own, `OperationFailed` and `HostCommandFailed` if it cannot be read.
    """
    found = await _look(cluster, bridge, subnet, run)
    if found is None:
        return None
    if found.tunnel is None:
        raise Conflict(
            f"an interface named {names.tunnel_name(cluster)!r} exists and was not created by vmcluster",
            hint=f"remove it (`ip link delete {names.tunnel_name(cluster)}`)",
        )
    return found.tunnel


async def set_tunnel(cluster: str, network: Network, run: RunCommand = process.run) -> None:
    """Make the tunnel of a network as it should be, whatever is there; without one, remove it.

    Nothing passes before everything is in place. Killed anywhere, it is finished when it is called again. Raises
    `HostCapabilityMissing` for a kernel without VXLAN, `Conflict` if the host has its address elsewhere, as in a
    fork of the cluster, and what `observe_tunnel` raises.
    """
    want, have = network.tunnel, await observe_tunnel(cluster, network.bridge, subnet_of(network), run)
    if want is None:
        if have is not None:
            await _give_up_address(network, have, run)
            await remove_tunnel(cluster, run)
        return
    await _require_free(want, network.bridge, run)
    if have is not None and is_other_port(have, want):
        await _ip(render_removal(cluster), run)
        have = None
    if have is None:
        await _create(cluster, want, run)
    await _bridge(render_peers(cluster, have.peers if have else (), want.peers), run)
    if have is None or have.gateway != want.gateway:
        await _nft(render_guard(cluster, want.gateway, _tables()), run)
    await _ip(render_plugging(cluster, network, want), run)
    there = await observe_tunnel(cluster, network.bridge, subnet_of(network), run)
    await _ip(render_own_address(network, None if there is None else there.own_address, want.own_address), run)


async def _require_free(want: Tunnel, bridge: str, run: RunCommand) -> None:
    if want.own_address is not None and (others := await other_owners(want.own_address, bridge, run)):
        raise Conflict(
            f"{want.own_address} is already the host's address on {', '.join(others)}",
            hint="destroy the fork that has this address, and fork again",
        )


async def remove_tunnel(cluster: str, run: RunCommand = process.run) -> None:
    """Remove the port and what belongs to it, by our marks alone; the port last, as it is what a later look finds."""
    there = tap.tap_exists(names.tunnel_name(cluster))
    tables = _tables() if there else Kernel().bridge_tables() or frozenset()  # a port may be gone before its table
    await _nft(render_guard(cluster, None, tables), run)
    if there:
        await _ip(render_removal(cluster), run)


async def _create(cluster: str, want: Tunnel, run: RunCommand) -> None:
    try:
        await _ip(render_creation(cluster, want), run)
    except HostCommandFailed:
        await Capabilities(run).demand(VXLAN)  # whose error names the module
        raise


async def _give_up_address(network: Network, have: Tunnel, run: RunCommand) -> None:
    if have.own_address is not None:
        await _ip(render_own_address(network, have.own_address, None), run)


async def _look(cluster: str, bridge: str, subnet: IPv4Network, run: RunCommand) -> FoundTunnel | None:
    name = names.tunnel_name(cluster)
    if not tap.tap_exists(name):
        return None
    shown, forwarding = await together(
        # -force: without a bridge there are no routes to show, and the port is shown all the same.
        run(
            ["ip", "-json", "-details", "-force", "-batch", "-"],
            stdin=render_question(cluster, bridge).encode(),
            check=False,
        ),
        run(["bridge", "-json", "fdb", "show", "dev", name], check=False),
    )
    try:
        return parse_tunnel(cluster, shown.stdout, forwarding.stdout, _tables(), subnet)
    except ValueError as error:
        if not tap.tap_exists(name):
            return None
        raise OperationFailed(f"the tunnel {name} could not be read: {error}") from error


def _tables() -> frozenset[str]:
    tables = Kernel().bridge_tables()
    if tables is None:
        raise OperationFailed("the kernel does not show its nftables: run as root")
    return tables


async def _ip(batch: str, run: RunCommand) -> None:
    if batch:
        await run(_IP, stdin=batch.encode())


async def _bridge(batch: str, run: RunCommand) -> None:
    if batch:
        await run(_BRIDGE, stdin=batch.encode())


async def _nft(text: str, run: RunCommand) -> None:
    if text:
        await run(["nft", "-f", "-"], stdin=text.encode())
