"""Commands for the topologies in `topology_dir`."""

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_topology
from reconciler.frontends.cli.options import Output, OutputFormat, valid_text
from reconciler.frontends.cli.output import prints
from reconciler.frontends.cli.session import CommandEnding, present

if TYPE_CHECKING:
    from reconciler.model.topology_file import TopologyFile, TopologySummary

app = Commands()
topology = Commands(help="List and print the topologies in topology_dir.", no_args_is_help=True)
app.add_typer(topology, name="topology")

Name = Annotated[
    str,
    typer.Argument(help="Name of a topology in topology_dir.", autocompletion=complete_topology, callback=valid_text),
]


@topology.command("list", examples=("topology list",))
@prints
def list_topologies(output: Output = OutputFormat.TABLE) -> "list[TopologySummary]":
    """List the topologies in topology_dir, and the first problem of each."""
    return present(lambda use: use.topologies.listing(), CommandEnding(output=output))


@topology.command(examples=("topology show lab",))
@prints
def show(name: Name, output: Output = OutputFormat.TABLE) -> "TopologyFile":
    """Print a topology."""
    return present(lambda use: use.topologies.show(name), CommandEnding(output=output))
