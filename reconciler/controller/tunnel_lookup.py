"""Looks up what joins this host's part of a cluster with those on other hosts."""

from reconciler.desired.tunnels import Visitors, is_joined, tunnel_of
from reconciler.errors import HostCapabilityMissing
from reconciler.model.record import ClusterRecord, TunnelSpec
from reconciler.store.merged_status import nodes_by_host
from reconciler.store.protocol import Store


class Tunnels:
    """The tunnels of this host's parts, from the other hosts' addresses and the number of each cluster's network."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._numbers: dict[str, int] = {}

    async def find(self, part: ClusterRecord, whole: ClusterRecord, home: str, visitors: Visitors) -> TunnelSpec | None:
        """The tunnel of a part; None if no other host has nodes of the cluster, or visits it.

        Raises `HostCapabilityMissing` if this host has no address for tunnels.
        """
        host, cluster = self._store.own_host, whole.cluster_name
        if not is_joined(part, host, visitors):
            return None
        hosts = {*nodes_by_host(whole, home), *visitors, host} - {""}
        addresses = await self._store.host_addresses(hosts)
        if host not in addresses:
            raise HostCapabilityMissing(
                f"cluster {cluster} spans hosts, but host {host} has reported no address for tunnels",
                hint="set `host_address` in its configuration, and start `vmcluster watch` there",
            )
        if cluster not in self._numbers:
            self._numbers[cluster] = await self._store.network_number(cluster)
        return tunnel_of(whole, host, home, self._numbers[cluster], addresses, visitors)
