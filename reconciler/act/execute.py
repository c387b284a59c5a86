"""The executors: what each action does to the host. Each can be repeated after an interruption at any point.

The runner asks for the right to act before an action; an executor asks again before what cannot be undone, if anything
came before it that may have taken long.
"""

import asyncio
import time
from collections.abc import Coroutine
from functools import singledispatch
from typing import Any, TypeVar

import structlog

from reconciler.act.clone import clone
from reconciler.act.console_marks import divide_console
from reconciler.act.context import ActContext
from reconciler.act.flatten import flatten_layer
from reconciler.act.machine_files import require_defined_files, require_disks
from reconciler.act.snapshot_actions import resume_memory, step_clock, sweep_snapshot, take_snapshot, try_clock
from reconciler.act.unknown_layers import delete_unneeded
from reconciler.errors import ClusterError, ClusterNotRunning, OperationFailed
from reconciler.faults.compile_links import compile_host
from reconciler.host import tap
from reconciler.host.cloud_init.etc_hosts import hosts_command
from reconciler.host.cloud_init.seed_driver import delete_seed, write_seed
from reconciler.host.console_log import delete_console_logs
from reconciler.host.disks.layers import grow_image
from reconciler.host.disks.lent_snapshots import hold_snapshot, release_snapshot, remove_unless_held
from reconciler.host.disks.manifests import snapshot_nvram_path
from reconciler.host.disks.original_owner import restore_owner
from reconciler.host.fork_network.fork_network_driver import join_network, leave_network
from reconciler.host.libvirt.memory_pipe import delete_memory_pipes
from reconciler.host.links.ports import ports_of
from reconciler.host.nvram import delete_nvram, put_nvram
from reconciler.host.tunnel import tunnel_driver
from reconciler.kernel_log.boots import DISKS_REPLACED
from reconciler.model import names
from reconciler.model.choices import StopMode
from reconciler.model.plan import (
    Action,
    AttachDisk,
    CreateLayer,
    CreateNetwork,
    CutPower,
    DefineDomain,
    DeleteNetwork,
    DeleteSeed,
    DeleteSnapshot,
    GrowLayer,
    HealLinks,
    HoldSnapshot,
    PlugTap,
    ReleaseSnapshot,
    RestoreOwner,
    Resume,
    SetHostAddress,
    SetLinks,
    SetTunnel,
    ShutDown,
    Start,
    StartNetwork,
    Suspend,
    UndefineDomain,
    UpdateSeed,
    WriteSeed,
)

log = structlog.get_logger(__name__)

GRACE_BEFORE_CUT_S = 30.0
"""How long a node that is power-cycled by a shutdown may take to shut down."""

T = TypeVar("T")

_GRACE_POLL_S = 0.1
_UP_POLL_S = 0.25
_HOSTS_LATER = "the node updates its /etc/hosts at its next boot"
_HOSTS_UPDATE_TIMEOUT_S = 5.0


@singledispatch
async def execute(action: Action, context: ActContext) -> None:
    """Carry out one action, by its own function below. Raises a `ClusterError` if the host refuses."""
    raise NotImplementedError(f"nothing carries out {type(action).__name__}")


async def apply_links(action: SetLinks | HealLinks, context: ActContext) -> None:
    """Apply these links to the host. A node without a tap gets its cuts; the rest follows when it boots."""
    links = action.links if isinstance(action, SetLinks) else {}
    ports = ports_of(context.record)
    # A second look in the round: machines that it started have new taps, and only now does their kernel know them.
    observed = await context.links.observe(context.cluster, ports)
    there = {node for node, port in ports.nodes.items() if port.tap in observed.trees}
    possible = {node: of if node in there else of.cuts_only for node, of in links.items()}
    context.require_term()
    await context.links.apply(context.cluster, compile_host(possible, ports), observed, ports)


execute.register(flatten_layer)
execute.register(delete_unneeded)
execute.register(apply_links)
execute.register(take_snapshot)
execute.register(sweep_snapshot)
execute.register(resume_memory)


