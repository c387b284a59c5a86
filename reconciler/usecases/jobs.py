"""Background jobs on nodes: commands that keep running while no client is connected."""

import secrets
from collections.abc import Mapping, Sequence

from reconciler.errors import ClusterError, hints_of
from reconciler.guest.address import GuestAddress
from reconciler.guest.node_jobs import JOB_NAME, NodeJobs, no_such_job
from reconciler.guest.pool import DEFAULT_OUTPUT_LIMIT_BYTES
from reconciler.health.node_failures import partial_failure
from reconciler.health.node_state import not_running
from reconciler.model.job import Job, JobOutput
from reconciler.records.node_addresses import addresses
from reconciler.records.stored_records import existing, select_node, select_nodes
from reconciler.runtime import Runtime
from reconciler.usecases.inspection import Inspection
from reconciler.usecases.kernel_logs import for_each

_ANSWER_TIMEOUT_S = 60.0
_NAME_BYTES = 3


class Jobs:
    """The jobs on the nodes of clusters. The ID of a job begins with its node."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._inspection = Inspection(runtime)

    async def start(self, cluster: str, node: str, command: str, *, env: Mapping[str, str] | None = None) -> Job:
        """Start a command on a node and return at once. Raises as running a command does."""
        return await (await self._in(cluster, node)).start(secrets.token_hex(_NAME_BYTES), command, env)

    async def status(self, cluster: str, nodes: str | Sequence[str] | None = None) -> list[Job]:
        """The jobs of nodes, by default of all that run, by node and age.

        Raises the error of a single node, or `PartialFailure` with the jobs of the others.
        """
        record = await existing(self._runtime.store, cluster)
        chosen = select_nodes(record, nodes)
        down = await self._inspection.known_down(record, chosen)
        if down and nodes:
            raise not_running(cluster, down)
        running = await addresses(self._runtime, record, [node for node in chosen if node not in down])
        outcomes = await for_each(running, lambda address: self._jobs(address).listing())
        failed = {node: of for node, of in outcomes.items() if isinstance(of, ClusterError)}
        found = [job for of in outcomes.values() if not isinstance(of, ClusterError) for job in of]
        if failed and len(outcomes) == 1:
            raise failed.popitem()[1]
        if failed:
            raise partial_failure("the jobs cannot be listed", failed, len(outcomes), found, hints_of(failed.values()))
        return found

    async def output(
        self, cluster: str, job_id: str, *, offset: int = 0, limit_bytes: int = DEFAULT_OUTPUT_LIMIT_BYTES
    ) -> JobOutput:
        """What a job has printed from `offset` on; both ends of more than `limit_bytes`."""
        node, name = _parsed(job_id)
        return await (await self._in(cluster, node)).output(name, offset, limit_bytes)

    async def stop(self, cluster: str, job_id: str, *, patience_s: int = 5) -> Job:
        """Stop a job and its descendants by SIGTERM, or by SIGKILL if they still run after `patience_s`.

        A job that has ended stays as it is, and so do daemons, which are no longer its descendants.
        """
        node, name = _parsed(job_id)
        return await (await self._in(cluster, node)).stop(name, patience_s)

    async def _in(self, cluster: str, node: str) -> NodeJobs:
        record = await existing(self._runtime.store, cluster)
        if down := await self._inspection.known_down(record, [select_node(record, node)]):
            raise not_running(cluster, down)
        (address,) = await addresses(self._runtime, record, [node])
        return self._jobs(address)

    def _jobs(self, address: GuestAddress) -> NodeJobs:
        return NodeJobs(self._runtime.ssh, address, timeout_s=_ANSWER_TIMEOUT_S)


def _parsed(job_id: str) -> tuple[str, str]:
    """The node and the job's name in it."""
    node, _, name = job_id.rpartition(".")
    if not (node and JOB_NAME.fullmatch(name)):
        raise no_such_job(job_id)
    return node, name
