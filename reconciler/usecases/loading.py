"""Loads a topology for this host, or reports everything that is wrong with it before anything is touched."""

import asyncio
from dataclasses import replace
from pathlib import Path

import structlog

from reconciler.concurrency import together
from reconciler.desired.load import load_spec
from reconciler.desired.recorded_file_uses import recorded_uses
from reconciler.desired.topology_text import GivenTopology
from reconciler.errors import HostCapabilityMissing, LibvirtUnavailable, RecordUnreadable
from reconciler.files.roots import Reach
from reconciler.model.host_view import HostView
from reconciler.model.record import ClusterSpec
from reconciler.model.topology import VirtType
from reconciler.observe.host_observation import observe_host
from reconciler.runtime import Runtime

log = structlog.get_logger(__name__)


async def load_for_host(runtime: Runtime, topology: GivenTopology, reach: Reach) -> tuple[str, ClusterSpec]:
    """The cluster name and specification. Raises as `load_spec` does, also for what this host cannot do.

    If the topology names no `overlay_dir`, a cluster with a record stays in its directory, whatever this client's
    configuration says: the directory is part of the record.
    """
    seen, recorded = await together(_look_at_host(runtime), recorded_uses(runtime.store))
    uses = (*recorded, *(seen.files if seen else ()))
    settings = runtime.settings
    cluster, spec = await asyncio.to_thread(load_spec, topology, settings, reach, seen=seen, uses=uses)
    kept = await _recorded_place(runtime, cluster)
    if kept is not None and kept != spec.overlay_dir == settings.overlay_dir:
        settings = settings.model_copy(update={"overlay_dir": kept})
        cluster, spec = await asyncio.to_thread(load_spec, topology, settings, reach, seen=seen, uses=uses)
    impossible = await _impossible_faults(runtime, spec)
    kvm_usable = await _verdict_on_cpus(runtime, spec)
    if impossible or kvm_usable is not None:
        seen = None if seen is None else replace(seen, kvm_usable=kvm_usable)
        await asyncio.to_thread(load_spec, topology, settings, reach, impossible, seen, uses)
    return cluster, spec


async def _recorded_place(runtime: Runtime, cluster: str) -> Path | None:
    """The recorded directory of a cluster; None if it has no record, or one that is to be rebuilt."""
    try:
        record = await runtime.store.get(cluster)
    except RecordUnreadable:
        return None
    return record.spec.overlay_dir if record else None


async def _look_at_host(runtime: Runtime) -> HostView | None:
    """None if libvirt is unavailable: problems of the file itself can still be reported."""
    try:
        seen = await observe_host(runtime.libvirt)
    except LibvirtUnavailable as error:
        log.info("host_not_looked_at", cause=str(error))
        return None
    hosts = (await runtime.store.hosts()).values()
    others = {of.name: of for of in hosts if of.alive and of.name != runtime.settings.own_host}
    images = {name: frozenset(image.path for image in of.images) for name, of in others.items()}
    return replace(seen, others=images)


async def _verdict_on_cpus(runtime: Runtime, spec: ClusterSpec) -> bool | None:
    """Whether KVM works, if that decides whether a node can have its CPU model."""
    undecided = any(node.virt_type is VirtType.AUTO and node.cpu for node in spec.nodes.values())
    return (await runtime.kvm_verdict()).kvm_usable if undecided else None


async def _impossible_faults(runtime: Runtime, spec: ClusterSpec) -> dict[str, str]:
    impossible: dict[str, str] = {}
    for name, declared in spec.faults.items():
        if declared.request.shaping is not None:
            try:
                await runtime.links.require(declared.request.shaping)
            except HostCapabilityMissing as error:
                impossible[name] = str(error)
    return impossible
