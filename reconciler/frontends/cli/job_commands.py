"""Commands for background jobs on nodes."""

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_job
from reconciler.frontends.cli.node_commands import command_line, parse_environment
from reconciler.frontends.cli.options import Cluster, Node, Nodes, Output, OutputFormat, valid_text
from reconciler.frontends.cli.output import prints
from reconciler.frontends.cli.session import CommandEnding, present

if TYPE_CHECKING:
    from reconciler.model.job import Job, JobOutput

app = Commands()
job = Commands(help="Run commands on nodes in the background.", no_args_is_help=True)
app.add_typer(job, name="job")

JobId = Annotated[
    str, typer.Argument(help="ID of a job, from `job status`.", autocompletion=complete_job, callback=valid_text)
]


@job.command(
    context_settings={"ignore_unknown_options": True},
    examples=("job start lab n0 -- fio --name=load --rw=randwrite --size=1G",),
)
@prints
def start(
    cluster: Cluster,
    node: Node,
    words: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The command.")],
    env: Annotated[
        list[str] | None,
        typer.Option("--env", "-e", metavar="NAME=VALUE", help="Set a variable in its environment; can be repeated."),
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> "Job":
    """Start a command on a node in the background, and print its job ID."""
    command, variables = command_line(words), parse_environment(env or [])
    return present(lambda use: use.jobs.start(cluster, node, command, env=variables), CommandEnding(output=output))


@job.command(examples=("job status lab",))
@prints
def status(cluster: Cluster, nodes: Nodes = None, output: Output = OutputFormat.TABLE) -> "list[Job]":
    """List the jobs of running nodes, oldest first."""
    return present(lambda use: use.jobs.status(cluster, nodes), CommandEnding(output=output), partial=True)


@job.command("output", examples=("job output lab n0.1f2e3d",))
@prints
def show_output(
    cluster: Cluster,
    job_id: JobId,
    from_byte: Annotated[int, typer.Option("--from-byte", min=0, help="Skip this many bytes.")] = 0,
    output: Output = OutputFormat.TABLE,
) -> "JobOutput":
    """Print the output of a job so far."""
    return present(lambda use: use.jobs.output(cluster, job_id, offset=from_byte), CommandEnding(output=output))


@job.command(examples=("job stop lab n0.1f2e3d",))
@prints
def stop(
    cluster: Cluster,
    job_id: JobId,
    timeout: Annotated[
        int, typer.Option("--timeout", metavar="SECONDS", min=0, max=600, help="Time from SIGTERM to SIGKILL.")
    ] = 5,
    output: Output = OutputFormat.TABLE,
) -> "Job":
    """Stop a job and everything that it started, except daemons."""
    return present(lambda use: use.jobs.stop(cluster, job_id, patience_s=timeout), CommandEnding(output=output))
