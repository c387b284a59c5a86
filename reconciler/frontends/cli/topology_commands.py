"""Commands for the topologies in `topology_dir`."""

# ruff: noqa: PLC0415  imports wait until a command runs

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.options import Output, OutputFormat, valid_text
from reconciler.frontends.cli.output import prints
from reconciler.frontends.cli.session import CommandEnding, present
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.model.topology_file import TopologyFile, TopologySummary

app = Commands()
topology = Commands(help="List and show the topologies that have a name.", no_args_is_help=True)
app.add_typer(topology, name="topology")

Name = Annotated[str, typer.Argument(help="Name of a topology in topology_dir.", callback=valid_text)]


@topology.command("list")
@prints
def list_topologies(output: Output = OutputFormat.TABLE) -> "list[TopologySummary]":
    """List the topologies in topology_dir, and the first problem of each."""

    async def work(use: UseCases) -> "list[TopologySummary]":
        return await use.topologies.listing()

    return present(work, CommandEnding(output=output), _show_list)


@topology.command()
@prints
def show(name: Name, output: Output = OutputFormat.TABLE) -> "TopologyFile":
    """Print a topology."""

    async def work(use: UseCases) -> "TopologyFile":
        return await use.topologies.show(name)

    return present(work, CommandEnding(output=output), lambda found: typer.echo(found.yaml, nl=False))


def _show_list(found: "list[TopologySummary]") -> None:
    from reconciler.frontends.cli.tables import print_columns

    print_columns(["NAME", "PROBLEM"], [(of.name, of.problem) for of in found])
