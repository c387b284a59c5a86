"""Printing: results on standard output, everything else on standard error."""

# ruff: noqa: PLC0415  imports wait until something is printed

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import typer

from reconciler.frontends.cli.options import OutputFormat
from reconciler.frontends.cli.result_tables import declared_type, show_result
from reconciler.frontends.cli.text import printable

if TYPE_CHECKING:
    from reconciler.model.results import ToolError

T = TypeVar("T")
P = ParamSpec("P")

BROKEN_PIPE_EXIT_CODE = 141  # a shell's code for a process killed by SIGPIPE

PRINTED = "__printed__"
"""The attribute of a command's function that holds the name of its result type."""


def prints(command: Callable[P, T]) -> Callable[P, None]:
    """Mark a command that prints what it returns: the name of that type chooses its table and its JSON Schema.

    The annotation is removed: Typer would try to resolve names that are imported only when the command runs.
    """
    answer = command.__annotations__.pop("return")

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        declared_type.set(answer)
        command(*args, **kwargs)

    run.__dict__[PRINTED] = answer
    return run


def exit_with(_printed: T, code: int) -> T:
    """Exit with this code after the result was printed."""
    raise typer.Exit(code)


def emit(value: T, output: OutputFormat, show: Callable[[T], None] = show_result) -> None:
    """Print a result: as data, or with `show` as a table; by default with the table of its type."""
    from reconciler.frontends.cli.spelled_results import spelled

    value = spelled(value)
    with quiet_pipe():
        match output:
            case OutputFormat.JSON:
                sys.stdout.write(json.dumps(plain(value), indent=2) + "\n")
            case OutputFormat.YAML:
                sys.stdout.write(_yaml(plain(value)))
            case OutputFormat.TABLE:
                show(value)


def plain(value: Any) -> Any:
    """JSON data of a model, or of a list of them."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)


def narrate(message: str) -> None:
    """Print one line about progress."""
    with unheard():
        typer.echo(printable(message), err=True)


def complain(error: "ToolError", output: OutputFormat, *, message: str, hint: str | None) -> None:
    """Print what failed and what to do about it; with `-o json` or yaml also as data."""
    if output is not OutputFormat.TABLE:
        emit(error, output)
    where = f" {error.node}" if error.node else ""
    with unheard():
        typer.secho(f"error [{error.code}]{printable(where)}: ", fg="red", bold=True, nl=False, err=True)
        typer.echo(printable(message), err=True)
        if hint:
            typer.secho(f"  {printable(hint)}", fg="cyan", err=True)


@contextmanager
def unheard() -> Iterator[None]:
    """Print during work that has to continue even when the reader or the terminal is gone."""
    with suppress(OSError):
        yield
        sys.stdout.flush()


@contextmanager
def quiet_pipe() -> Iterator[None]:
    """Exit silently when the reader of the output is gone."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()
        raise typer.Exit(BROKEN_PIPE_EXIT_CODE) from None


def silence_stdout() -> None:
    """Discard what is still buffered, so that the interpreter exits without an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell_unprinted(error: OSError) -> None:
    """Say why what was to be printed could not be."""
    silence_stdout()
    narrate(f"error: the output cannot be written: {error.strerror}")


def _yaml(data: Any) -> str:
    import yaml

    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
