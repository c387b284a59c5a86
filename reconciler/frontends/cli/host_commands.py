"""Commands for the hosts that share a store."""

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_host
from reconciler.frontends.cli.confirmation import can_be_asked, require_a_yes
from reconciler.frontends.cli.options import Output, OutputFormat, valid_text
from reconciler.frontends.cli.output import narrate, prints
from reconciler.frontends.cli.session import FAILURE, CommandEnding, present, run_command
from reconciler.frontends.cli.text import printable

if TYPE_CHECKING:
    from reconciler.model.host import ForgottenHost, HostInfo

app = Commands()
host = Commands(help="Show the hosts that share a store, and cordon or drain them.", no_args_is_help=True)
app.add_typer(host, name="host")

Host = Annotated[
    str,
    typer.Argument(metavar="HOST", help="Name of a host.", autocompletion=complete_host, callback=valid_text),
]


@host.command("list", examples=("host list",))
@prints
def list_hosts(output: Output = OutputFormat.TABLE) -> "list[HostInfo]":
    """List the hosts, with what they have and what is placed on them."""
    return present(lambda use: use.hosts.listing(), CommandEnding(output=output))


@host.command(examples=("host show host-b",))
@prints
def show(name: Host, output: Output = OutputFormat.TABLE) -> "HostInfo":
    """Show a host: its resources, features, images and nodes."""
    return present(lambda use: use.hosts.show(name), CommandEnding(output=output))


@host.command(examples=("host cordon host-b",))
@prints
def cordon(name: Host, output: Output = OutputFormat.TABLE) -> "HostInfo":
    """Place no new nodes on a host. Those on it stay."""
    return present(lambda use: use.hosts.cordon(name), CommandEnding(output=output))


@host.command(examples=("host uncordon host-b",))
@prints
def uncordon(name: Host, output: Output = OutputFormat.TABLE) -> "HostInfo":
    """Let new nodes be placed on a host again."""
    return present(lambda use: use.hosts.cordon(name, cordoned=False), CommandEnding(output=output))


@host.command(examples=("host drain host-b",))
@prints
def drain(
    name: Host,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait for the nodes to be off.")
    ] = 120,
    output: Output = OutputFormat.TABLE,
) -> "HostInfo":
    """Cordon a host and shut its nodes down.

    Disks are local, so the nodes stay where they are. Start them again after `vmcluster host uncordon`.
    """
    return present(lambda use: use.hosts.drain(name, timeout_s=timeout), CommandEnding(output=output))


@host.command(examples=("host forget host-b",))
@prints
def forget(
    name: Host,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Output = OutputFormat.TABLE,
) -> "ForgottenHost":
    """Remove a host that is gone for good.

    The next apply of each cluster places its nodes on other hosts, with new disks.
    """
    if not yes:
        _ask(name)
    return present(lambda use: use.hosts.forget(name), CommandEnding(output=output))


def _ask(name: str) -> None:
    if not can_be_asked():
        narrate(f"nothing was changed: `vmcluster host forget --yes {name}` forgets it without asking")
        raise typer.Exit(FAILURE)
    found = run_command(lambda use: use.hosts.show(name))
    lost = f" The disks of {', '.join(found.placed_nodes)} are lost with it." if found.placed_nodes else ""
    require_a_yes(printable(f"Is host {name} gone for good?{lost}"))
