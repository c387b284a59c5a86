"""The hosts that share a store: what they are, and what users decide of them."""

import asyncio
import socket
from collections.abc import Iterable

from reconciler.concurrency import together
from reconciler.desired.public_key import PublicKeyUnusable, read_public_key
from reconciler.errors import ClusterError, HostNotFound, PartialFailure
from reconciler.model.host import ForgottenHost, HostInfo, HostRecord, HostReport, HostUse
from reconciler.model.record import ClusterRecord, WantedPower
from reconciler.observe.host_report import observe_host_report
from reconciler.placement.place import uses_by_host
from reconciler.records.stored_records import readable_records
from reconciler.runtime import Runtime
from reconciler.usecases.clusters import Clusters

DRAIN_TIMEOUT_S = 120.0


class Hosts:
    """Reads the records of hosts, and changes what users decide of them."""

    def __init__(self, runtime: Runtime, clusters: Clusters) -> None:
        self._runtime = runtime
        self._clusters = clusters

    async def listing(self) -> list[HostInfo]:
        """Every host, sorted by name; where the store is of this host only, this one."""
        store = self._runtime.store
        hosts, home = await store.hosts(), await store.home_host()
        if not hosts and not self._runtime.settings.own_host:
            return [await self._only_one()]
        records = await readable_records(store)
        uses = uses_by_host(records, home)
        return [_info(of, records, uses.get(name, HostUse()), home) for name, of in hosts.items()]

    async def show(self, name: str) -> HostInfo:
        """One host. Raises `HostNotFound`."""
        hosts = {of.name: of for of in await self.listing()}
        if name not in hosts:
            raise HostNotFound.named(name, hosts)
        return hosts[name]

    async def cordon(self, name: str, *, cordoned: bool = True) -> HostInfo:
        """Keep new nodes off a host, or let them on it again; its nodes stay as they are."""
        await self._runtime.store.cordon_host(name, cordoned=cordoned)
        return await self.show(name)

    async def drain(self, name: str, *, timeout_s: float = DRAIN_TIMEOUT_S) -> HostInfo:
        """Cordon a host and shut its nodes down; they stay off, with their disks, until they are started.

        Raises `PartialFailure` naming the clusters whose nodes are still up.
        """
        await self.cordon(name)
        home = await self._runtime.store.home_host()
        work = {
            record.cluster_name: running
            for record in await readable_records(self._runtime.store)
            if record.deletion is None and (running := _running_on(record, name, home))
        }
        outcomes = await together(*(self._stop(of, nodes, timeout_s) for of, nodes in work.items()))
        if failed := {of: error for of, error in zip(work, outcomes, strict=True) if error is not None}:
            told = "; ".join(f"cluster {of}: {error}" for of, error in failed.items())
            raise PartialFailure(f"host {name} is cordoned, but not all of its nodes are off: {told}")
        return await self.show(name)

    async def forget(self, name: str) -> ForgottenHost:
        """Remove a host that is gone; its nodes are placed again when their clusters are next applied.

        Raises `Conflict` while its lease is alive.
        """
        nodes = (await self.show(name)).placed_nodes
        await self._runtime.store.remove_host(name)
        return ForgottenHost(name=name, placed_nodes=nodes)

    async def _stop(self, cluster: str, nodes: list[str], timeout_s: float) -> ClusterError | None:
        try:
            await self._clusters.stop(cluster, nodes=nodes, timeout_s=timeout_s)
        except ClusterError as error:
            return error
        return None

    async def _only_one(self) -> HostInfo:
        """This host, as it is now."""
        report = await own_report(self._runtime, socket.gethostname())
        record = HostRecord(**dict(report), alive=True)
        records = await readable_records(self._runtime.store)
        return _info(record, records, uses_by_host(records, report.name).get(report.name, HostUse()), report.name)


async def own_report(runtime: Runtime, name: str) -> HostReport:
    """What this host says of itself, with the images of all clusters that it has."""
    records = await readable_records(runtime.store)
    images = {node.base_image.path for record in records for node in record.spec.nodes.values()}
    try:
        public_key = await asyncio.to_thread(read_public_key, runtime.settings.ssh_key_path)
    except PublicKeyUnusable:
        public_key = ""
    return await observe_host_report(runtime.settings, name, public_key, images, runtime.images.port)


def _info(host: HostRecord, records: Iterable[ClusterRecord], use: HostUse, home: str) -> HostInfo:
    nodes = (
        f"{record.cluster_name}/{name}"
        for record in records
        for name, node in record.spec.nodes.items()
        if (node.host or home) == host.name
    )
    return HostInfo(**dict(host), home=host.name == home, use=use, placed_nodes=tuple(sorted(nodes)))


def _running_on(record: ClusterRecord, host: str, home: str) -> list[str]:
    """The nodes on a host that are meant to run."""
    return [
        name
        for name, node in record.spec.nodes.items()
        if (node.host or home) == host and record.nodes[name].power is not WantedPower.OFF
    ]
