"""Takes snapshots and resumes from them: all disks of all nodes as of one moment.

The order is what matters here. New layers are prepared and the journal is written before any node is paused; the
manifest comes last. If it is killed at any point, the next round resumes the paused nodes and removes what is
half-made; a layer that was already put on a disk stays part of its chain, which does no harm.
"""

import asyncio
import time
from collections.abc import Awaitable, Coroutine, Iterable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from reconciler.act.console_marks import divide_console
from reconciler.act.context import ActContext
from reconciler.act.machine_files import require_files_of
from reconciler.act.unknown_layers import keep_what_is_written_to, next_layer
from reconciler.errors import ClusterError, SnapshotFailed
from reconciler.host.disks import manifests
from reconciler.host.disks.image_file import read_image_facts
from reconciler.host.disks.layers import freeze_layer, mark_resumed
from reconciler.host.libvirt.memory_file import prepare_memory, publish_memory
from reconciler.host.nvram import keep_nvram
from reconciler.kernel_log.boots import MEMORY_PUT_BACK
from reconciler.model import names
from reconciler.model.document import BackingFile, Domain, Layer
from reconciler.model.plan import ResumeMemory, SweepSnapshot, TakeSnapshot
from reconciler.model.snapshot import FrozenDisk, Manifest, SnapshotNode, SnapshotPower
from reconciler.store.meeting import PREPARED_S, Meeting, Phase

log = structlog.get_logger(__name__)

_PAUSED_S = 5.0
_QUIESCED_S = 30.0
_SWITCHED_S = 10.0
_MEMORIES_S = 600.0
"""How long the last host may take to pause its nodes, to put layers on them, and to save their memory."""

_CLOCK_LOGIN_S = 6.0
"""A guest that was just restored, emulated beside others on busy cores, takes 1 s to 4 s for its first login."""
_LATE_CLOCK_LOGIN_S = 30.0
"""Without a guest agent, a slow login is the only way."""


async def take_snapshot(action: TakeSnapshot, context: ActContext) -> None:
    """Freeze every disk of every node at one moment, with memory if requested, and write the manifest.

    Nodes of other hosts are frozen at the same moment, or the snapshot is called off on all of them.
    """
    overlay_dir, cluster = context.record.spec.overlay_dir, context.cluster
    meeting = _meeting(action.snapshot.request, context)
    if not await meeting.begin():
        raise SnapshotFailed(
            f"the other hosts of the cluster have taken snapshot {action.name!r}, and this host's part of it is gone",
            hint="delete it, and take it again under another name",
        )
    stopped = tuple(node for node, power in action.power.items() if power is SnapshotPower.RUNNING)
    active = [node for node, power in action.power.items() if power is not SnapshotPower.OFF]
    await _all_of(context.snapshots.require_known_files(cluster, node) for node in active)
    journal = manifests.UnfinishedSnapshot(
        snapshot_name=action.name,
        stopped_nodes=stopped,
        quiesced_nodes=stopped if action.snapshot.quiesce else (),
        request=action.snapshot.request,
    )
    await asyncio.to_thread(manifests.begin_snapshot, overlay_dir, cluster, journal, context.origin)
    await _to_its_end(_take_or_clear_away(action, context, journal, meeting))


async def sweep_snapshot(action: SweepSnapshot, context: ActContext) -> None:
    """Finish an interrupted snapshot that all hosts have agreed to; resume the nodes and clear away any other."""
    overlay_dir, cluster = context.record.spec.overlay_dir, context.cluster
    journal = await asyncio.to_thread(manifests.read_journal, overlay_dir, cluster, action.name)
    journal = journal or manifests.UnfinishedSnapshot(snapshot_name=action.name, stopped_nodes=())
    await _undo_or_finish(journal, context, "it was interrupted")


def _meeting(request: int, context: ActContext) -> Meeting:
    return context.meeting(f"snapshot-{request}")


async def _take_or_clear_away(
    action: TakeSnapshot, context: ActContext, journal: manifests.UnfinishedSnapshot, meeting: Meeting
) -> None:
    try:
        await _take(action, context, journal, meeting)
    except ClusterError as error:
        overlay_dir, cluster = context.record.spec.overlay_dir, context.cluster
        noted = await asyncio.to_thread(manifests.read_journal, overlay_dir, cluster, action.name)
        await _undo_or_finish(noted or journal, context, error.message)
        raise


async def _undo_or_finish(journal: manifests.UnfinishedSnapshot, context: ActContext, why: str) -> None:
    """Let the nodes run on, then call the snapshot off, or finish it if it was agreed.

    They do not stand still while the store is asked, which may be away. A host whose nodes have no new layers yet has
    not said that it has switched, so nobody can agree; the layers of any other are right either way: what is frozen
    below them does not change.
    """
    try:
        await _run_on(journal, context)
    finally:  # the other hosts are not kept waiting by a node that cannot go on
        is_off = not journal.request or await _meeting(journal.request, context).call_off(why)
    if is_off or journal.manifest is None:
        await _clear_away(journal, context)
    else:
        await _finish(journal.manifest, context)


