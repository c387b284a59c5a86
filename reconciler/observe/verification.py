"""Checks that snapshots are intact on disk: every layer, every memory file, and the UEFI variables."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconciler.errors import OperationFailed
from reconciler.files.space import require_space
from reconciler.host.disks.chain_check import broken_chains, verify_chains
from reconciler.host.disks.manifests import kept_nvrams, nodes_with_nvram, snapshot_nvram_path
from reconciler.host.libvirt.libvirt_driver import Libvirt
from reconciler.host.libvirt.memory_file import is_complete
from reconciler.host.nvram import nvram_problem
from reconciler.model.document import ClusterDocument, Domain, Layer, Power, Snapshot, Unknown, files_below
from reconciler.model.names import cluster_dir
from reconciler.model.record import ClusterRecord


async def verify_snapshots(
    snapshots: Mapping[str, Snapshot | Unknown],
    layers: Mapping[str, Layer | Unknown],
    overlay_dir: Path,
    cluster: str,
) -> dict[str, tuple[str, ...]]:
    """Every problem of each snapshot; none for an intact one. Frozen layers that several share are read once.

    In a chain with a file that is not the one created there, nothing else is read.
    """
    known = [snapshot for snapshot in snapshots.values() if isinstance(snapshot, Snapshot)]
    frozen = {disk.path: disk.format for of in known for node in of.nodes.values() for disk in node.disks.values()}
    memories = {node.memory for of in known for node in of.nodes.values() if node.memory is not None}
    strange = {path: found for path in frozen if (found := list(_strange_files(path, layers)))}
    problems = {**strange, **await verify_chains({path: frozen[path] for path in frozen.keys() - strange.keys()})}
    problems |= await asyncio.to_thread(lambda: {path: _memory_problems(path) for path in memories})
    variables = {
        name: await asyncio.to_thread(_nvram_problems, overlay_dir, cluster, name, snapshot)
        for name, snapshot in snapshots.items()
        if isinstance(snapshot, Snapshot) and not snapshot.half_made and snapshot.held is None
    }
    return {name: (*_problems_of(snapshot, problems), *variables.get(name, ())) for name, snapshot in snapshots.items()}


async def revert_obstacles(
    name: str,
    snapshot: Snapshot,
    record: ClusterRecord,
    desired: ClusterDocument,
    observed: ClusterDocument,
    libvirt: Libvirt,
) -> list[str]:
    """What prevents reverting a cluster to `snapshot` with the `desired` state; checked before anything is cut.

    This takes milliseconds: files are located and their headers read; `verify_snapshots` reads their tables. Raises
    `OperationFailed` if nothing but room for the new layers is missing.
    """
    frozen = {disk.path: disk.format for node in snapshot.nodes.values() for disk in node.disks.values()}
    strange = [problem for path in frozen for problem in _strange_files(path, observed.layers)]
    problems = strange or await asyncio.to_thread(broken_chains, frozen)
    if snapshot.held is None:
        place = record.spec.overlay_dir
        problems += await asyncio.to_thread(_nvram_problems, place, record.cluster_name, name, snapshot)
    problems += await memory_obstacles(desired, libvirt)
    if not problems:
        await asyncio.to_thread(_require_room, record, name)
    return problems


async def memory_obstacles(desired: ClusterDocument, libvirt: Libvirt) -> list[str]:
    """What prevents nodes from continuing from the memory that they are to continue from."""
    problems: list[str] = []
    for node, power in desired.power.items():
        domain = desired.domains.get(node)
        if isinstance(power, Power) and power.memory is not None and isinstance(domain, Domain):
            found = await _memory_obstacles(power.memory, domain, libvirt)
            problems.extend(f"{node}: {problem}" for problem in found)
    return problems


def _require_room(record: ClusterRecord, name: str) -> None:
    """Raise `OperationFailed` if no layer could be created now."""
    directory = cluster_dir(record.spec.overlay_dir, record.cluster_name)
    try:
        require_space(directory)
    except OSError as error:
        raise OperationFailed(f"cannot use {directory}: {error.strerror}") from error
    except OperationFailed as error:
        error.message = f"cannot revert to snapshot {name!r}, and nothing was changed: {error.message}"
        raise


async def _memory_obstacles(memory: Path, domain: Domain, libvirt: Libvirt) -> list[str]:
    if problems := await asyncio.to_thread(_memory_problems, memory):
        return problems
    return await libvirt.snapshots.restore_obstacles(memory, domain)


def _problems_of(snapshot: Snapshot | Unknown, problems: Mapping[Path, list[str]]) -> Iterator[str]:
    if isinstance(snapshot, Unknown):
        yield snapshot.unknown
        return
    if snapshot.half_made:
        yield "taking it was interrupted: the next round removes what is left of it"
    for name, node in snapshot.nodes.items():
        files = [disk.path for disk in node.disks.values()] + ([node.memory] if node.memory else [])
        for path in files:
            yield from (f"{name}: {problem}" for problem in problems[path])


def _strange_files(path: Path, layers: Mapping[str, Layer | Unknown]) -> Iterator[str]:
    """Files in one of our chains that are not the ones created there, as far as they were observed."""
    top = layers.get(str(path))
    below = files_below(top, layers) if isinstance(top, Layer) else ()
    for file in (path, *(file.path for file in below)):
        found = layers.get(str(file))
        if isinstance(found, Unknown):
            yield found.unknown
        elif found is not None and found.misplaced:
            yield f"{file} is not the file that was created there: {found.misplaced}"


def _nvram_problems(overlay_dir: Path, cluster: str, name: str, snapshot: Snapshot) -> list[str]:
    """What is wrong with the UEFI variables; snapshots of earlier versions do not say how many nodes had any."""
    there = nodes_with_nvram(overlay_dir, cluster, name, snapshot.nodes)
    found = {
        node: nvram_problem(snapshot_nvram_path(overlay_dir, cluster, name, node), cluster, node) for node in there
    }
    problems = [f"{node}: {problem}" for node, problem in found.items() if problem]
    try:
        kept = kept_nvrams(overlay_dir, cluster, name)
    except OSError as error:
        return [*problems, f"its manifest cannot be read: {error.strerror}"]
    if kept is not None and kept > len(there):
        problems.append(f"the UEFI variables of {kept - len(there)} of {kept} nodes are missing")
    return problems


def _memory_problems(path: Path) -> list[str]:
    try:
        return [] if is_complete(path) else [f"the memory {path} is missing or incomplete"]
    except OperationFailed as error:
        return [str(error)]
