"""Cuts through `nft`."""

from collections.abc import Callable
from datetime import datetime

from reconciler.errors import HostCommandFailed
from reconciler.host.capabilities import Capabilities
from reconciler.host.features import NFT_BRIDGE
from reconciler.host.firewall.firewall_interface import FoundCuts
from reconciler.host.firewall.nftables_codec import (
    clusters_in,
    parse_table,
    parse_table_listing,
    render_transaction,
    table_name,
)
from reconciler.host.netlink.dump import Kernel
from reconciler.host.shared_observation import SharedObservation
from reconciler.model.links import FirewallState
from reconciler.process import RunCommand, replay_line

_NOTHING = (b"Error: No such file or directory", b"Protocol not supported", b"Operation not supported")
"""What nft 1.0.6 prints for a missing table, and on a kernel without nftables, or without it for bridges."""


class Nftables:
    """A `Firewall`: frames of every kind are cut, ARP and broadcast included."""

    def __init__(
        self,
        run: RunCommand,
        capabilities: Capabilities,
        now: Callable[[], datetime],
        kernel: Kernel | None = None,
    ) -> None:
        self._run = run
        self._capabilities = capabilities
        self._now = now
        self._kernel = kernel
        self._clusters = SharedObservation(self._list_clusters)

    async def refusal(self) -> str | None:
        return await self._capabilities.complaint(NFT_BRIDGE)

    async def observe(self, cluster: str) -> FoundCuts:
        if cluster not in await self._clusters():
            return FoundCuts()
        listed = await self._list("-j", "list", "table", "bridge", table_name(cluster))
        return FoundCuts() if listed is None else FoundCuts(parse_table(listed, self._now()))

    async def apply(self, cluster: str, wanted: FirewallState, found: FoundCuts) -> None:
        transaction = render_transaction(cluster, wanted, self._now())
        await self._run(["nft", "-f", "-"], stdin=transaction.encode())

    async def _list_clusters(self) -> frozenset[str]:
        if self._kernel is not None and (tables := self._kernel.bridge_tables()) is not None:
            return clusters_in(tables)
        listed = await self._list("list", "tables", "bridge")
        return frozenset() if listed is None else frozenset(parse_table_listing(listed))

    async def _list(self, *arguments: str) -> bytes | None:
        """What nft lists; None if it says that there is no such thing, or that the kernel does not support it."""
        done = await self._run(["nft", *arguments], check=False)
        if done.exit_code == 0:
            return done.stdout
        if any(words in done.stderr for words in _NOTHING):
            return None
        complaint = done.stderr.decode(errors="replace").strip()
        raise HostCommandFailed(f"exit code {done.exit_code} from: {replay_line(done.argv)}\n{complaint}")