async def _run_on(journal: manifests.UnfinishedSnapshot, context: ActContext) -> None:
    await _all_of(context.libvirt.resume_if_paused(context.cluster, node) for node in journal.stopped_nodes)
    for node in journal.quiesced_nodes:
        await _thaw(node, context)


async def _clear_away(journal: manifests.UnfinishedSnapshot, context: ActContext) -> None:
    await keep_what_is_written_to(context)
    overlay_dir, cluster = context.record.spec.overlay_dir, context.cluster
    await asyncio.to_thread(manifests.remove_snapshot, overlay_dir, cluster, journal.snapshot_name)


async def _take(
    action: TakeSnapshot, context: ActContext, journal: manifests.UnfinishedSnapshot, meeting: Meeting
) -> None:
    after = {node: await _prepare_layers(node, domain, context) for node, domain in action.domains.items()}
    memories = await asyncio.to_thread(_prepare_memories, action, context)
    await _reach(Phase.PREPARED, meeting, context, limit_s=PREPARED_S)
    pause_s = await _switch_all(action, context, after, memories, journal, meeting)
    manifest = _manifest(action, context, memories, pause_s)
    if meeting.shared:
        overlay_dir, cluster = context.record.spec.overlay_dir, context.cluster
        await asyncio.to_thread(manifests.note_manifest, overlay_dir, cluster, journal, manifest, context.origin)
        context.checkpoint("before Agree")
    await meeting.reach(Phase.SWITCHED, limit_s=_MEMORIES_S if memories else _SWITCHED_S)
    await meeting.agree()
    context.checkpoint("after Agree")
    await _finish(manifest, context)


async def _reach(phase: Phase, meeting: Meeting, context: ActContext, *, limit_s: float) -> None:
    """Go on together with the other hosts, if this one still may."""
    await meeting.reach(phase, limit_s=limit_s)
    context.require_term()


async def _finish(manifest: Manifest, context: ActContext) -> None:
    await asyncio.to_thread(_publish, manifest, context)
    context.checkpoint("before Manifest")
    await asyncio.to_thread(manifests.finish_snapshot, context.record.spec.overlay_dir, manifest, context.origin)


async def resume_memory(action: ResumeMemory, context: ActContext) -> None:
    """Restore a node's memory from a snapshot, paused; only once, as its disks change when it runs on.

    The due resume is recorded before the restore: otherwise nothing would explain why the node is paused.
    """
    cluster, node = context.cluster, action.node
    layer = action.domain.disks[names.ROOT_DISK].path
    carried_out = await context.libvirt.carried_out(cluster, node)
    await asyncio.to_thread(divide_console, action.domain.console, MEMORY_PUT_BACK, cluster, node)
    await require_files_of(node, action.domain, context)
    context.require_term()
    owner = action.memory.parent.parent.parent.name  # in the directory of a snapshot, in that of its cluster
    await context.snapshots.restore(cluster, node, action.memory, action.domain, carried_out, owner=owner)
    context.checkpoint(f"after restore:{node}")
    await context.libvirt.note_resume(cluster, node, resume_epoch=action.resume_epoch)
    await asyncio.to_thread(mark_resumed, layer, cluster)
    context.checkpoint(f"after mark:{node}")
    context.ssh.drop(cluster, node)


async def _prepare_layers(node: str, domain: Domain, context: ActContext) -> Domain:
    """Create the new layer of each disk; returns the domain as it will be with them."""
    disks = dict(domain.disks)
    for target, disk in domain.disks.items():
        if disk.read_only:
            continue
        path = next_layer(node, target, disk, context)
        facts = await asyncio.to_thread(read_image_facts, disk.path, disk.format)
        layer = Layer(
            node=node, disk=target, size_bytes=facts.size_bytes, backing=disk.path, backing_format=disk.format
        )
        await context.layers.create_layer(path, layer, cluster=context.cluster, origin=context.origin)
        below = BackingFile(path=disk.path, format=disk.format)
        disks[target] = disk.model_copy(update={"path": path, "format": "qcow2", "backing": (below, *disk.backing)})
    return domain.model_copy(update={"disks": disks})


def _prepare_memories(action: TakeSnapshot, context: ActContext) -> dict[str, Path]:
    if not action.snapshot.include_memory:
        return {}
    overlay_dir, cluster = context.record.spec.overlay_dir, context.cluster
    active = [node for node, power in action.power.items() if power is not SnapshotPower.OFF]
    paths = {node: manifests.memory_path(overlay_dir, cluster, action.name, node) for node in active}
    for node, path in paths.items():
        prepare_memory(path, cluster=cluster, node=node, origin=context.origin)
    return paths


