"""Looks up what joins this host's part of a cluster with those on other hosts."""

from reconciler.desired.tunnels import spans_hosts, tunnel_of
from reconciler.errors import HostCapabilityMissing
from reconciler.model.record import ClusterRecord, TunnelSpec
from reconciler.store.protocol import Store


class Tunnels:
    """The tunnels of this host's parts, from the other hosts' addresses and the number of each cluster's network."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._numbers: dict[str, int] = {}

    async def find(self, part: ClusterRecord, whole: ClusterRecord, home: str) -> TunnelSpec | None:
        """The tunnel of a part; None if no other host has nodes of the cluster.

        Raises `HostCapabilityMissing` if this host has no address for tunnels.
        """
        if not spans_hosts(part):
            return None
        host, cluster = self._store.own_host, whole.cluster_name
        hosts = await self._store.hosts()
        addresses = {name: of.address for name, of in hosts.items() if of.address is not None}
        if host not in addresses:
            raise HostCapabilityMissing(
                f"{cluster} has nodes on other hosts too, and host {host} has no address for tunnels to them",
                hint="set `host_address` in its configuration",
            )
        if cluster not in self._numbers:
            self._numbers[cluster] = await self._store.network_number(cluster)
        return tunnel_of(whole, host, home, self._numbers[cluster], addresses)
