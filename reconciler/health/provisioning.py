"""Whether cloud-init is done on the nodes: as a condition of each, and waiting for it."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import datetime

from reconciler.concurrency import together
from reconciler.errors import ClusterError, OperationTimeout, ProvisioningFailed
from reconciler.guest.address import GuestAddress
from reconciler.guest.cloud_init_progress import (
    OUTPUT_PATH,
    PROVISIONING_COMMAND,
    CloudInitStage,
    Provisioning,
    parse_provisioning,
)
from reconciler.guest.printed_files import parse_printed
from reconciler.health.node_failures import causes_by_node, only_one
from reconciler.model.record import ClusterRecord
from reconciler.model.results import DomainState
from reconciler.model.status import Condition, ConditionStatus, ConditionType
from reconciler.progress import Progress, said_meanwhile
from reconciler.records.node_addresses import addresses
from reconciler.runtime import Runtime

LOOK_TIMEOUT_S = 5.0
"""How long a node may take to report its progress, before it is asked again."""

_LEAST_S = 0.1
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 2.0
_STATUS = {
    CloudInitStage.RUNNING: ConditionStatus.FALSE,
    CloudInitStage.FAILED: ConditionStatus.FALSE,
    CloudInitStage.DONE: ConditionStatus.TRUE,
    CloudInitStage.DISABLED: ConditionStatus.TRUE,
    CloudInitStage.ABSENT: ConditionStatus.TRUE,
    CloudInitStage.UNKNOWN: ConditionStatus.UNKNOWN,
}
_READ_THE_LOG = f"run `tail -n 50 {OUTPUT_PATH}` with `node_exec` to see what went wrong"


def with_user_data(record: ClusterRecord, nodes: Iterable[str]) -> list[str]:
    """Those of `nodes` that have user_data."""
    return [name for name in nodes if record.spec.nodes[name].user_data]


def node_condition(found: Provisioning, booted: datetime) -> Condition:
    """The condition of a node booted at that time."""
    message = f"{found.message} (see {OUTPUT_PATH} there)" if found.stage is CloudInitStage.FAILED else found.message
    return _condition(_STATUS[found.stage], found.stage.value, message, found.since or booted)


def unseen_condition(state: DomainState, cause: str, since: datetime) -> Condition:
    """The condition of a node that could not be reached."""
    off = state in {DomainState.SHUT_OFF, DomainState.PAUSED, DomainState.CRASHED}
    return _condition(ConditionStatus.UNKNOWN, "NotRunning" if off else "NotObserved", cause, since)


async def wait_until_provisioned(
    runtime: Runtime,
    record: ClusterRecord,
    nodes: Iterable[str],
    *,
    since_s: float,
    timeout_s: float,
    progress: Progress,
) -> None:
    """Return when cloud-init is done on each of `nodes`; the time runs since `since_s` (monotonic).

    Raises `ProvisioningFailed` as soon as it has failed on one, and `OperationTimeout`, naming the nodes.
    """
    until_s, pause_s = since_s + timeout_s, _FIRST_PAUSE_S
    waiting = {address.node: address for address in await addresses(runtime, record, list(nodes))}
    async with said_meanwhile(lambda: f"waiting for cloud-init: {', '.join(waiting)}", progress):
        while waiting:
            found = await _ask(
                runtime, waiting.values(), min(LOOK_TIMEOUT_S, max(until_s - time.monotonic(), _LEAST_S))
            )
            for node in [node for node, of in found.items() if _STATUS[of.stage] is ConditionStatus.TRUE]:
                progress.finished(node, found.pop(node).message or "provisioned")
                del waiting[node]
            if failed := {node: of for node, of in found.items() if of.stage is CloudInitStage.FAILED}:
                raise _failed(failed)
            left_s = until_s - time.monotonic()
            if waiting and left_s <= 0:
                raise _late(found, timeout_s)
            await asyncio.sleep(min(pause_s, max(left_s, 0.0)) if waiting else 0)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


async def not_yet_provisioned(runtime: Runtime, record: ClusterRecord, nodes: Iterable[str]) -> dict[str, str]:
    """Those of `nodes` on which cloud-init is not done, or does not report so, with their conditions."""
    found = await _ask(runtime, await addresses(runtime, record, list(nodes)), LOOK_TIMEOUT_S)
    return {node: of.message for node, of in found.items() if _STATUS[of.stage] is not ConditionStatus.TRUE}


async def _ask(runtime: Runtime, targets: Iterable[GuestAddress], timeout_s: float) -> dict[str, Provisioning]:
    """The condition of each node; one that does not answer is Unknown, because it may be rebooting."""

    async def ask(address: GuestAddress) -> Provisioning:
        try:
            answer = await runtime.ssh.run(address, PROVISIONING_COMMAND, timeout_s=timeout_s, own=True)
        except ClusterError as error:
            return Provisioning(CloudInitStage.UNKNOWN, error.message)
        return parse_provisioning(parse_printed(answer.stdout))

    chosen = list(targets)
    return dict(zip((of.node for of in chosen), await together(*map(ask, chosen)), strict=True))


def _failed(failed: Mapping[str, Provisioning]) -> ProvisioningFailed:
    return ProvisioningFailed(
        f"the nodes run, but cloud-init failed on {causes_by_node(failed)}",
        node=only_one(failed),
        hint=f"{_READ_THE_LOG}; cloud-init runs only on a node's first boot, so after fixing `user_data` recreate "
        "the node",
    )


def _late(found: Mapping[str, Provisioning], timeout_s: float) -> OperationTimeout:
    return OperationTimeout(
        f"not provisioned within {timeout_s:g} s: {causes_by_node(found)}",
        node=only_one(found),
        hint=f"the nodes keep running: wait longer with `cluster_start`, or run `tail -n 50 {OUTPUT_PATH}` with "
        "`node_exec` to see what cloud-init does",
    )


def _condition(status: ConditionStatus, reason: str, message: str, since: datetime) -> Condition:
    return Condition(
        type=ConditionType.PROVISIONED, status=status, reason=reason, message=message, last_transition=since
    )
