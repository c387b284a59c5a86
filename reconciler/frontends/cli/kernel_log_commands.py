"""Commands for the nodes' kernel logs."""

# ruff: noqa: PLC0415  imports wait until a command runs

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_nodes
from reconciler.frontends.cli.options import Cluster, Output, OutputFormat, more_than_zero
from reconciler.frontends.cli.output import prints
from reconciler.frontends.cli.session import CommandEnding, present, run_command
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.model.kernel_log import DmesgResult

app = Commands()
dmesg = Commands(help="Mark, collect and follow the nodes' kernel logs.", no_args_is_help=True)
app.add_typer(dmesg, name="dmesg")


class Level(StrEnum):
    """The lowest severity that is shown."""

    ALL = "all"
    WARN = "warn+"
    ERR = "err+"


Nodes = Annotated[
    str | None,
    typer.Option(
        "--nodes",
        metavar="A,B",
        help="Only these nodes. Default: all.",
        autocompletion=complete_nodes,
    ),
]
SinceMarker = Annotated[
    str | None,
    typer.Option("--since", metavar="MARKER", help="Only lines after this marker, which `dmesg mark` printed."),
]


@dmesg.command(examples=("dmesg mark lab",))
@prints
def mark(cluster: Cluster, nodes: Nodes = None, output: Output = OutputFormat.TABLE) -> "dict[str, str]":
    """Write the same marker into every node's kernel log, and print it."""

    return present(
        lambda use: use.kernel_logs.mark(cluster, nodes=node_names(nodes)),
        CommandEnding(output=output),
        partial=True,
    )


@dmesg.command(examples=("dmesg collect lab --level warn+",))
@prints
def collect(
    cluster: Cluster,
    nodes: Nodes = None,
    since: SinceMarker = None,
    level: Annotated[
        Level, typer.Option("--level", help="Lines of this severity and above; events are always shown in full.")
    ] = Level.ALL,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            callback=more_than_zero,
            help="How long to wait for SSH before reading the node's console instead.",
        ),
    ] = 15.0,
    output: Output = OutputFormat.TABLE,
) -> "dict[str, DmesgResult]":
    """Show the nodes' kernel logs and the problems in them.

    Where SSH does not answer, the log of the console is read.
    """
    return present(
        lambda use: use.kernel_logs.collect(
            cluster, nodes=node_names(nodes), since_marker=since, filter_level=level.value, timeout_s=timeout
        ),
        CommandEnding(output=output),
        partial=True,
    )


@dmesg.command(examples=("dmesg follow lab --nodes n0,n1",))
def follow(cluster: Cluster, nodes: Nodes = None) -> None:
    """Follow the nodes' kernel logs, even while nodes crash."""
    from reconciler.frontends.cli.log_tables import show_followed

    async def work(use: UseCases) -> None:
        from reconciler.usecases.kernel_log_following import follow_kernel_logs as follow_logs

        await follow_logs(use.runtime, cluster, node_names(nodes), show_followed, use.progress)

    run_command(work)


def node_names(nodes: str | None) -> list[str] | None:
    """The names in a `--nodes` option. Raises a usage error if there are none."""
    names = [name for name in (nodes or "").split(",") if name]
    if nodes is not None and not names:
        raise typer.BadParameter("does not name any node", param_hint="--nodes")
    return names or None
