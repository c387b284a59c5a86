"""The command that shows what nodes use, live on a terminal."""

# ruff: noqa: PLC0415  imports wait until the command runs

import asyncio
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.options import AnyCluster, Output, OutputFormat, more_than_zero
from reconciler.frontends.cli.output import emit, prints
from reconciler.frontends.cli.session import CommandEnding, run_command
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.model.node_load import NodeLoad

app = Commands()


@app.command(examples=("top lab", "top --once -o json"))
@prints
def top(
    cluster: AnyCluster = None,
    once: Annotated[bool, typer.Option("--once", help="Print the table once.")] = False,
    interval: Annotated[
        float,
        typer.Option("--interval", metavar="SECONDS", callback=more_than_zero, help="Time over which rates are taken."),
    ] = 2.0,
    output: Output = OutputFormat.TABLE,
) -> "list[NodeLoad]":
    """Show what nodes use: processors, memory, disks, network.

    On a terminal the table is live, until Ctrl-C. In a pipe, and as json or yaml, it is printed once. It shows the
    machines of this host, as libvirt counts them: MEMORY is what a machine occupies of what its guest has.
    """
    if not once and output is OutputFormat.TABLE and sys.stdout.isatty():
        run_command(lambda use: _show_live(use, cluster, interval))
        raise typer.Exit
    found = run_command(lambda use: _look_once(use, cluster, interval), CommandEnding(output=output))
    emit(found, output)
    return found


async def _look_once(use: UseCases, cluster: str | None, interval_s: float) -> "list[NodeLoad]":
    from reconciler.usecases.node_loads import LoadMeter

    return await LoadMeter(use.runtime, cluster).look_twice(interval_s)


async def _show_live(use: UseCases, cluster: str | None, interval_s: float) -> None:
    from reconciler.frontends.cli.load_tables import live_loads
    from reconciler.usecases.node_loads import LoadMeter

    meter, stop, loop = LoadMeter(use.runtime, cluster), asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    try:
        with live_loads() as show:
            while not stop.is_set():
                show(await meter.look())
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), interval_s)
    finally:
        loop.remove_signal_handler(signal.SIGINT)
