"""One run of one command: settings, use cases, and the only place where an error becomes an exit code."""

# ruff: noqa: PLC0415  imports wait until a command needs the use cases

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeVar, cast

import typer

from reconciler.errors import ClusterError
from reconciler.frontends.cli.options import OutputFormat, log_options
from reconciler.frontends.cli.output import complain, emit, narrate
from reconciler.frontends.cli.wording import in_commands

if TYPE_CHECKING:
    from reconciler.desired.given import TopologyText
    from reconciler.model.results import ToolError, ToolResult
    from reconciler.progress import Progress
    from reconciler.runtime import Runtime
    from reconciler.usecases.artifacts import Artifacts
    from reconciler.usecases.clusters import Clusters
    from reconciler.usecases.consoles import Consoles
    from reconciler.usecases.deployment import Deployment
    from reconciler.usecases.faults import Faults
    from reconciler.usecases.inspection import Inspection
    from reconciler.usecases.kernel_log import KernelLogs
    from reconciler.usecases.nodes import Nodes
    from reconciler.usecases.snapshot_upkeep import SnapshotUpkeep
    from reconciler.usecases.snapshots import Snapshots
    from reconciler.usecases.transfer import Transfers

T = TypeVar("T")

FAILURE = 1
INTERRUPTED = 130  # 128 + SIGINT, as in every shell

STAYS_WANTED = "the change is recorded: continue with `vmcluster apply` or `vmcluster start`"


@dataclass(frozen=True, slots=True)
class CommandUseCases:
    """The use cases that a command may call."""

    runtime: "Runtime"
    clusters: "Clusters"
    nodes: "Nodes"
    inspection: "Inspection"
    kernel_logs: "KernelLogs"
    consoles: "Consoles"
    transfers: "Transfers"
    snapshots: "Snapshots"
    upkeep: "SnapshotUpkeep"
    faults: "Faults"
    artifacts: "Artifacts"
    deployment: "Deployment"
    progress: "Progress"


Work = Callable[[CommandUseCases], Awaitable[T]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a command ends: its output format, the message on Ctrl-C, and the exit code of a failure."""

    output: OutputFormat = OutputFormat.TABLE
    when_interrupted: str | None = None
    failure_code: int = FAILURE


def conduct(work: Work[T], manner: Manner = Manner(), *, show_partial: Callable[[T], None] | None = None) -> T:
    """The result of `work`; if it fails, report the error and exit. `show_partial` prints what is known despite an
    error, such as the status of a cluster when one node did not boot.
    """
    try:
        result, cause = asyncio.run(_answered(work))
    except KeyboardInterrupt:
        _interrupted(manner)
    if result.error is not None:
        if show_partial is not None and result.result and manner.output is OutputFormat.TABLE:
            emit(result.result, manner.output, show_partial)
        _fail(result.error, cause, manner)
    return cast("T", result.result)


def given(topology: str, manner: Manner = Manner()) -> "str | TopologyText":
    """The topology argument of a command; if it is a pipe or standard input, its text, read once."""
    from reconciler.desired.given import read_given

    try:
        return read_given(topology)
    except ClusterError as error:
        cause = error

    async def refuse(_: CommandUseCases) -> NoReturn:
        raise cause

    return conduct(refuse, manner)


def present(work: Work[T], manner: Manner, show: Callable[[T], None], *, partial: bool = False) -> T:
    """Conduct `work` and print its result; with `partial`, also what is known despite an error."""
    result = conduct(work, manner, show_partial=show if partial else None)
    emit(result, manner.output, show)
    return result


def actor() -> str:
    """The user who runs the command, for the history of records."""
    try:
        return f"vmcluster:{getpass.getuser()}"
    except (KeyError, OSError):  # a user id without a name
        return "vmcluster"


async def _answered(work: Work[T]) -> "tuple[ToolResult[T], ClusterError | None]":
    """The envelope, and the error itself, whose hint is printed on a line of its own."""
    from reconciler.frontends.cli.logs import configure_logs
    from reconciler.usecases.envelope import answer

    configure_logs(log_options.get())
    causes: list[ClusterError] = []

    async def watched() -> T:
        try:
            return await _serve(work)
        except ClusterError as error:
            causes.append(error)
            raise

    return await answer(watched()), next(iter(causes), None)


async def _serve(work: Work[T]) -> T:
    from reconciler.frontends.cli.logs import configure_logs
    from reconciler.progress import Progress
    from reconciler.runtime import Runtime
    from reconciler.settings import load_settings

    settings = load_settings()
    configure_logs(log_options.get(), settings.log_level if "log_level" in settings.model_fields_set else None)
    async with Runtime(settings) as runtime:
        return await work(_use_cases(runtime, Progress(lambda said: narrate(in_commands(said)))))


def _use_cases(runtime: "Runtime", progress: "Progress") -> CommandUseCases:
    from reconciler.usecases.artifacts import Artifacts
    from reconciler.usecases.clusters import Clusters
    from reconciler.usecases.consoles import Consoles
    from reconciler.usecases.deployment import Deployment
    from reconciler.usecases.faults import Faults
    from reconciler.usecases.inspection import Inspection
    from reconciler.usecases.kernel_log import KernelLogs
    from reconciler.usecases.nodes import Nodes
    from reconciler.usecases.snapshot_upkeep import SnapshotUpkeep
    from reconciler.usecases.snapshots import Snapshots
    from reconciler.usecases.transfer import Transfers

    return CommandUseCases(
        runtime=runtime,
        clusters=Clusters(runtime, actor=actor()),
        nodes=Nodes(runtime),
        inspection=Inspection(runtime),
        kernel_logs=KernelLogs(runtime),
        consoles=Consoles(runtime),
        transfers=Transfers(runtime),
        snapshots=Snapshots(runtime, actor=actor()),
        upkeep=SnapshotUpkeep(runtime),
        faults=Faults(runtime, actor=actor()),
        artifacts=Artifacts(runtime),
        deployment=Deployment(runtime),
        progress=progress,
    )


def _fail(error: "ToolError", cause: ClusterError | None, manner: Manner) -> NoReturn:
    message, hint = (cause.message, cause.hint) if cause else (error.message, None)
    complain(error, manner.output, message=in_commands(message), hint=in_commands(hint) if hint else None)
    raise typer.Exit(manner.failure_code)


def _interrupted(manner: Manner) -> NoReturn:
    narrate(f"interrupted; {manner.when_interrupted}" if manner.when_interrupted else "interrupted")
    raise typer.Exit(INTERRUPTED)
