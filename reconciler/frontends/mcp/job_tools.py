"""The tools for commands that take longer than a client waits."""

from typing import Annotated

from pydantic import Field

from reconciler.frontends.mcp.arguments import ClusterName, Command, Environment, NodeName, Nodes
from reconciler.frontends.mcp.backend import Call, ask
from reconciler.frontends.mcp.tool_definition import LOOKS, RUNS_ANYTHING, TAKES_AWAY, ToolDefinition
from reconciler.frontends.mcp.values import AsNumber
from reconciler.model.job import Job, JobOutput
from reconciler.model.results import ToolResult

JobId = Annotated[str, Field(min_length=1, max_length=300, description="The `job_id` of a job.")]


async def job_start(
    call: Call, cluster_name: ClusterName, node_name: NodeName, command: Command, env: Environment = None
) -> ToolResult[Job]:
    """Start a shell command on a node that may take longer than you can wait, and answer at once.

    It keeps running without you: poll it with `job_output`, also from a later session. A power cut of its node ends it.
    """
    return await ask(call, lambda use: use.jobs.start(cluster_name, node_name, command, env=env))


async def job_status(call: Call, cluster_name: ClusterName, nodes: Nodes = None) -> ToolResult[list[Job]]:
    """List the jobs of nodes that run, oldest first, with state and exit code. The last 50 of each node are kept.

    A job runs until everything that writes to its output has ended, daemons too. `exit_code` is set once its command
    has ended.
    """
    return await ask(call, lambda use: use.jobs.status(cluster_name, nodes))


async def job_output(
    call: Call,
    cluster_name: ClusterName,
    job_id: JobId,
    from_byte: Annotated[int, Field(ge=0), AsNumber, Field(description="`next_offset` of the last answer.")] = 0,
) -> ToolResult[JobOutput]:
    """Get a job's state and its output, both streams as they came.

    The first 16 MiB are kept and, once it has ended, the last MiB; `lost_bytes` says how much is not.
    """
    return await ask(call, lambda use: use.jobs.output(cluster_name, job_id, offset=from_byte))


async def job_stop(
    call: Call,
    cluster_name: ClusterName,
    job_id: JobId,
    timeout_s: Annotated[int, Field(ge=0, le=600), AsNumber, Field(description="Seconds from SIGTERM to SIGKILL.")] = 5,
) -> ToolResult[Job]:
    """End a job and what it started. Daemons go on, and a job that has ended stays as it is."""
    return await ask(call, lambda use: use.jobs.stop(cluster_name, job_id, patience_s=timeout_s))


TOOLS = (
    ToolDefinition(job_start, "Start a job", RUNS_ANYTHING),
    ToolDefinition(job_status, "List jobs", LOOKS, (), "jobs", measured=True),
    ToolDefinition(job_output, "Output of a job", LOOKS, measured=True),
    ToolDefinition(job_stop, "Stop a job", TAKES_AWAY),
)
