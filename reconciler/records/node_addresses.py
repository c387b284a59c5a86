"""How the nodes of a cluster are reached from this host."""

from collections.abc import Iterable, Iterator

from reconciler.desired.addresses import guest_address
from reconciler.guest.address import GuestAddress
from reconciler.model.record import ClusterRecord
from reconciler.runtime import Runtime
from reconciler.store.merged_status import nodes_by_host
from reconciler.store.protocol import HostWords, Store


async def addresses(runtime: Runtime, record: ClusterRecord, nodes: Iterable[str]) -> list[GuestAddress]:
    """The addresses of the given nodes, once this host is in their network.

    Those that another host made are known by the key that it reported, also if that host does not answer now.
    """
    nodes, store = list(nodes), runtime.store
    reported: dict[str, str] = {}
    if nodes and store.own_host and await _elsewhere(store, record, nodes):
        await runtime.visits.enter(record)
        entry = await store.standing(record.cluster_name)
        reported = dict(_keys_in(record, entry.hosts)) if entry and entry.hosts else {}
    return [guest_address(record, node, reported.get(node)) for node in nodes]


def _keys_in(record: ClusterRecord, hosts: HostWords) -> Iterator[tuple[str, str]]:
    """The keys of nodes, as the hosts that they are on said last."""
    for host, nodes in nodes_by_host(record, hosts.home).items():
        said = hosts.words[host].nodes if host in hosts.words else {}
        yield from ((node, said[node].host_key) for node in nodes if node in said and said[node].host_key)


async def _elsewhere(store: Store, record: ClusterRecord, nodes: Iterable[str]) -> bool:
    """Whether any of these nodes is on another host."""
    placed = {record.spec.nodes[node].host for node in nodes if node in record.spec.nodes}
    home = await store.home_host() if "" in placed else ""
    return any((host or home) != store.own_host for host in placed)
