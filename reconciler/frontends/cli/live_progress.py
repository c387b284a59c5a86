"""What is under way, as lines at the bottom of a terminal that change; messages scroll by above them."""

# ruff: noqa: PLC0415  imports wait until something is under way

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from reconciler.frontends.cli.options import OutputFormat, log_options
from reconciler.frontends.cli.output import narrate, unheard
from reconciler.frontends.cli.text import one_line, printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live


class LiveProgress:
    """The lines of one command, drawn while anything is under way."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live: Live | None = None
        self._under_way: dict[str, tuple[str, float]] = {}

    def report(self, message: str) -> None:
        """Print a message, above the lines if there are any."""
        if self._live is None:
            narrate(message)
            return
        from rich.text import Text

        with unheard():
            self._live.console.print(Text(printable(message)), soft_wrap=True)

    def advance(self, what: str, how_far: str | None) -> None:
        """Change the line of something that is under way; None removes it."""
        if how_far is None:
            self._under_way.pop(what, None)
        else:
            _before, since_s = self._under_way.get(what, ("", time.monotonic()))
            self._under_way[what] = (how_far, since_s)
        if not self._under_way:
            self.stop()
        elif self._live is None:
            self._start()
        else:
            with unheard():
                self._live.refresh()

    def stop(self) -> None:
        """Remove the lines."""
        if self._live is not None:
            with unheard():
                self._live.stop()
            self._live = None

    def _start(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        console, spinner = Console(file=self._stream, highlight=False), Spinner("dots")
        self._live = Live(
            get_renderable=lambda: self._drawn(console, spinner),
            console=console,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # what is printed for a pipe stays in it
        )
        with unheard():
            self._live.start()

    def _drawn(self, console: "Console", spinner: "RenderableType") -> "RenderableType":
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        lines, fitting, now_s = list(self._under_way.items()), max(1, console.height - 2), time.monotonic()
        table = Table.grid(padding=(0, 2, 0, 0))
        for what, (how_far, since_s) in lines[:fitting]:
            table.add_row(spinner, *(Text(one_line(of)) for of in (what, how_far, f"{now_s - since_s:.0f} s")))
        more = [Text(f"… and {len(lines) - fitting} more")] if len(lines) > fitting else []
        return Group(table, *more)


@contextmanager
def live_progress(output: OutputFormat) -> Iterator[LiveProgress | None]:
    """Lines that are gone in the end; none with data as output, with detailed logs, or without a terminal."""
    if output is not OutputFormat.TABLE or log_options.get().verbosity or not _can_move_cursor():
        yield None
        return
    progress = LiveProgress(sys.stderr)
    try:
        yield progress
    finally:
        progress.stop()


def _can_move_cursor() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
