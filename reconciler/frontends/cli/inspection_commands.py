"""Commands that change nothing."""

# ruff: noqa: PLC0415  imports wait until a command runs

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

import reconciler
from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.options import AnyCluster, Cluster, Output, OutputFormat, Topology
from reconciler.frontends.cli.output import emit, exit_with, prints
from reconciler.frontends.cli.session import FAILURE, CommandEnding, given_topology, present, run_command
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.model.results import ClusterHandle, ClusterStatus, ClusterSummary, Version
    from reconciler.records.change import Change
    from reconciler.usecases.validation import Validation

app = Commands()


@app.command(examples=("status lab", "status lab -o json"))
@prints
def status(cluster: AnyCluster = None, output: Output = OutputFormat.TABLE) -> "ClusterStatus | list[ClusterSummary]":
    """Show the state of a cluster's nodes and what is wrong."""
    if cluster is None:
        return _present_list(output)
    return present(lambda use: use.inspection.status(cluster), CommandEnding(output=output), partial=True)


@app.command("list", examples=("list",))
@prints
def list_clusters(output: Output = OutputFormat.TABLE) -> "list[ClusterSummary]":
    """List all clusters, without contacting any node."""
    return _present_list(output)


def _present_list(output: OutputFormat) -> "list[ClusterSummary]":
    return present(lambda use: use.inspection.clusters(), CommandEnding(output=output))


@app.command(examples=("handle lab -o json",))
@prints
def handle(
    cluster: Cluster,
    partial: Annotated[
        bool, typer.Option("--partial", help="Answer for the nodes that can be reached, and name the others.")
    ] = False,
    output: Output = OutputFormat.TABLE,
) -> "ClusterHandle":
    """Print how to log in to each node, as commands or as data."""
    from reconciler.frontends.cli.tables import show_handle

    async def work(use: UseCases) -> "tuple[ClusterHandle, dict[str, list[str]]]":
        from reconciler.usecases.login import login_commands

        return await use.inspection.handle(cluster, partial=partial), await login_commands(use.runtime, cluster)

    found, commands = run_command(work, CommandEnding(output=output))
    emit(found, output, lambda shown: show_handle(shown, [shlex.join(commands[node.name]) for node in shown.nodes]))
    return found


@app.command(examples=("history lab",))
@prints
def history(cluster: Cluster, output: Output = OutputFormat.TABLE) -> "list[Change]":
    """List what changed in a cluster, when, and who asked for it."""

    async def work(use: UseCases) -> "list[Change]":
        from reconciler.records.history import history_of

        return await history_of(use.runtime, cluster)

    return present(work, CommandEnding(output=output))


@app.command(examples=("validate ./lab.yaml",))
@prints
def validate(
    topology: Topology,
    file_only: Annotated[
        bool,
        typer.Option("--file-only", help="Check only the file, not the images, disks and keys that it names."),
    ] = False,
    output: Output = OutputFormat.TABLE,
) -> "Validation":
    """Check a topology file, and print problems with their lines.

    Exits 1 when there are any. Needs neither libvirt nor a record; conflicts with other clusters and with this host's
    networks are found by `plan`.
    """
    how_to_end = CommandEnding(output=output)
    wanted = given_topology(topology, how_to_end)

    async def work(use: UseCases) -> "Validation":
        from reconciler.usecases.validation import validate as check

        return await check(wanted, use.runtime.settings, with_files=not file_only)

    found = present(work, how_to_end)
    return exit_with(found, 0 if found.valid else FAILURE)


@app.command(examples=("version",))
@prints
def version(output: Output = OutputFormat.TABLE) -> "Version":
    """Print the version."""
    from reconciler.model.results import Version

    found = Version(version=reconciler.__version__)
    emit(found, output, lambda shown: typer.echo(f"vmcluster {shown.version}"))
    return found