async def _switch_all(
    action: TakeSnapshot,
    context: ActContext,
    after: dict[str, Domain],
    memories: dict[str, Path],
    journal: manifests.UnfinishedSnapshot,
    meeting: Meeting,
) -> float:
    """Pause what runs, put the new layers on everything, resume; returns the seconds paused, 0 if nothing ran.

    Nothing runs on before everything is paused on all hosts. After that, no host has to wait for another: what a node
    that runs on sends to one that still stands reaches it after its own switch.
    """
    cluster, stopped, quiesced = context.cluster, journal.stopped_nodes, journal.quiesced_nodes
    await _all_of(context.snapshots.freeze_filesystems(cluster, node) for node in quiesced)
    began = time.monotonic()
    await _all_of(context.libvirt.suspend(cluster, node) for node in stopped)
    context.checkpoint("after Suspend")
    await _reach(Phase.PAUSED, meeting, context, limit_s=_QUIESCED_S if quiesced else _PAUSED_S)
    await asyncio.to_thread(_keep_nvrams, action, context)
    context.require_term()
    await _all_of(_switch(node, domain, action, context, memories) for node, domain in after.items())
    context.checkpoint("after Switch")
    await _all_of(context.libvirt.resume_if_paused(cluster, node) for node in stopped)
    pause_s = time.monotonic() - began
    await _all_of(context.snapshots.thaw_filesystems(cluster, node) for node in quiesced)
    return pause_s if stopped else 0.0


def _keep_nvrams(action: TakeSnapshot, context: ActContext) -> None:
    for node, domain in action.domains.items():
        if domain.nvram is not None:
            copy = manifests.snapshot_nvram_path(context.record.spec.overlay_dir, context.cluster, action.name, node)
            keep_nvram(domain.nvram, copy, context.cluster, node, context.origin)


async def _thaw(node: str, context: ActContext) -> None:
    """Thaw what an interrupted snapshot may have frozen; its agent may be gone by now, which does no harm here."""
    try:
        await context.snapshots.thaw_filesystems(context.cluster, node)
    except ClusterError as error:
        log.warning("not_thawed", cluster=context.cluster, node=node, cause=str(error))


async def _to_its_end(work: Coroutine[None, None, None]) -> None:
    """Finish the work even if the caller is cancelled meanwhile: no node may be left paused."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def _all_of(steps: Iterable[Awaitable[object]]) -> None:
    """Wait until all of them have ended; only then raise the first failure."""
    for result in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def _switch(
    node: str, domain: Domain, action: TakeSnapshot, context: ActContext, memories: dict[str, Path]
) -> None:
    if action.power[node] is SnapshotPower.OFF:
        carried_out = await context.libvirt.carried_out(context.cluster, node)
        await context.libvirt.define_domain(context.cluster, node, domain, carried_out, context.origin)
        return
    layers = {target: disk.path for target, disk in domain.disks.items() if not disk.read_only}
    await context.snapshots.switch_disks(context.cluster, node, layers, memory=memories.get(node))


def _publish(manifest: Manifest, context: ActContext) -> None:
    for node in manifest.nodes.values():
        if node.memory is not None:
            publish_memory(node.memory, cluster=context.cluster)
        for disk in node.disks.values():
            freeze_layer(disk.path, context.cluster)


def _manifest(action: TakeSnapshot, context: ActContext, memories: dict[str, Path], pause_s: float) -> Manifest:
    return Manifest(
        snapshot_name=action.name,
        cluster_name=context.cluster,
        request=action.snapshot.request,
        created_at=datetime.now(UTC),
        include_memory=action.snapshot.include_memory,
        pause_s=round(pause_s, 4),
        nodes={
            node: SnapshotNode(
                power=action.power[node],
                memory=memories.get(node),
                disks={
                    target: FrozenDisk(path=disk.path, format=disk.format)
                    for target, disk in domain.disks.items()
                    if not disk.read_only
                },
            )
            for node, domain in action.domains.items()
        },
    )


async def try_clock(node: str, context: ActContext) -> bool:
    """Set the guest's clock to the host's over SSH, if a login succeeds soon; whether it did."""
    address = context.address_of(node)
    try:
        await context.ssh.set_clock(address, timeout_s=min(_CLOCK_LOGIN_S, address.connect_timeout_s), again=True)
    except ClusterError as error:
        log.debug("no_login_for_clock_yet", cluster=context.cluster, node=node, cause=str(error))
        return False
    return True


async def step_clock(node: str, context: ActContext) -> None:
    """Set the guest's clock to the host's: over SSH, by its agent if no login succeeds soon, else at the first login.

    Callers wait for the login, so it comes first; the agent's hwclock(8) keeps an emulated CPU busy for a second. One
    after the other: a late agent would undo what SSH has set.
    """
    if await try_clock(node, context):
        return None
    address = context.address_of(node)
    if await context.snapshots.set_guest_time(context.cluster, node):
        return None
    try:
        return await context.ssh.set_clock(address, timeout_s=_LATE_CLOCK_LOGIN_S)
    except ClusterError as error:
        cause = f"no guest agent answers, and over SSH: {error}"
        log.warning("clock_not_stepped", cluster=context.cluster, node=node, cause=cause)
