"""This host's part of a cluster, and what other hosts said of their parts."""

import asyncio
from collections.abc import Set
from functools import reduce

from reconciler.controller.part_report import power_elsewhere, with_nodes_elsewhere, with_snapshots_elsewhere
from reconciler.controller.round_input import RoundInput
from reconciler.desired.part import part_of
from reconciler.desired.tunnels import Visitors, is_joined, tunnel_of, with_tunnel
from reconciler.error_codes import ErrorCode
from reconciler.errors import HostCapabilityMissing, OperationFailed
from reconciler.host.disks.manifests import read_manifests
from reconciler.host.open_connections import has_open_connection
from reconciler.model.document import ClusterDocument, Power, Unknown
from reconciler.model.faults import NetFaultInfo
from reconciler.model.record import ClusterRecord, TunnelSpec
from reconciler.model.snapshot import Manifest, SnapshotBases
from reconciler.model.status import HeldSnapshot, RecordStatus
from reconciler.store.merged_status import merged_faults, merged_snapshots, nodes_by_host
from reconciler.store.protocol import Store


class Parts:
    """Parts of clusters for the host of a store; where it is the only one, its part is everything."""

    def __init__(self, store: Store) -> None:
        self._host = store.own_host
        self._home: str | None = None
        self._store = store
        self._tunnels = Tunnels(store)

    async def last_word(self, cluster: str) -> RecordStatus | None:
        """This host's own status of its part."""
        if not self._host:
            return await self._store.status(cluster)
        standing = await self._store.standing(cluster)
        return standing.hosts.words.get(self._host) if standing and standing.hosts else None

    async def of(self, record: ClusterRecord) -> ClusterRecord:
        """What this host works on, of a record that may not be written yet."""
        if not self._host:
            return record
        self._home = self._home or await self._store.home_host()
        part = part_of(record, self._host, self._home)
        visitors = await self._store.visitors(record.cluster_name)
        return with_tunnel(part, await self._tunnels.find(part, record, self._home, visitors))

    async def joined(self, view: RoundInput) -> RoundInput:
        """The view with the tunnel of its part."""
        if view.hosts is None:
            return view
        home, visitors = view.hosts.home, view.hosts.visitors
        return view.with_tunnel(await self._tunnels.find(view.record, view.whole, home, visitors))

    async def keep_visit(self, view: RoundInput) -> None:
        """Let a visit go on for as long as a program here has a connection to a node."""
        own = view.tunnel.own_address if view.visits and view.tunnel else None
        if own is not None and await asyncio.to_thread(has_open_connection, own):
            await self._store.visit(view.whole.cluster_name, [own])

    async def held_snapshots(self, record: ClusterRecord) -> tuple[HeldSnapshot, ...]:
        """The snapshots of a cluster as they are on disk, oldest first; with the sizes of files on other hosts."""
        manifests = await asyncio.to_thread(read_manifests, record.spec.overlay_dir, record.cluster_name)
        here = tuple(HeldSnapshot(manifest=of) for of in manifests)
        status = await self._store.status(record.cluster_name) if self._host else None
        return merged_snapshots([status.snapshots, here]) if status else here

    async def manifests(self, record: ClusterRecord) -> list[Manifest]:
        """The manifests of these snapshots."""
        return [of.manifest for of in await self.held_snapshots(record)]

    async def bases_elsewhere(self, record: ClusterRecord) -> SnapshotBases:
        """What the layers on other hosts say of the snapshots, as these saw them last."""
        others = (word.bases for word in (await self._said_elsewhere(record.cluster_name)).values())
        return reduce(SnapshotBases.joined, others, SnapshotBases())

    async def nodes_here(self, record: ClusterRecord) -> Set[str]:
        """The nodes of a cluster that are on this host."""
        if not self._host:
            return record.spec.nodes.keys()
        self._home = self._home or await self._store.home_host()
        return part_of(record, self._host, self._home).spec.nodes.keys()

    async def nodes_elsewhere(self, record: ClusterRecord) -> dict[str, str]:
        """The nodes of a cluster that are on other hosts, with the host of each."""
        here = await self.nodes_here(record)
        home = self._home or "a forgotten host"
        return {name: node.host or home for name, node in record.spec.nodes.items() if name not in here}

    async def require_console_here(self, record: ClusterRecord, node: str) -> None:
        """Raise `OperationFailed` for a node whose console is on another host, where it is read."""
        if host := (await self.nodes_elsewhere(record)).get(node):
            raise OperationFailed(f"its console is on {host}", node=node, hint="ask there")

    async def faults_everywhere(
        self, record: ClusterRecord, seen: tuple[NetFaultInfo, ...]
    ) -> tuple[NetFaultInfo, ...]:
        """Faults as they were `seen` here, with what other hosts saw of them last."""
        standing = await self._store.standing(record.cluster_name) if self._host else None
        if standing is None or standing.hosts is None:
            return seen
        hosts = standing.hosts
        others = nodes_by_host(record, hosts.home).keys() - {self._host}
        said = [hosts.words[host].faults for host in others if host in hosts.words and host not in hosts.lost]
        here = {info.handle_id for info in seen}
        joined = merged_faults([seen, *said], whole=len(said) == len(others))
        return tuple(info for info in joined if info.handle_id in here)

    async def with_others(self, record: ClusterRecord, observed: ClusterDocument) -> ClusterDocument:
        """An observation with what other hosts saw of their parts last. Plans are made from the observation alone."""
        standing = await self._store.standing(record.cluster_name) if self._host else None
        if standing is None or standing.hosts is None:
            return observed
        seen = with_nodes_elsewhere(observed, record, self._host, standing.hosts)
        return with_snapshots_elsewhere(seen, standing.status.snapshots if standing.status else ())

    async def unapproved_elsewhere(self, cluster: str) -> dict[str, str]:
        """By node, another host that waits for the approval to lose what it has of it."""
        said = await self._said_elsewhere(cluster)
        waiting = ((host, of) for host, word in said.items() for of in word.obstacles)
        return {of.node: host for host, of in waiting if of.node and of.code is ErrorCode.APPROVAL_REQUIRED}

    async def _said_elsewhere(self, cluster: str) -> dict[str, RecordStatus]:
        """What the other hosts said last, by host; nothing where there is one host."""
        standing = await self._store.standing(cluster) if self._host else None
        said = standing.hosts.words if standing and standing.hosts else {}
        return {host: word for host, word in said.items() if host != self._host}

    async def power_elsewhere(self, record: ClusterRecord) -> dict[str, Power | Unknown]:
        """The power of nodes on other hosts, as these saw it last."""
        standing = await self._store.standing(record.cluster_name) if self._host else None
        return power_elsewhere(record, self._host, standing.hosts) if standing and standing.hosts else {}


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
