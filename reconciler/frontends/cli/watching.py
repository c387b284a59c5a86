"""The controller as a foreground service, and what it has to tell."""

# ruff: noqa: PLC0415  imports wait until a command runs

import asyncio
import gc
import signal
import sys
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_cluster, complete_condition
from reconciler.frontends.cli.options import Cluster, Output, OutputFormat, log_options, valid_text
from reconciler.frontends.cli.output import narrate, prints
from reconciler.frontends.cli.session import CommandUseCases, Manner, conduct, present

if TYPE_CHECKING:
    from reconciler.model.status import Condition
    from reconciler.usecases.events import ClusterEvent

app = Commands()


_NEW_OBJECTS_PER_COLLECTION = 10_000


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
        float | None,
        typer.Option(
            "--resync",
            metavar="SECONDS",
            min=1,
            max=86400,
            help="How often to look without any cause; default: resync_s of the configuration.",
        ),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port",
            metavar="PORT",
            min=0,
            max=65535,
            help="Serve Prometheus metrics on this port of the loopback interface; 0: not at all. "
            "Default: metrics_port of the configuration.",
        ),
    ] = None,
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

    async def work(use: CommandUseCases) -> None:
        from reconciler.daemon.watching import watch as keep_watch

        settings = use.runtime.settings
        _collect_rarely()
        await keep_watch(
            use.runtime,
            clusters or (),
            _stop_signal(),
            resync_s=settings.resync_s if resync_s is None else resync_s,
            metrics_port=settings.metrics_port if metrics_port is None else metrics_port,
        )

    conduct(work)


def _collect_rarely() -> None:
    """Have Python look for reference cycles less often, and never in what the program has begun with.

    A round makes thousands of objects that go by themselves; looking for cycles was a seventh of its cost.
    """
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS_PER_COLLECTION)


@app.command()
@prints
def events(
    cluster: Annotated[
        str | None,
        typer.Argument(
            metavar="[CLUSTER]",
            help="Name of a cluster; left out: all clusters.",
            autocompletion=complete_cluster,
            callback=valid_text,
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")] = False,
    output: Output = OutputFormat.TABLE,
) -> "list[ClusterEvent]":
    """List what happened to a cluster: actions, repairs, conditions that changed, obstacles that came and went.

    What came again is one line with a count; json and yaml have each event. With --follow, these are one document
    per event.
    """
    from reconciler.frontends.cli.event_lines import Repeats, event_line, show_events

    async def work(use: CommandUseCases) -> "list[ClusterEvent]":
        from reconciler.usecases.events import events_of, follow_events

        found = await events_of(use.runtime, cluster)
        if not follow:
            return found
        repeats = Repeats()
        for event in found:
            event_line(event, output, repeats)
        async for event in follow_events(use.runtime, cluster, after=found[-1].number if found else 0):
            event_line(event, output, repeats)
        return []

    return present(work, Manner(output=output), show_events)


@app.command("wait")
@prints
def wait_for(
    cluster: Cluster,
    condition: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="CONDITION",
            help="Ready, Running, SSHReachable, Provisioned, … (condition=Ready and Ready=False work too), or delete.",
            autocompletion=complete_condition,
        ),
    ] = "Ready",
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait at most.")
    ] = 120.0,
    output: Output = OutputFormat.TABLE,
) -> "Condition | None":
    """Wait until a condition of a cluster holds; fails when it does not in time. Changes nothing."""

    async def work(use: CommandUseCases) -> "Condition | None":
        from reconciler.usecases.waiting_for import wait_for as wait_until

        return await wait_until(use.runtime, cluster, condition, timeout_s=timeout, progress=use.progress)

    def show(found: "Condition | None") -> None:
        said = f"{found.type.value} is {found.status.value}" if found else "gone"
        typer.echo(f"cluster {cluster}: {said}")

    return present(work, Manner(output=output), show)


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
