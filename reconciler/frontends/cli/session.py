"""One run of one command: settings, use cases, and the only place where an error becomes an exit code."""

# ruff: noqa: PLC0415  imports wait until a command needs the use cases

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeVar, cast

import typer

from reconciler.errors import ApprovalRequired, ClusterError
from reconciler.frontends.cli.options import OutputFormat, log_options
from reconciler.frontends.cli.output import complain, emit, narrate
from reconciler.frontends.cli.result_tables import show_result
from reconciler.frontends.cli.wording import in_commands, texts_about
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.desired.topology_text import TopologyText
    from reconciler.usecases.envelope import Envelope

T = TypeVar("T")

FAILURE = 1
INTERRUPTED = 130  # 128 + SIGINT, as in every shell

RUN_AGAIN = "run it again to continue"
STAYS_WANTED = "the change is recorded: continue with `vmcluster apply` or `vmcluster start`"


Work = Callable[[UseCases], Awaitable[T]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandEnding:
    """How a command ends: its output format, the message on Ctrl-C, and the exit code of a failure.

    With `shows_plan` it prints its plan, as a table only, before it is refused for what that costs.
    """

    output: OutputFormat = OutputFormat.TABLE
    when_interrupted: str | None = None
    failure_code: int = FAILURE
    shows_plan: bool = False


def run_command(
    work: Work[T], how_to_end: CommandEnding = CommandEnding(), *, show_partial: Callable[[T], None] | None = None
) -> T:
    """The result of `work`; if it fails, report the error and exit.

    `show_partial` prints what is known despite an error, such as the status of a cluster when one node did not boot.
    """
    try:
        envelope = asyncio.run(_served(work, how_to_end.output))
    except KeyboardInterrupt:
        _interrupted(how_to_end)
    if envelope.error is not None:
        if show_partial is not None and envelope.result and how_to_end.output is OutputFormat.TABLE:
            emit(envelope.result, how_to_end.output, show_partial)
        _fail(envelope.error, how_to_end)
    return cast("T", envelope.result)


def given_topology(topology: str, how_to_end: CommandEnding = CommandEnding()) -> "str | TopologyText":
    """The topology argument of a command; if it is a pipe or standard input, its text, read once."""
    from reconciler.desired.topology_text import read_given

    try:
        return read_given(topology)
    except ClusterError as error:
        cause = error

    async def refuse(_: UseCases) -> NoReturn:
        raise cause

    return run_command(refuse, how_to_end)


def present(
    work: Work[T], how_to_end: CommandEnding, show: Callable[[T], None] = show_result, *, partial: bool = False
) -> T:
    """Run `work` and print its result, as a table with `show`; with `partial`, also what is known despite an error."""
    result = run_command(work, how_to_end, show_partial=show if partial else None)
    emit(result, how_to_end.output, show)
    return result


def actor() -> str:
    """The user who runs the command, for the history of records."""
    try:
        return f"vmcluster:{getpass.getuser()}"
    except (KeyError, OSError):  # a user id without a name
        return "vmcluster"


async def _served(work: Work[T], output: OutputFormat) -> "Envelope[T]":
    from reconciler.frontends.cli.cli_logging import configure_logs
    from reconciler.frontends.cli.live_progress import live_progress
    from reconciler.progress import Progress
    from reconciler.runtime import Runtime
    from reconciler.settings import load_settings
    from reconciler.usecases.envelope import Envelope
    from reconciler.usecases.missing_clusters import naming_topologies

    configure_logs(log_options.get())
    with Envelope[T]() as envelope:
        settings = load_settings()
        configure_logs(log_options.get(), settings.log_level if "log_level" in settings.model_fields_set else None)
        async with Runtime(settings) as runtime:
            with live_progress(output) as live:
                report = live.report if live else narrate
                progress = Progress(lambda said: report(in_commands(said)), live.advance if live else None)
                use = UseCases(runtime, actor=actor(), progress=progress)
                envelope.result = await naming_topologies(work(use), settings, others=False)
    return envelope


def _fail(error: ClusterError, how_to_end: CommandEnding) -> NoReturn:
    from reconciler.model.results import ToolError

    with texts_about(getattr(error.partial, "cluster_name", None), error.node):
        hint = in_commands(error.hint) if error.hint else None
        complain(ToolError.of(error), how_to_end.output, message=in_commands(_told(error, how_to_end)), hint=hint)
    raise typer.Exit(how_to_end.failure_code)


def _told(error: ClusterError, how_to_end: CommandEnding) -> str:
    """What failed, without the costs below the first line if a plan on the screen has shown them."""
    plan_shown = how_to_end.shows_plan and how_to_end.output is OutputFormat.TABLE
    return error.message.partition(":\n")[0] if plan_shown and isinstance(error, ApprovalRequired) else error.message


def _interrupted(how_to_end: CommandEnding) -> NoReturn:
    narrate(f"interrupted; {how_to_end.when_interrupted}" if how_to_end.when_interrupted else "interrupted")
    raise typer.Exit(INTERRUPTED)
