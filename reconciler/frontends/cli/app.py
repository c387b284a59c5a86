"""The `vmcluster` command: its command groups, and how the process exits."""

# ruff: noqa: PLC0415  imports wait until they are needed

import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from io import TextIOWrapper
from typing import Annotated, Any, Protocol, cast

import typer

import reconciler
from reconciler.frontends.cli import (
    artifact_commands,
    cluster_commands,
    doctor_command,
    fault_commands,
    file_commands,
    fork_commands,
    host_commands,
    image_commands,
    init_command,
    inspection_commands,
    job_commands,
    kernel_log_commands,
    load_commands,
    login_commands,
    node_commands,
    page_commands,
    picture_commands,
    service_commands,
    setup_command,
    snapshot_commands,
    store_commands,
    template_commands,
    topology_commands,
)
from reconciler.frontends.cli.options import LogOptions, OutputFormat, asked_format, log_options
from reconciler.frontends.cli.other_words import CommandGroup
from reconciler.frontends.cli.output import BROKEN_PIPE_EXIT_CODE, emit, narrate, silence_stdout, tell_unprinted
from reconciler.frontends.cli.plain_refusal import plain_refusal
from reconciler.frontends.cli.session import FAILURE, INTERRUPTED
from reconciler.frontends.streams import open_closed_streams


class _Showable(Protocol):
    """Base class of Click's errors."""

    message: str

    def show(self) -> None: ...

    def format_message(self) -> str: ...


# Newer versions of Typer bring a Click of their own, and export only this leaf of its error tree.
_CommandLineError = cast(
    "type[Exception]", next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
)

app = typer.Typer(
    name="vmcluster",
    cls=CommandGroup,
    help="Clusters of virtual machines, declared in YAML and kept as declared.",
    no_args_is_help=True,
    rich_markup_mode=None,  # help is plain, and quick
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    init_command,
    cluster_commands,
    inspection_commands,
    load_commands,
    node_commands,
    login_commands,
    job_commands,
    snapshot_commands,
    fork_commands,
    fault_commands,
    file_commands,
    kernel_log_commands,
    artifact_commands,
    image_commands,
    template_commands,
    topology_commands,
    host_commands,
    picture_commands,
    store_commands,
    doctor_command,
    setup_command,
    service_commands,
    page_commands,
):
    app.add_typer(group.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vmcluster {reconciler.__version__}")
        raise typer.Exit


@app.callback()
def remember_options(
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, show_default=False, help="Log more to standard error; -vv logs everything."
        ),
    ] = 0,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log one JSON object per line.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Clusters of virtual machines, declared in YAML and kept as declared."""
    log_options.set(LogOptions(verbose, log_json))


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command line and return the exit code: 1 for most errors, because 2 means "changes" for `plan`."""
    try:
        return _obeyed(arguments)
    except SystemExit as ended:  # Click exits this way after a completion, and when the reader of its output is gone
        if "_VMCLUSTER_COMPLETE" in os.environ:
            return int(ended.code or 0)  # fish asks by it whether there is anything to complete
        silence_stdout()
        return BROKEN_PIPE_EXIT_CODE
    except FileNotFoundError:  # what work finds missing is in its answer
        narrate("error: the current directory is gone (change to an existing one)")
        return FAILURE
    except OSError as error:  # of printing
        return _unprinted(error)


def _obeyed(arguments: Sequence[str]) -> int:
    try:
        code = _command()(list(arguments), prog_name="vmcluster", standalone_mode=False)
    except _CommandLineError as error:
        _refuse(cast("_Showable", error), asked_format(arguments))
        return _failure_of(error)
    except typer.Abort:
        narrate("nothing was changed")
        return FAILURE
    except KeyboardInterrupt:
        return INTERRUPTED
    return code if isinstance(code, int) else 0


@cache
def _command() -> Callable[..., Any]:
    """All commands; built once per process, because that takes as long as running a short command."""
    return typer.main.get_command(app)


def _refuse(error: _Showable, output: OutputFormat) -> None:
    """Report a command line that cannot be parsed; with `-o json` or yaml as data too, like every other error."""
    if isinstance(said := getattr(error, "message", None), str):
        error.message = plain_refusal(said)
    if output is not OutputFormat.TABLE:
        from reconciler.error_codes import ErrorCode
        from reconciler.model.results import ToolError

        refused = ToolError(code=ErrorCode.INVALID_ARGUMENT, message=error.format_message(), recoverable=False)
        emit(refused, output)
    error.show()


def _failure_of(error: Exception) -> int:
    context: typer.Context | None = getattr(error, "ctx", None)
    return node_commands.OWN_FAILURE if context and context.command.name in node_commands.PASSES_CODES_ON else FAILURE


def _unprinted(error: OSError) -> int:
    """Report that a result could not be printed, unless its reader is gone; returns the exit code."""
    if isinstance(error, BrokenPipeError):
        silence_stdout()
        return BROKEN_PIPE_EXIT_CODE
    tell_unprinted(error)
    return FAILURE


def main() -> None:
    """The entry point."""
    open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        cast("TextIOWrapper", stream).reconfigure(errors="backslashreplace")
    code = run_command_line(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError as error:
        code = code or _unprinted(error)
    sys.exit(code)
