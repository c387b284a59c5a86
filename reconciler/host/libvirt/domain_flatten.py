"""Flattens a disk's chain upward into its top layer, whether the machine runs or is off.

On a running machine it is a block pull (`block-stream` in QEMU), otherwise `reconciler.host.disks.offline_flatten`.
Nothing is ever committed downward, because other snapshots depend on the files below.

At the end of a pull the layer's header names the new backing file while parts of the layer's tables are still only in
QEMU's memory (seen with QEMU 7.2: the file read from outside lacks data). So the layer is flushed then, and the files
that were below it may be deleted after the call has returned, not before.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu

from reconciler.errors import OperationFailed
from reconciler.host.disks.offline_flatten import flatten_offline
from reconciler.host.libvirt.definition import keep_live_disks, read_live, read_persistent, require_same_files
from reconciler.host.libvirt.libvirt_connection import LibvirtConnection
from reconciler.host.libvirt.lookup import our_domain
from reconciler.host.libvirt.snapshot_xml import flattened, replace_disks
from reconciler.host.libvirt.xml import parse_element
from reconciler.model.document import DomainDisk

Progress = Callable[[int, int], None]
"""Called with the bytes done and the total bytes."""

_LOOK_INTERVAL_S = 0.1


async def flatten_disk(
    connection: LibvirtConnection, cluster: str, node: str, target: str, base: Path | None, progress: Progress | None
) -> None:
    """Flatten one disk; see `LibvirtSnapshots.flatten`."""
    active = await connection.call(cluster, lambda handle: bool(our_domain(handle, cluster, node).isActive()))
    work = partial(_Flattening, cluster=cluster, node=node, target=target, base=base)
    await (_pull(connection, cluster, work, progress) if active else _rebase(connection, cluster, work))


class _Flattening:
    """One disk to flatten, on one connection."""

    def __init__(self, handle: Any, *, cluster: str, node: str, target: str, base: Path | None) -> None:
        self.handle = handle
        self.domain = our_domain(handle, cluster, node)
        self.cluster, self.node, self.target, self.base = cluster, node, target, base

    def wanted(self, disks: dict[str, DomainDisk]) -> DomainDisk:
        try:
            return flattened(disks[self.target], self.base)
        except (KeyError, ValueError) as error:
            raise OperationFailed(f"disk {self.target} cannot be flattened: {error}", node=self.node) from None

    def start_pull(self) -> None:
        """Start a pull, unless the chain is already short or an earlier pull is still running."""
        disks = read_live(self.domain, self.node).domain.disks
        require_same_files(self.domain, self.node)
        if self.wanted(disks) == disks[self.target] or self.pull_figures() is not None:
            return
        if self.domain.state()[0] not in {libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED}:
            raise OperationFailed(
                f"disk {self.target} can be flattened while the machine runs or is off, not while it is paused",
                node=self.node,
                hint="resume it first",
            )
        # With a base the job keeps that file below the layer; with None it takes in everything (virDomainBlockRebase).
        self.domain.blockRebase(self.target, None if self.base is None else str(self.base), 0, 0)

    def pull_figures(self) -> tuple[int, int] | None:
        """Bytes done and total bytes of the running job; None if there is none."""
        job = self.domain.blockJobInfo(self.target, 0)
        return (job["cur"], job["end"]) if job else None

    def abort_pull(self) -> None:
        if self.pull_figures() is not None:
            self.domain.blockJobAbort(self.target, 0)

    def finish_pull(self) -> None:
        disks = read_live(self.domain, self.node).domain.disks
        if self.wanted(disks) != disks[self.target]:
            raise OperationFailed(
                f"flattening disk {self.target} ended prematurely",
                node=self.node,
                hint="free some space on the file system of its layers; nothing is lost",
            )
        flush(self.domain, self.target, self.node)
        keep_live_disks(self.handle, self.domain, self.node, [self.target])

    def layer_when_off(self) -> DomainDisk:
        disks = read_persistent(self.domain, self.node).domain.disks
        self.wanted(disks)
        return disks[self.target]

    def define_flattened(self) -> None:
        if self.domain.isActive():
            raise OperationFailed("the machine was started while its disk was flattened", node=self.node)
        wanted = self.wanted(read_persistent(self.domain, self.node).domain.disks)
        xml = self.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        self.handle.defineXML(replace_disks(xml, {self.target: wanted}))


_Work = Callable[[Any], _Flattening]


async def _pull(connection: LibvirtConnection, cluster: str, work: _Work, progress: Progress | None) -> None:
    try:
        await connection.call(cluster, lambda handle: work(handle).start_pull())
        while (figures := await connection.call(cluster, lambda handle: work(handle).pull_figures())) is not None:
            if progress is not None:
                progress(*figures)
            await asyncio.sleep(_LOOK_INTERVAL_S)
    except BaseException:
        await asyncio.shield(connection.call(cluster, lambda handle: work(handle).abort_pull()))
        raise
    await connection.call(cluster, lambda handle: work(handle).finish_pull())


def flush(domain: Any, target: str, node: str) -> None:
    """Flush everything written to a qcow2 disk of a running machine into its file, tables included.

    No libvirt call does this without stopping the CPUs (pausing flushes, but a kill could leave the machine paused), so
    it goes through QEMU's monitor; libvirt notes in its log that the monitor was used directly. Block nodes are named
    after the index in the live XML (libvirt, `src/qemu/qemu_block.c`).
    """
    index = _source_index(domain.XMLDesc(0), target)
    human = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
    complaint = libvirt_qemu.qemuMonitorCommand(domain, f"qemu-io libvirt-{index}-format flush", human).strip()
    if complaint:
        raise OperationFailed(f"QEMU has not written out disk {target}: {complaint}", node=node)


async def _rebase(connection: LibvirtConnection, cluster: str, work: _Work) -> None:
    """Rebase the file first: its definition may name more files below it than it needs, but never fewer."""
    plan = await connection.call(cluster, work)
    layer = await connection.call(cluster, lambda handle: work(handle).layer_when_off())
    base = next((file for file in layer.backing if file.path == plan.base), None)
    await flatten_offline(layer.path, base, cluster=cluster)
    await connection.call(cluster, lambda handle: work(handle).define_flattened())


def _source_index(live_xml: str, target: str) -> str:
    for disk in parse_element(live_xml).iterfind("devices/disk"):
        source = disk.find("source")
        if source is not None and disk.find(f"target[@dev='{target}']") is not None:
            return source.get("index", "")
    return ""
