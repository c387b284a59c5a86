"""The controller as a foreground service, and what it has to tell."""

# ruff: noqa: PLC0415  imports wait until a command runs

import asyncio
import signal
import sys
from dataclasses import replace
from enum import StrEnum
from typing import Annotated

import typer

from reconciler.frontends.cli.completion import complete_cluster
from reconciler.frontends.cli.options import log_options
from reconciler.frontends.cli.output import narrate
from reconciler.frontends.cli.session import UseCases, conduct

app = typer.Typer()


class LogFormat(StrEnum):
    """How the service logs."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


@app.command()
def watch(
    clusters: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CLUSTER]...",
            help="Clusters whose drift is repaired; left out: all.",
            autocompletion=complete_cluster,
        ),
    ] = None,
    resync_s: Annotated[
        float,
        typer.Option("--resync", metavar="SECONDS", min=1, max=86400, help="How often to look without any cause."),
    ] = 30.0,
    log_format: Annotated[
        LogFormat, typer.Option("--log-format", help="auto: text on a terminal, else one JSON object per line.")
    ] = LogFormat.AUTO,
) -> None:
    """Keep clusters as they are declared: repair what differs, as soon as it does. Ends on Ctrl-C or SIGTERM.

    While it runs, other commands and tools only say what is wanted, and wait for it.
    """
    as_json = log_format is LogFormat.JSON or (log_format is LogFormat.AUTO and not sys.stderr.isatty())
    options = log_options.get()
    log_options.set(replace(options, verbosity=max(1, options.verbosity), as_json=as_json or options.as_json))

    async def work(use: UseCases) -> None:
        from reconciler.service.watching import watch as keep_watch

        await keep_watch(use.runtime, clusters or (), _stop_signal(), resync_s=resync_s, on_ready=lambda: None)

    conduct(work)


def _stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; a second one ends the process at once, as any kill."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        narrate(f"{number.name}: ending after the actions that have begun; once more ends at once")
        stop.set()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, on_signal, each)
    return stop
