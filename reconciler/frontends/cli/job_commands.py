"""Commands for what goes on in a node without anybody who waits."""

# ruff: noqa: PLC0415  imports wait until a command runs

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.node_commands import command_line, parse_environment
from reconciler.frontends.cli.options import Cluster, Node, Nodes, Output, OutputFormat, valid_text
from reconciler.frontends.cli.output import prints
from reconciler.frontends.cli.session import CommandEnding, present
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.model.job import Job, JobOutput

app = Commands()
job = Commands(help="Start commands that go on by themselves, and poll them.", no_args_is_help=True)
app.add_typer(job, name="job")

JobId = Annotated[str, typer.Argument(help="ID of a job, from `job status`.", callback=valid_text)]


@job.command(context_settings={"ignore_unknown_options": True})
@prints
def start(
    cluster: Cluster,
    node: Node,
    words: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The command.")],
    env: Annotated[
        list[str] | None, typer.Option("--env", "-e", metavar="NAME=VALUE", help="Environment variable; repeatable.")
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> "Job":
    """Start a command in a node and return at once; it goes on by itself."""

    async def work(use: UseCases) -> "Job":
        return await use.jobs.start(cluster, node, command_line(words), env=parse_environment(env or []))

    return present(work, CommandEnding(output=output), lambda found: _show([found]))


@job.command()
@prints
def status(cluster: Cluster, nodes: Nodes = None, output: Output = OutputFormat.TABLE) -> "list[Job]":
    """List the jobs of nodes that run, oldest first."""

    async def work(use: UseCases) -> "list[Job]":
        return await use.jobs.status(cluster, nodes)

    return present(work, CommandEnding(output=output), _show, partial=True)


@job.command("output")
@prints
def show_output(
    cluster: Cluster,
    job_id: JobId,
    from_byte: Annotated[int, typer.Option("--from-byte", min=0, help="Skip so many bytes.")] = 0,
    output: Output = OutputFormat.TABLE,
) -> "JobOutput":
    """Print what a job has printed so far."""

    async def work(use: UseCases) -> "JobOutput":
        return await use.jobs.output(cluster, job_id, offset=from_byte)

    return present(work, CommandEnding(output=output), lambda found: typer.echo(found.output, nl=False))


@job.command()
@prints
def stop(
    cluster: Cluster,
    job_id: JobId,
    timeout: Annotated[
        int, typer.Option("--timeout", metavar="SECONDS", min=0, max=600, help="Time from SIGTERM to SIGKILL.")
    ] = 5,
    output: Output = OutputFormat.TABLE,
) -> "Job":
    """End a job."""

    async def work(use: UseCases) -> "Job":
        return await use.jobs.stop(cluster, job_id, patience_s=timeout)

    return present(work, CommandEnding(output=output), lambda found: _show([found]))


def _show(jobs: "list[Job]") -> None:
    from reconciler.frontends.cli.tables import print_columns

    rows = [
        (
            of.job_id,
            of.state.value,
            "-" if of.exit_code is None else str(of.exit_code),
            f"{of.began_at:%Y-%m-%d %H:%M:%S}",
            str(of.output_bytes),
            " ".join(of.command.split()),
        )
        for of in jobs
    ]
    print_columns(["JOB", "STATE", "EXIT", "STARTED", "BYTES", "COMMAND"], rows)
