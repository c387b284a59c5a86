"""Enlarges a disk of a running machine."""

from functools import partial
from pathlib import Path
from typing import Any

import libvirt

from reconciler.host.libvirt.definition import read_live, require_same_files
from reconciler.host.libvirt.libvirt_connection import LibvirtConnection
from reconciler.host.libvirt.lookup import find_domain, require_mark


async def grow_disk(connection: LibvirtConnection, cluster: str, node: str, path: Path, size_bytes: int) -> bool:
    """Have a running machine enlarge the disk that writes to `path`; False if no disk has it open."""
    return await connection.call(
        cluster, partial(_grow_disk, cluster=cluster, node=node, path=path, size_bytes=size_bytes)
    )


def _grow_disk(handle: Any, *, cluster: str, node: str, path: Path, size_bytes: int) -> bool:
    domain = find_domain(handle, cluster, node)
    if domain is None:
        return False
    require_mark(domain, cluster, node)
    if not domain.isActive():
        return False
    disks = read_live(domain, node).domain.disks
    target = next((target for target, disk in disks.items() if disk.path == path), None)
    if target is None:
        return False
    require_same_files(domain, node)
    if domain.blockInfo(target)[0] < size_bytes:
        domain.blockResize(target, size_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
    return True
