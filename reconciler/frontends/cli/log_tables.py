"""Prints kernel logs: each line with its node, problems in colour, and a verdict last."""

from collections.abc import Mapping

import typer

from reconciler.frontends.cli.output import quiet_pipe
from reconciler.frontends.cli.tables import print_columns
from reconciler.frontends.cli.text import one_line
from reconciler.kernel_log.announcements import announced_kind
from reconciler.kernel_log.line import LEVELS, LogLine
from reconciler.model.kernel_log import DmesgLine, DmesgResult, LogSource

_COLORS = {"oops": "red", "panic": "red", "kasan": "red", "ubsan": "yellow", "warn": "yellow"}
_LEVEL_COLORS = {"emerg": "red", "alert": "red", "crit": "red", "err": "red", "warning": "yellow"}


def show_collected(results: Mapping[str, DmesgResult]) -> None:
    """The lines of all nodes, then one row per node."""
    for node, result in results.items():
        for line in result.lines:
            _show_line(node, line)
    if any(result.lines for result in results.values()):
        typer.echo()
    print_columns(
        ["NODE", "SOURCE", "ERRORS", "WARNINGS", "FIRST EVENT", "MESSAGE"],
        ([node, *_verdict(result)] for node, result in results.items()),
        {"console": "yellow"},
    )


def show_marker(marks: Mapping[str, str]) -> None:
    """The marker that was written, the same on every node."""
    typer.echo(next(iter(marks.values())))


def _show_line(node: str, line: DmesgLine) -> None:
    stamp = " " * 14 if line.timestamp is None else f"[{line.timestamp:12.6f}]"
    typer.secho(f"{node} {stamp} {one_line(line.text)}", fg=_color(line))


def show_followed(node: str, line: LogLine, source: LogSource) -> None:
    """One line as it arrives; lines from a console are marked."""
    level = None if line.level is None else LEVELS[line.level]
    kind = announced_kind(line.text) if line.kernel else None
    color = "red" if kind else _LEVEL_COLORS.get(level or "")
    stamp = " " * 14 if line.timestamp_us is None else f"[{line.timestamp_us / 1_000_000:12.6f}]"
    where = " (console)" if source is LogSource.CONSOLE else ""
    with quiet_pipe():
        typer.secho(f"{node}{where} {stamp} {one_line(line.text)}", fg=color)


def _color(line: DmesgLine) -> str | None:
    return _COLORS.get(line.classified_as or "") or _LEVEL_COLORS.get(line.level or "")


def _verdict(result: DmesgResult) -> list[str]:
    first = result.events[0] if result.events else None
    more = f" (and {len(result.events) - 1} more)" if len(result.events) > 1 else ""
    event = f"{first.kind}: {first.summary}{more}" if first else "none"
    source = str(result.source)
    omitted = f"{result.omitted_lines} older lines not shown" if result.omitted_lines else ""
    message = "; ".join(part for part in (result.message, omitted) if part)
    return [source, str(result.error_count), str(result.warning_count), event, message]
