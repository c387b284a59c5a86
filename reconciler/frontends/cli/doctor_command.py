"""The command that checks whether this host can run clusters."""

# ruff: noqa: PLC0415  imports wait until a command runs

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.options import Output, OutputFormat
from reconciler.frontends.cli.output import exit_with, prints
from reconciler.frontends.cli.session import FAILURE, CommandEnding, present
from reconciler.frontends.cli.text import printable
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.model.examination import CheckResult, Examination

app = Commands()

_SYMBOLS = {"ok": "✓", "warning": "!", "failed": "✗"}
_COLORS = {"ok": "green", "warning": "yellow", "failed": "red"}


@app.command(examples=("doctor --fix",))
@prints
def doctor(
    fix: Annotated[
        bool,
        typer.Option("--fix", help="First fix what is safe to fix: directories, permissions, daemons, the SSH key."),
    ] = False,
    output: Output = OutputFormat.TABLE,
) -> "Examination":
    """Check whether this host can run clusters.

    Prints the remedy for everything that is missing.

    Exits 1 when clusters cannot run. What only costs speed or a feature is a warning.
    """

    async def work(use: UseCases) -> "Examination":
        from reconciler.usecases.doctor import examine_host

        return await examine_host(use.runtime.settings, fix=fix)

    examination = present(work, CommandEnding(output=output))
    return exit_with(examination, FAILURE if examination.failures else 0)


def examination_lines(examination: "Examination") -> Iterator[tuple[str, str | None]]:
    """The lines of the report, each with its colour."""
    for repair in examination.repairs:
        yield f"{'fixed' if repair.done else 'not fixed'}: {repair.name}: {repair.message}", None
    for check in examination.checks:
        yield f"{_SYMBOLS[check.verdict]} {check.name}: {check.message}", _COLORS[check.verdict]
        for line in remedy_lines(check):
            yield line, None
    yield _verdict(examination), None


def remedy_lines(check: "CheckResult") -> Iterator[str]:
    """What to do about a check that did not succeed, below its line."""
    if check.remedy and check.verdict != "ok":
        yield f"    → {check.remedy}"


def _verdict(examination: "Examination") -> str:
    if not (examination.failures or examination.fixable):
        return "this host is ready"
    fails = f"{examination.failures} of {len(examination.checks)} checks failed" if examination.failures else "ready"
    return f"{fails}; `vmcluster doctor --fix` fixes {examination.fixable}" if examination.fixable else fails


def show_examination(examination: "Examination") -> None:
    """The checks of a host, with the remedies for those that failed."""
    for line, color in examination_lines(examination):
        typer.secho(printable(line), fg=color)
