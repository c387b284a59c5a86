"""Waiting until a record holds on the host, until its nodes let us log in, and until they are provisioned."""

import time

from reconciler.controller.controller import CarriedOut, Decide
from reconciler.errors import ClusterError, ClusterNotFound, Conflict
from reconciler.health.provisioning import wait_until_provisioned, with_user_data
from reconciler.model.record import ClusterRecord
from reconciler.progress import Progress
from reconciler.runtime import Runtime
from reconciler.usecases.inspection import Inspection


async def converge(runtime: Runtime, record: ClusterRecord, timeout_s: float, progress: Progress) -> None:
    """Wait until the record holds, and say so where another client has meanwhile asked for something else."""
    await runtime.controller.converge(record, timeout_s=timeout_s, tell=progress.event)
    await _require_still_wanted(runtime, record)


async def carry_out(runtime: Runtime, cluster: str, decide: Decide, timeout_s: float, progress: Progress) -> CarriedOut:
    """Have a change done as it was found, and wait until it holds; raises as `converge` does."""
    done = await runtime.controller.carry_out(cluster, decide, timeout_s=timeout_s, tell=progress.event)
    await _require_still_wanted(runtime, done.record)
    return done


async def _require_still_wanted(runtime: Runtime, record: ClusterRecord) -> None:
    now = await runtime.store.get(record.cluster_name)
    if now is None or now.deletion is not None:
        raise ClusterNotFound(f"cluster {record.cluster_name!r} was destroyed by another client meanwhile")
    if any(now.nodes.get(name) != wanted for name, wanted in record.nodes.items()):
        raise Conflict(
            f"another client changed cluster {record.cluster_name!r} meanwhile",
            hint="look at `cluster_status`, then ask again",
        )


async def wait_for_ssh(
    runtime: Runtime, record: ClusterRecord, nodes: list[str], timeout_s: float, progress: Progress
) -> None:
    """Wait for a login on each of `nodes`; where one does not come, the error carries the status of the cluster."""
    inspection = Inspection(runtime)
    try:
        await inspection.wait_for_ssh(record, nodes, timeout_s=timeout_s, progress=progress)
    except ClusterError as error:
        error.partial = await inspection.status(record.cluster_name)
        raise


async def wait_until_usable(
    runtime: Runtime, record: ClusterRecord, nodes: list[str], timeout_s: float, progress: Progress
) -> None:
    """Wait for a login on each of `nodes`, and until cloud-init has done what `user_data` asks for, within one time.

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
