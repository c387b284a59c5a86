"""The commands for what nodes' kernels said."""

# ruff: noqa: PLC0415  imports wait until a command runs

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_nodes
from reconciler.frontends.cli.options import Cluster, Output, OutputFormat, more_than_zero
from reconciler.frontends.cli.output import prints
from reconciler.frontends.cli.session import CommandUseCases, Manner, conduct, present

if TYPE_CHECKING:
    from reconciler.model.kernel_log import DmesgResult

app = Commands()
dmesg = Commands(help="What the nodes' kernels said.", no_args_is_help=True)
app.add_typer(dmesg, name="dmesg")


class Level(StrEnum):
    """What is shown, and worse."""

    ALL = "all"
    WARN = "warn+"
    ERR = "err+"


Nodes = Annotated[
    str | None,
    typer.Option(
        "--nodes",
        metavar="A,B",
        help="Only these nodes; left out: all of the cluster's.",
        autocompletion=complete_nodes,
    ),
]
SinceMarker = Annotated[
    str | None, typer.Option("--since", metavar="MARKER", help="Only what came after this marker of `dmesg mark`.")
]


@dmesg.command()
@prints
def mark(cluster: Cluster, nodes: Nodes = None, output: Output = OutputFormat.TABLE) -> "dict[str, str]":
    """Write the same marker into every node's kernel log, and print it."""

    async def work(use: CommandUseCases) -> "dict[str, str]":
        return await use.kernel_logs.mark(cluster, nodes=node_names(nodes))

    return present(work, Manner(output=output), lambda marks: typer.echo(next(iter(marks.values()))), partial=True)


@dmesg.command()
@prints
def collect(
    cluster: Cluster,
    nodes: Nodes = None,
    since: SinceMarker = None,
    level: Annotated[
        Level, typer.Option("--level", help="Lines of this level and worse; events are always shown whole.")
    ] = Level.ALL,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            callback=more_than_zero,
            help="For SSH, before a node's console is read instead.",
        ),
    ] = 15.0,
    output: Output = OutputFormat.TABLE,
) -> "dict[str, DmesgResult]":
    """Show what the nodes' kernels said, from their consoles where SSH is dead, and what was bad about it."""
    from reconciler.frontends.cli.log_tables import show_collected

    async def work(use: CommandUseCases) -> "dict[str, DmesgResult]":
        return await use.kernel_logs.collect(
            cluster, nodes=node_names(nodes), since_marker=since, filter_level=level.value, timeout_s=timeout
        )

    return present(work, Manner(output=output), show_collected, partial=True)


@dmesg.command()
def follow(cluster: Cluster, nodes: Nodes = None) -> None:
    """Show what the nodes' kernels say from now on, also while they die, until interrupted."""
    from reconciler.frontends.cli.log_tables import show_followed

    async def work(use: CommandUseCases) -> None:
        from reconciler.usecases.kernel_log_follow import follow as follow_logs

        await follow_logs(use.runtime, cluster, node_names(nodes), show_followed, use.progress)

    conduct(work)


def node_names(nodes: str | None) -> list[str] | None:
    """The words of a `--nodes` option. Raises the command line's own error for an empty one."""
    names = [name for name in (nodes or "").split(",") if name]
    if nodes is not None and not names:
        raise typer.BadParameter("names no node", param_hint="--nodes")
    return names or None