@execute.register
async def _create_network(action: CreateNetwork, context: ActContext) -> None:
    for name in action.replaces:
        await context.libvirt.delete_network(context.cluster, name)
        context.require_term()
    await context.libvirt.create_network(context.cluster, action.name, action.network, context.origin)


@execute.register
async def _start_network(action: StartNetwork, context: ActContext) -> None:
    await context.libvirt.start_network(context.cluster, action.name)


@execute.register
async def _set_tunnel(action: SetTunnel, context: ActContext) -> None:
    await tunnel_driver.set_tunnel(context.cluster, action.network)


@execute.register
async def _set_host_address(action: SetHostAddress, context: ActContext) -> None:
    assert action.network.host_address is not None
    await join_network(action.network.bridge, action.network.host_address)


@execute.register
async def _hold_snapshot(action: HoldSnapshot, context: ActContext) -> None:
    record = context.record
    assert record.forked_from is not None
    place, cluster, of = record.spec.overlay_dir, context.cluster, record.forked_from
    await asyncio.to_thread(hold_snapshot, place, cluster, of, action.snapshot, context.origin)


@execute.register
async def _release_snapshot(_action: ReleaseSnapshot, context: ActContext) -> None:
    await asyncio.to_thread(release_snapshot, context.record.spec.overlay_dir, context.cluster)


@execute.register
async def _delete_network(action: DeleteNetwork, context: ActContext) -> None:
    """A network that only had another name leaves the tunnel to the one that replaced it."""
    network = context.record.spec.network
    if context.record.deletion is not None or network.tunnel is None or action.name == network.name:
        await tunnel_driver.remove_tunnel(context.cluster)
        context.require_term()
    await leave_network(context.cluster, network.host_address)
    context.require_term()
    await context.libvirt.delete_network(context.cluster, action.name)


@execute.register
async def _create_layer(action: CreateLayer, context: ActContext) -> None:
    await context.layers.create_layer(action.path, action.layer, cluster=context.cluster, origin=context.origin)


@execute.register
async def _restore_owner(action: RestoreOwner, context: ActContext) -> None:
    await asyncio.to_thread(restore_owner, action.file)


@execute.register
async def _write_seed(action: WriteSeed, context: ActContext) -> None:
    await _put_seed(action.node, action.digest, context)


@execute.register
async def _update_seed(action: UpdateSeed, context: ActContext) -> None:
    await _put_seed(action.node, action.digest, context)
    await _update_hosts(action.node, context.seeds[action.node].hosts, context)


@execute.register
async def _delete_seed(action: DeleteSeed, context: ActContext) -> None:
    await asyncio.to_thread(_delete_node_files, action.node, context)


@execute.register
async def _define(action: DefineDomain, context: ActContext) -> None:
    """UEFI variables of an earlier root disk do not fit the one that is defined now."""
    record, nvram = context.record, action.domain.nvram
    based_on = record.nodes[action.node].based_on
    if nvram is not None and based_on is not None:
        copy = snapshot_nvram_path(record.spec.overlay_dir, context.cluster, based_on, action.node)
        await asyncio.to_thread(put_nvram, copy, nvram, context.cluster, action.node, context.origin)
        context.require_term()
    if action.other_disks:
        await asyncio.to_thread(divide_console, action.domain.console, DISKS_REPLACED, context.cluster, action.node)
    await context.libvirt.define_domain(context.cluster, action.node, action.domain, action.carried_out, context.origin)
    if nvram is not None:
        context.require_term()
        await asyncio.to_thread(delete_nvram, nvram.parent, action.node, keeping=nvram)


@execute.register
async def _attach_disk(action: AttachDisk, context: ActContext) -> None:
    await require_disks(action.node, {action.target: action.disk}, context)
    context.require_term()
    await context.libvirt.attach_disk(context.cluster, action.node, action.target, action.disk)


@execute.register
async def _grow_layer(action: GrowLayer, context: ActContext) -> None:
    """A machine that is up grows its disk itself, and its guest sees it at once."""
    if not await context.libvirt.grow_disk(context.cluster, action.node, action.path, action.size_bytes):
        context.require_term()
        await grow_image(action.path, action.size_bytes, cluster=context.cluster)


