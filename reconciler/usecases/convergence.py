"""Waits until nodes accept logins, and until they are provisioned."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from reconciler.concurrency import together
from reconciler.errors import ClusterError, Obstructed, OperationTimeout
from reconciler.guest.address import GuestAddress
from reconciler.health.provisioning import wait_until_provisioned, with_user_data
from reconciler.model.record import ClusterRecord
from reconciler.progress import Progress
from reconciler.records.node_addresses import addresses
from reconciler.runtime import Runtime
from reconciler.usecases.inspection import Inspection
from reconciler.usecases.login import refresh_known_hosts

log = structlog.get_logger(__name__)

_CLOCK_TIMEOUT_S = 30.0


async def wait_for_ssh(
    runtime: Runtime, record: ClusterRecord, nodes: list[str], timeout_s: float, progress: Progress
) -> None:
    """Wait for a login to each of `nodes`, to which the system's `ssh` has the keys then.

    An error carries the status of the cluster.
    """
    inspection = Inspection(runtime)
    try:
        await inspection.wait_for_ssh(record, nodes, timeout_s=timeout_s, progress=progress)
        await refresh_known_hosts(runtime, record)
    except ClusterError as error:
        error.partial = await inspection.status(record.cluster_name)
        raise


async def wait_until_usable(
    runtime: Runtime, record: ClusterRecord, nodes: list[str], timeout_s: float, progress: Progress
) -> None:
    """Wait for a login to each of `nodes`, and for cloud-init on those with `user_data`, within one time limit.

    An error carries the status of the cluster.
    """
    since_s = time.monotonic()
    await wait_for_ssh(runtime, record, nodes, timeout_s, progress)
    chosen = with_user_data(record, nodes)
    try:
        await wait_until_provisioned(runtime, record, chosen, since_s=since_s, timeout_s=timeout_s, progress=progress)
    except ClusterError as error:
        error.partial = await Inspection(runtime).status(record.cluster_name)
        raise


@asynccontextmanager
async def telling_status(runtime: Runtime, cluster: str) -> AsyncIterator[None]:
    """Have an error of a change that was begun carry the status of the cluster: others may have come further."""
    try:
        yield
    except (Obstructed, OperationTimeout) as error:
        with suppress(ClusterError):
            error.partial = await Inspection(runtime).status(cluster)
        raise


async def step_clocks(runtime: Runtime, record: ClusterRecord, nodes: list[str]) -> None:
    """Set the clocks of guests resumed from memory, unless the process that resumed them has done so."""

    async def step(address: GuestAddress) -> None:
        try:
            await runtime.ssh.set_clock(address, timeout_s=_CLOCK_TIMEOUT_S)
        except ClusterError as error:
            log.warning("clock_not_stepped", cluster=record.cluster_name, node=address.node, cause=str(error))

    await together(*map(step, await addresses(runtime, record, nodes)))
