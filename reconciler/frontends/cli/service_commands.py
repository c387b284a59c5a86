"""The controller as a foreground service, its events, and waiting for conditions."""

# ruff: noqa: PLC0415  imports wait until a command runs

import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_cluster, complete_condition
from reconciler.frontends.cli.options import AnyCluster, Cluster, Nodes, Output, OutputFormat, log_options
from reconciler.frontends.cli.output import prints
from reconciler.frontends.cli.page_commands import AllowActions, HttpAddress, page_words, stop_signal
from reconciler.frontends.cli.session import CommandEnding, present, run_command
from reconciler.frontends.cli.text import printable
from reconciler.frontends.mcp.server_options import HttpPlace
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from prometheus_client import CollectorRegistry

    from reconciler.frontends.web.page import Words
    from reconciler.model.status import Condition
    from reconciler.usecases.cluster_events import ClusterEvent

app = Commands()


_NEW_OBJECTS_PER_COLLECTION = 10_000


class LogFormat(StrEnum):
    """The format of the service's log."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port",
        metavar="PORT",
        min=0,
        max=65535,
        help="Serve Prometheus metrics on this port of the loopback interface; 0 serves none. Default: "
        "metrics_port of the configuration.",
    ),
]


@app.command(examples=("watch", "watch --http 127.0.0.1:8765", "watch lab --metrics-port 9177"))
def watch(
    clusters: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CLUSTER]...",
            help="The clusters to reconcile. Default: all.",
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
            help="How often to reconcile even without an event. Default: resync_s of the configuration.",
        ),
    ] = None,
    metrics_port: MetricsPort = None,
    http: HttpAddress = None,
    allow_actions: AllowActions = False,
    log_format: Annotated[
        LogFormat,
        typer.Option(
            "--log-format", help="Log format; auto is text on a terminal, otherwise one JSON object per line."
        ),
    ] = LogFormat.AUTO,
) -> None:
    """Run the controller: watch the host and repair drift.

    It runs until Ctrl-C or SIGTERM.

    While it runs, other commands and tools only record the desired state and wait.

    With --http it serves the live page, which `vmcluster ui` opens, MCP at /mcp and metrics at /metrics.
    """
    if allow_actions and http is None:
        raise typer.BadParameter("needs --http", param_hint="--allow-actions")
    words = page_words()
    as_json = log_format is LogFormat.JSON or (log_format is LogFormat.AUTO and not sys.stderr.isatty())
    options = log_options.get()
    log_options.set(replace(options, verbosity=max(1, options.verbosity), as_json=as_json or options.as_json))

    async def work(use: UseCases) -> None:
        from reconciler.daemon.entry import run_service as keep_watch

        settings = use.runtime.settings
        _collect_rarely()
        await keep_watch(
            use.runtime,
            clusters or (),
            stop_signal(),
            resync_s=settings.resync_s if resync_s is None else resync_s,
            metrics_port=settings.metrics_port if metrics_port is None else metrics_port,
            door=_door(use, http, words, allow_actions=allow_actions),
        )

    run_command(work)


def _door(
    use: UseCases, http: HttpPlace | None, words: "Words", *, allow_actions: bool
) -> "Callable[[CollectorRegistry], AbstractAsyncContextManager[object]] | None":
    """What opens the door with the service's metrics; None if there is to be none."""
    if http is None:
        return None
    from reconciler.frontends.web.door import opened_door

    return lambda metrics: opened_door(use.runtime, http, words, allow_actions=allow_actions, metrics=metrics)


def _collect_rarely() -> None:
    """Run the garbage collector less often, and never on the objects that exist at the start.

    A round makes thousands of objects without reference cycles; looking for some was a seventh of its cost.
    """
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS_PER_COLLECTION)


@app.command(examples=("events lab --follow",))
@prints
def events(
    cluster: AnyCluster = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new events until interrupted.")] = False,
    output: Output = OutputFormat.TABLE,
) -> "list[ClusterEvent]":
    """List the events of a cluster: actions, repairs and conditions.

    Obstacles that appeared or were resolved are events too.

    Repeated events are one line with a count; json and yaml list each event. With --follow, json and yaml print one
    document per event.
    """
    from reconciler.frontends.cli.event_lines import Repeats, event_line

    async def work(use: UseCases) -> "list[ClusterEvent]":
        from reconciler.usecases.cluster_events import events_of, follow_events

        found = await events_of(use.runtime, cluster)
        if not follow:
            return found
        repeats = Repeats()
        for event in found:
            event_line(event, output, repeats)
        async for event in follow_events(use.runtime, cluster, after=found[-1].number if found else 0):
            event_line(event, output, repeats)
        return []

    return present(work, CommandEnding(output=output))


@app.command("wait", examples=("wait lab --for Ready --timeout 300", "wait lab n0 n1 --for SSHReachable"))
@prints
def wait_for(
    cluster: Cluster,
    nodes: Nodes = None,
    condition: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="CONDITION",
            help="Ready, Running, SSHReachable, Provisioned, … (also condition=Ready or Ready=False), or delete.",
            autocompletion=complete_condition,
        ),
    ] = "Ready",
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait at most.")
    ] = 120.0,
    output: Output = OutputFormat.TABLE,
) -> "Condition | None":
    """Wait until a cluster, or some of its nodes, have a condition. Changes nothing."""

    async def work(use: UseCases) -> "Condition | None":
        from reconciler.usecases.wait_for_condition import wait_for_condition as wait_until

        return await wait_until(use.runtime, cluster, condition, timeout_s=timeout, nodes=nodes, progress=use.progress)

    def show(found: "Condition | None") -> None:
        said = f"{found.type.value} is {found.status.value}" if found else "gone"
        typer.echo(printable(f"cluster {cluster}{f', {found.message}' if found and nodes else ''}: {said}"))

    return present(work, CommandEnding(output=output), show)
