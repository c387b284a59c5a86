"""Waits until a cluster has a condition, without changing anything."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from reconciler.errors import InvalidArgument, OperationTimeout, meant
from reconciler.health.provisioning import wait_until_provisioned, with_user_data
from reconciler.model.record import ClusterRecord, WantedPower
from reconciler.model.status import Condition, ConditionStatus, ConditionType
from reconciler.progress import Progress, no_progress
from reconciler.records.stored_records import existing, require_cluster_name, select_nodes
from reconciler.runtime import Runtime
from reconciler.store.protocol import ChangeWaiter
from reconciler.usecases.inspection import Inspection

DELETE = "delete"
_POLL_S = 0.5


def parse_condition(text: str) -> tuple[ConditionType, ConditionStatus] | None:
    """`Ready`, `condition=Ready`, `condition=Ready=False`; None for `delete`. Raises `InvalidArgument`."""
    if text == DELETE:
        return None
    name, _, wanted = text.removeprefix("condition=").partition("=")
    types = {of.value.lower(): of for of in ConditionType}
    statuses = {of.value.lower(): of for of in ConditionStatus}
    if name.lower() not in types or (wanted or "true").lower() not in statuses:
        known = [of.value for of in ConditionType]
        hint = meant(name, [*known, DELETE], f"one of {', '.join(known)}, with =True or =False, or {DELETE}")
        raise InvalidArgument(f"unknown condition {text!r}", hint=hint)
    return types[name.lower()], statuses[(wanted or "true").lower()]


async def wait_for_condition(
    runtime: Runtime,
    cluster: str,
    condition: str,
    *,
    timeout_s: float,
    nodes: Sequence[str] | str | None = None,
    progress: Progress = no_progress,
) -> Condition | None:
    """The condition as soon as it has the requested status; None if waiting for deletion, and the cluster is gone.

    With some `nodes` it is that of these alone: they are ready once they accept logins and, with `user_data`, are
    provisioned. Raises `OperationTimeout` with the current status, `ClusterNotFound` and `NodeNotFound`.
    """
    require_cluster_name(cluster)
    wanted = parse_condition(condition)
    until_s = time.monotonic() + timeout_s
    if nodes and nodes != "all" and list(nodes) != ["all"]:
        record = await existing(runtime.store, cluster)
        return await _wait_for_nodes(runtime, record, select_nodes(record, nodes), wanted, timeout_s, progress)
    if wanted is None:
        await _wait_until_gone(runtime, cluster, until_s)
        return None
    record = await existing(runtime.store, cluster)
    if wanted[0] in {ConditionType.SSH_REACHABLE, ConditionType.PROVISIONED}:
        running = [name for name, intent in record.nodes.items() if intent.power is WantedPower.RUNNING]
        return await _wait_for_guests(runtime, record, running, wanted, timeout_s, progress)
    if wanted[0] is ConditionType.KERNEL_HEALTHY:
        return await _wait_for_kernels(runtime, cluster, wanted, until_s)
    return await _wait_until_said(runtime, cluster, wanted, until_s)


async def _wait_for_nodes(
    runtime: Runtime,
    record: ClusterRecord,
    nodes: list[str],
    wanted: tuple[ConditionType, ConditionStatus] | None,
    timeout_s: float,
    progress: Progress,
) -> Condition:
    """The condition of these nodes together; its message names them."""
    if wanted is None or wanted[0] not in {*_OF_GUESTS, *_OF_NODES}:
        known = ", ".join(of.value for of in (*_OF_GUESTS, *_OF_NODES))
        raise InvalidArgument("nodes do not have this condition, only their cluster", hint=f"theirs are {known}")
    kind, status = wanted
    if kind in _OF_GUESTS:
        return await _wait_for_guests(runtime, record, nodes, wanted, timeout_s, progress)
    until_s = time.monotonic() + timeout_s
    changes = await runtime.store.watch()
    while others := {
        node: said for node, (found, said) in (await _OF_NODES[kind](runtime, record, nodes)).items() if found != status
    }:
        told = "; ".join(f"{node} {said}" for node, said in others.items())
        await _pause(changes, until_s, f"{kind.value} of cluster {record.cluster_name!r}: {told}")
        record = await existing(runtime.store, record.cluster_name)
        select_nodes(record, nodes)  # one may be gone
    return _held(kind, status, "AsWanted", nodes)


_Said = Mapping[str, tuple[ConditionStatus, str]]
"""The status of each node, and that in words."""


async def _running(runtime: Runtime, record: ClusterRecord, nodes: list[str]) -> _Said:
    down = await Inspection(runtime).not_running(record, nodes)
    said = {node: (ConditionStatus.FALSE, f"is {state.state.value}") for node, state in down.items()}
    return {**dict.fromkeys(nodes, (ConditionStatus.TRUE, "is running")), **said}


async def _kernels(runtime: Runtime, record: ClusterRecord, nodes: list[str]) -> _Said:
    seen = {of.name: of for of in (await Inspection(runtime).status(record.cluster_name)).nodes}
    found = {node: _of_type(ConditionType.KERNEL_HEALTHY, seen[node].conditions) for node in nodes if node in seen}
    unknown = dict.fromkeys(nodes, (ConditionStatus.UNKNOWN, "is not known"))
    said = {node: (of.status, f"is {of.status.value} ({of.reason})") for node, of in found.items() if of is not None}
    return {**unknown, **said}


_OF_GUESTS = (ConditionType.READY, ConditionType.SSH_REACHABLE, ConditionType.PROVISIONED)
_OF_NODES = {ConditionType.RUNNING: _running, ConditionType.KERNEL_HEALTHY: _kernels}
"""How the conditions of nodes are seen that need no login to wait for."""


def _held(kind: ConditionType, status: ConditionStatus, reason: str, nodes: Iterable[str] = ()) -> Condition:
    return Condition(
        type=kind, status=status, reason=reason, message=", ".join(nodes), last_transition=datetime.now(UTC)
    )


async def _wait_until_gone(runtime: Runtime, cluster: str, until_s: float) -> None:
    changes = await runtime.store.watch()
    while (record := await runtime.store.get(cluster)) is not None:
        if record.deletion is not None and (await runtime.looks.compare(record)).plan.converged:
            return  # only its disks are kept
        await _pause(changes, until_s, f"cluster {cluster!r} still exists")


async def _wait_until_said(
    runtime: Runtime, cluster: str, wanted: tuple[ConditionType, ConditionStatus], until_s: float
) -> Condition:
    changes = await runtime.store.watch()
    while True:
        await existing(runtime.store, cluster)
        look = await runtime.looks.look(cluster)
        found = _of_type(wanted[0], look.status.conditions) if look else None
        if look and found and found.type is ConditionType.READY and found.status is ConditionStatus.TRUE:
            found = _of_type(wanted[0], (await Inspection(runtime).status(cluster, look)).conditions)
        if found is not None and found.status is wanted[1]:
            return found
        await _pause(changes, until_s, _otherwise(cluster, wanted[0], found))


async def _wait_for_kernels(
    runtime: Runtime, cluster: str, wanted: tuple[ConditionType, ConditionStatus], until_s: float
) -> Condition:
    """The condition of the nodes' kernels; asks every node."""
    changes = await runtime.store.watch()
    while True:
        found = _of_type(wanted[0], (await Inspection(runtime).status(cluster)).conditions)
        if found is not None and found.status is wanted[1]:
            return found
        await _pause(changes, until_s, _otherwise(cluster, wanted[0], found))


