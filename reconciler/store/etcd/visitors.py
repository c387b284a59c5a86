"""The hosts that are in a cluster's network without having nodes of it.

Each address is a key that has the host's name, so no two hosts have the same one. The key is bound to a lease: a host
that uses the network keeps that alive, and is out of it some time after the last use.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

from reconciler.errors import ClusterNotFound, OperationFailed
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_parts import address_of_visitor, visitors_in
from reconciler.store.etcd.etcd_requests import below, delete, exists, one, put, unchanged
from reconciler.store.etcd.small_values import name_from

VISIT_S = 3600


class EtcdVisitors:
    """Visits of one host."""

    def __init__(self, etcd: EtcdClient, host: str) -> None:
        self._etcd = etcd
        self._host = host

    async def of(self, cluster: str) -> Mapping[str, IPv4Address]:
        (found,) = await self._etcd.read(below(keys.visitors(cluster)))
        return visitors_in(cluster, found.kvs)

    async def visit(self, cluster: str, addresses: Sequence[IPv4Address]) -> None:
        """Keep the visit alive that there is, or begin one by the first address that nobody has."""
        while True:
            found, head = await self._etcd.read(below(keys.visitors(cluster)), one(keys.head(cluster)))
            if not head.kvs:
                raise ClusterNotFound(f"no cluster named {cluster!r} is defined")
            own = [kv for kv in found.kvs if name_from(kv.value) == self._host]
            if any(address_of_visitor(cluster, kv) in addresses for kv in own) and await self._kept_alive(own):
                return
            if await self._begin(cluster, _free(cluster, addresses, found.kvs), own):
                return

    async def _kept_alive(self, own: Sequence[Any]) -> bool:
        return len(own) == 1 and await self._etcd.keep_alive(own[0].lease)

    async def _begin(self, cluster: str, address: IPv4Address, own: Iterable[Any]) -> bool:
        """False if another host took the address, or the cluster has gone; an address that it had before is left."""
        key = keys.visitors(cluster) + str(address).encode()
        write = put(key, self._host.encode(), lease=await self._etcd.grant(VISIT_S))
        conditions = [unchanged(key, 0), exists(keys.head(cluster))]
        return bool((await self._etcd.change(conditions, [*(delete(kv.key) for kv in own), write])).succeeded)


def _free(cluster: str, addresses: Sequence[IPv4Address], kvs: Iterable[Any]) -> IPv4Address:
    taken = {address_of_visitor(cluster, kv) for kv in kvs}
    if not (free := [address for address in addresses if address not in taken]):
        raise OperationFailed(
            f"the subnet of {cluster} has no address left by which this host could reach its nodes",
            hint="use a host that has nodes of the cluster, or give the cluster a larger subnet",
        )
    return free[0]
