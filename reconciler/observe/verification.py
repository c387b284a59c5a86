"""Whether snapshots are whole on disk: every layer, and every memory."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconciler.errors import OperationFailed
from reconciler.host.disks.verify import broken_chains, verify_chains
from reconciler.host.libvirt.driver import Libvirt
from reconciler.host.libvirt.memory_file import is_complete
from reconciler.model.document import ClusterDocument, Domain, Power, Snapshot, Unknown


async def verify_snapshots(snapshots: Mapping[str, Snapshot | Unknown]) -> dict[str, tuple[str, ...]]:
    """Every problem of each snapshot; none for one that is whole. Frozen layers that several share are read once."""
    known = [snapshot for snapshot in snapshots.values() if isinstance(snapshot, Snapshot)]
    frozen = {disk.path: disk.format for of in known for node in of.nodes.values() for disk in node.disks.values()}
    memories = {node.memory for of in known for node in of.nodes.values() if node.memory is not None}
    problems = await verify_chains(frozen)
    problems |= await asyncio.to_thread(lambda: {path: _memory_problems(path) for path in memories})
    return {name: tuple(_problems_of(snapshot, problems)) for name, snapshot in snapshots.items()}


async def revert_obstacles(snapshot: Snapshot, desired: ClusterDocument, libvirt: Libvirt) -> list[str]:
    """What keeps a cluster from being reverted to `snapshot`, to be as `desired`; asked before anything is cut.

    The files are looked for and their heads are read, in some milliseconds; `verify_snapshots` reads their tables.
    """
    frozen = {disk.path: disk.format for node in snapshot.nodes.values() for disk in node.disks.values()}
    problems = await asyncio.to_thread(broken_chains, frozen)
    for node, power in desired.power.items():
        domain = desired.domains.get(node)
        if isinstance(power, Power) and power.memory is not None and isinstance(domain, Domain):
            found = await _memory_obstacles(power.memory, domain, libvirt)
            problems.extend(f"{node}: {problem}" for problem in found)
    return problems


async def _memory_obstacles(memory: Path, domain: Domain, libvirt: Libvirt) -> list[str]:
    if problems := await asyncio.to_thread(_memory_problems, memory):
        return problems
    return await libvirt.snapshots.restore_obstacles(memory, domain)


def _problems_of(snapshot: Snapshot | Unknown, problems: Mapping[Path, list[str]]) -> Iterator[str]:
    if isinstance(snapshot, Unknown):
        yield snapshot.unknown
        return
    if snapshot.half_made:
        yield "it was interrupted while it was taken: the next round takes away what it has left"
    for name, node in snapshot.nodes.items():
        files = [disk.path for disk in node.disks.values()] + ([node.memory] if node.memory else [])
        for path in files:
            yield from (f"{name}: {problem}" for problem in problems[path])


def _memory_problems(path: Path) -> list[str]:
    try:
        return [] if is_complete(path) else [f"the memory {path} is missing, or is not whole"]
    except OperationFailed as error:
        return [str(error)]