def _of_type(kind: ConditionType, conditions: Iterable[Condition]) -> Condition | None:
    return next((of for of in conditions if of.type is kind), None)


def _otherwise(cluster: str, kind: ConditionType, found: Condition | None) -> str:
    """Describes the current status in the error."""
    said = f"is {found.status.value} ({found.reason}) {found.message}".strip() if found else "is not known"
    return f"{kind.value} of cluster {cluster!r} {said}"


async def _wait_for_guests(
    runtime: Runtime,
    record: ClusterRecord,
    nodes: list[str],
    wanted: tuple[ConditionType, ConditionStatus],
    timeout_s: float,
    progress: Progress,
) -> Condition:
    """The conditions that only guests can report: that they accept logins, that cloud-init is done, or both."""
    kind, status = wanted
    if status is not ConditionStatus.TRUE:
        raise InvalidArgument(
            f"can only wait for {kind.value} to be True",
            hint="conditions that need no guest, such as Running=False, can be waited for either way",
        )
    off = [name for name in nodes if record.nodes[name].power is not WantedPower.RUNNING]
    if off or not nodes:
        told = f"{', '.join(off)} {'is' if len(off) == 1 else 'are'} not to run" if off else "no node is to run"
        raise InvalidArgument(f"cluster {record.cluster_name!r}: {told}", hint="start them with `cluster_start`")
    since_s = time.monotonic()
    await Inspection(runtime).wait_for_ssh(record, nodes, timeout_s=timeout_s, progress=progress)
    reason = "AllReachable"
    if kind is not ConditionType.SSH_REACHABLE:
        booting = nodes if kind is ConditionType.PROVISIONED else with_user_data(record, nodes)
        await wait_until_provisioned(runtime, record, booting, since_s=since_s, timeout_s=timeout_s, progress=progress)
        reason = "AllProvisioned"
    return _held(kind, status, reason, nodes)


async def _pause(changes: ChangeWaiter, until_s: float, otherwise: str) -> None:
    """Wait until something changes or it is time to look again; raises `OperationTimeout` when the time is up."""
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise OperationTimeout(f"timed out: {otherwise}", hint="see `cluster_status` and `cluster_events`")
    await changes.wait(timeout_s=min(_POLL_S, left_s))
