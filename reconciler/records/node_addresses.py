"""How the nodes of a cluster are reached from this host."""

from collections.abc import Iterable

from reconciler.desired.addresses import guest_address
from reconciler.guest.address import GuestAddress
from reconciler.model.record import ClusterRecord
from reconciler.runtime import Runtime
from reconciler.store.protocol import Store


async def addresses(runtime: Runtime, record: ClusterRecord, nodes: Iterable[str]) -> list[GuestAddress]:
    """The addresses of the given nodes, once this host is in their network.

    Those that another host made are known by the key that it reported.
    """
    nodes, store = list(nodes), runtime.store
    reported: dict[str, str] = {}
    if nodes and store.own_host and await _elsewhere(store, record, nodes):
        await runtime.visits.enter(record)
        status = await store.status(record.cluster_name)
        reported = {node: of.host_key for node, of in status.nodes.items() if of.host_key} if status else {}
    return [guest_address(record, node, reported.get(node)) for node in nodes]


async def _elsewhere(store: Store, record: ClusterRecord, nodes: Iterable[str]) -> bool:
    """Whether any of these nodes is on another host."""
    placed = {record.spec.nodes[node].host for node in nodes if node in record.spec.nodes}
    home = await store.home_host() if "" in placed else ""
    return any((host or home) != store.own_host for host in placed)
