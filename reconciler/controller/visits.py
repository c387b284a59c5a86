"""Lets this host into the networks of clusters that have no nodes here, so that their nodes can be used from here."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable

from reconciler.controller.inline_controller import Controller
from reconciler.controller.leavers import Leavers
from reconciler.desired.tunnels import addresses_for_visitors
from reconciler.errors import OperationFailed
from reconciler.host import tap
from reconciler.model import names
from reconciler.model.record import ClusterRecord
from reconciler.store.merged_status import nodes_by_host
from reconciler.store.protocol import Store

_SURE_S = 60.0
"""For so long a process relies on what it has seen; a visit goes on for much longer after it was asked for."""
_PATIENCE_S = 60.0


class Visits:
    """What this process uses of clusters on other hosts."""

    def __init__(self, store: Store, controller: Controller, leavers: Leavers) -> None:
        self._store = store
        self._controller = controller
        self._leavers = leavers
        self._sure_until_s: dict[str, float] = {}
        self._entering: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def enter(self, record: ClusterRecord) -> None:
        """Return when the nodes of a cluster can be reached: at once where there is one host, or some are here.

        Raises what keeps this host from the network.
        """
        cluster = record.cluster_name
        if not self._store.own_host or time.monotonic() < self._sure_until_s.get(cluster, 0.0):
            return
        async with self._entering[cluster]:
            if time.monotonic() < self._sure_until_s.get(cluster, 0.0):
                return
            home = await self._store.home_host()
            if self._store.own_host not in (hosts := nodes_by_host(record, home)):
                _require_no_fork_elsewhere(record, hosts)
                count = len(await self._store.hosts())
                await self._store.visit(cluster, addresses_for_visitors(record, home, count))
                await asyncio.to_thread(self._leavers.ensure, cluster)
                if not await self._is_in(cluster):
                    await self._controller.enter_network(cluster, timeout_s=_PATIENCE_S)
            self._sure_until_s[cluster] = time.monotonic() + _SURE_S

    async def _is_in(self, cluster: str) -> bool:
        word = await self._controller.rounds.parts.last_word(cluster)
        said = word is not None and word.is_in_network
        return said and await asyncio.to_thread(tap.tap_exists, names.tunnel_name(cluster))


def _require_no_fork_elsewhere(record: ClusterRecord, hosts: Iterable[str]) -> None:
    """The network of a fork is joined with nothing: others have the same addresses."""
    if record.forked_from is not None:
        raise OperationFailed(
            f"cluster {record.cluster_name!r} is a fork, which only its own host reaches: {', '.join(sorted(hosts))}",
            hint="ask there",
        )
