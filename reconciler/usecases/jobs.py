"""Commands that go on in a node without anybody who waits."""

import secrets
from collections.abc import Mapping, Sequence

from reconciler.concurrency import together
from reconciler.errors import InvalidArgument
from reconciler.guest.address import GuestAddress
from reconciler.guest.node_jobs import NodeJobs
from reconciler.guest.pool import DEFAULT_OUTPUT_LIMIT_BYTES
from reconciler.health.node_state import not_running
from reconciler.model.job import Job, JobOutput
from reconciler.records.stored_records import addresses, existing, select_node, select_nodes
from reconciler.runtime import Runtime
from reconciler.usecases.inspection import Inspection

_ANSWER_TIMEOUT_S = 60.0
_NAME_BYTES = 3


class Jobs:
    """The jobs in the nodes of clusters. The ID of a job begins with its node."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._inspection = Inspection(runtime)

    async def start(self, cluster: str, node: str, command: str, *, env: Mapping[str, str] | None = None) -> Job:
        """Start a command in a node and return at once. Raises as running a command does."""
        return await (await self._in(cluster, node)).start(secrets.token_hex(_NAME_BYTES), command, env)

    async def status(self, cluster: str, nodes: str | Sequence[str] | None = None) -> list[Job]:
        """The jobs of nodes, by default of all that run, by node and age."""
        record = await existing(self._runtime.store, cluster)
        chosen = select_nodes(record, nodes)
        down = await self._inspection.known_down(record, chosen)
        if down and nodes:
            raise not_running(cluster, down)
        running = await addresses(self._runtime.store, record, [node for node in chosen if node not in down])
        found = await together(*(self._jobs(address).listing() for address in running))
        return [job for jobs in found for job in jobs]

    async def output(
        self, cluster: str, job_id: str, *, offset: int = 0, limit_bytes: int = DEFAULT_OUTPUT_LIMIT_BYTES
    ) -> JobOutput:
        """What a job has printed from `offset` on; both ends of more than `limit_bytes`."""
        node, name = _parsed(job_id)
        jobs = await self._in(cluster, node)
        job = await jobs.show(name)
        answer = await jobs.output(name, offset, limit_bytes)
        return JobOutput(
            job=job,
            output=answer.stdout,
            output_omitted_bytes=answer.stdout_omitted_bytes,
            next_offset=max(offset, job.output_bytes),
        )

    async def stop(self, cluster: str, job_id: str, *, patience_s: int = 5) -> Job:
        """End a job by SIGTERM, or by SIGKILL if it goes on for so long; one that has ended stays as it is."""
        node, name = _parsed(job_id)
        return await (await self._in(cluster, node)).stop(name, patience_s)

    async def _in(self, cluster: str, node: str) -> NodeJobs:
        record = await existing(self._runtime.store, cluster)
        if down := await self._inspection.known_down(record, [select_node(record, node)]):
            raise not_running(cluster, down)
        (address,) = await addresses(self._runtime.store, record, [node])
        return self._jobs(address)

    def _jobs(self, address: GuestAddress) -> NodeJobs:
        return NodeJobs(self._runtime.ssh, address, timeout_s=_ANSWER_TIMEOUT_S)


def _parsed(job_id: str) -> tuple[str, str]:
    """The node and the job's name in it."""
    node, dot, name = job_id.rpartition(".")
    if not (node and dot and name):
        raise InvalidArgument(f"{job_id!r} is not the ID of a job", hint="`job_status` lists them")
    return node, name