@execute.register
async def _undefine(action: UndefineDomain, context: ActContext) -> None:
    await context.libvirt.undefine_domain(context.cluster, action.node)


@execute.register
async def _shut_down(action: ShutDown, context: ActContext) -> None:
    await context.libvirt.shut_down(context.cluster, action.node)


@execute.register
async def _start(action: Start, context: ActContext) -> None:
    if action.template is not None and await clone(action, action.template, context):
        return
    await require_defined_files(action.node, context)
    context.require_term()
    await context.libvirt.start(context.cluster, action.node, paused=action.paused, resume_epoch=action.resume_epoch)


@execute.register
async def _suspend(action: Suspend, context: ActContext) -> None:
    await context.libvirt.suspend(context.cluster, action.node)


@execute.register
async def _plug_tap(action: PlugTap, context: ActContext) -> None:
    await tap.plug_tap(action.tap, action.bridge, up=action.up)


@execute.register
async def _delete_snapshot(action: DeleteSnapshot, context: ActContext) -> None:
    await asyncio.to_thread(remove_unless_held, context.record.spec.overlay_dir, context.cluster, action.name)


@execute.register
async def _cut_power(action: CutPower, context: ActContext) -> None:
    if action.mode is StopMode.SHUTDOWN:
        await _ask_and_wait(action.node, context)
        context.require_term()
    await context.libvirt.cut_power(context.cluster, action.node, boot_epoch=action.boot_epoch)
    context.ssh.drop(context.cluster, action.node)


@execute.register
async def _resume(action: Resume, context: ActContext) -> None:
    """Record the request only after the clock is right: if killed before that, the next round steps it."""
    await context.libvirt.resume_if_paused(context.cluster, action.node)
    if action.after_memory:
        await step_clock(action.node, context)
    elif action.stood_still:
        await try_clock(action.node, context)
    await context.libvirt.note_resume(context.cluster, action.node, resume_epoch=action.resume_epoch)


async def _ask_and_wait(node: str, context: ActContext) -> None:
    await context.libvirt.shut_down(context.cluster, node)
    until = time.monotonic() + GRACE_BEFORE_CUT_S
    while time.monotonic() < until and await context.libvirt.is_active(context.cluster, node):
        await asyncio.sleep(_GRACE_POLL_S)


async def _put_seed(node: str, digest: str, context: ActContext) -> None:
    inputs, forked_from = context.seeds[node], context.record.forked_from
    lender = forked_from.cluster if forked_from else None
    place = context.record.spec.overlay_dir
    await asyncio.to_thread(write_seed, place, inputs, digest, context.origin, lender=lender)


async def _update_hosts(node: str, hosts: str, context: ActContext) -> None:
    """Update a running guest's /etc/hosts; a guest that cannot be reached reads it at its next boot."""
    address = context.address_of(node)
    update = context.ssh.run(
        address, hosts_command(address.user), stdin=hosts.encode(), timeout_s=_HOSTS_UPDATE_TIMEOUT_S, own=True
    )
    try:
        done = await _while_up(node, update, context)
        if done.exit_code != 0:
            raise OperationFailed(f"/etc/hosts could not be written: {done.stderr.strip()}", node=node)
    except ClusterError as error:
        log.warning(_HOSTS_LATER, cluster=context.cluster, node=node, cause=str(error))


async def _while_up(node: str, work: Coroutine[Any, Any, T], context: ActContext) -> T:
    """The result of `work`; raises `ClusterNotRunning` as soon as the node's machine has ended."""
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait([task], timeout=_UP_POLL_S))[0]:
            if not await context.libvirt.is_active(context.cluster, node):
                raise ClusterNotRunning("it has shut down in the meantime", node=node)
        return task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


def _delete_node_files(node: str, context: ActContext) -> None:
    """Delete the seed last: by it a later round recognises an interrupted deletion."""
    directory = names.cluster_dir(context.record.spec.overlay_dir, context.cluster)
    delete_console_logs(directory, node)
    delete_nvram(directory, node)
    delete_memory_pipes(directory)
    delete_seed(context.record.spec.overlay_dir, context.cluster, node)
