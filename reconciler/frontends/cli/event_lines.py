"""Prints events: a table for people, one document per event for programs."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.frontends.cli.options import OutputFormat
from reconciler.frontends.cli.output import emit, plain, quiet_pipe
from reconciler.frontends.cli.spelled_results import spelled
from reconciler.frontends.cli.tables import print_columns, utc_time
from reconciler.frontends.cli.text import one_line
from reconciler.usecases.cluster_events import ClusterEvent


@dataclass(frozen=True, slots=True)
class Repeated:
    """The latest of several equal events, their number, and when the first one happened."""

    event: ClusterEvent
    count: int
    since: datetime

    @property
    def message(self) -> str:
        """Its message, with a count if it was repeated, as kubectl prints it."""
        again = f" (x{self.count} over {_span((self.event.at - self.since).total_seconds())})" if self.count > 1 else ""
        return f"{self.event.message}{again}"


@dataclass(frozen=True, slots=True)
class Repeats:
    """Counts equal events of one generation, so that they become one line."""

    _seen: dict[tuple[object, ...], Repeated] = field(default_factory=dict)

    def add(self, event: ClusterEvent) -> Repeated:
        """Count the event, and return its line."""
        whose = (event.cluster_name, event.generation, event.host, event.node)
        key = (*whose, event.kind, event.subject, event.said, event.cause)
        before = self._seen.pop(key, None)
        self._seen[key] = Repeated(event, before.count + 1 if before else 1, before.since if before else event.at)
        return self._seen[key]

    def all(self) -> Sequence[Repeated]:
        """All lines, ordered by when each event was last seen."""
        return list(self._seen.values())


_HOST = "HOST"
_COLUMNS = ("LAST SEEN", "CLUSTER", "KIND", _HOST, "NODE", "SUBJECT", "MESSAGE")


def show_events(events: Sequence[ClusterEvent]) -> None:
    """A table of events, oldest first, with repeated events as one line."""
    repeats = Repeats()
    for event in events:
        repeats.add(event)
    columns = [name for name in _COLUMNS if name != _HOST or any(event.host for event in events)]
    rows = ([_cells(of)[name] for name in columns] for of in repeats.all())
    print_columns(columns, rows, empty="no events; with `--follow` the next ones are shown as they happen")


def event_line(event: ClusterEvent, output: OutputFormat, repeats: Repeats) -> None:
    """One event, as a line with its count among `repeats`, or as a document."""
    event = spelled(event)
    match output:
        case OutputFormat.JSON:
            _print(json.dumps(plain(event)))
        case OutputFormat.YAML:
            _print("---")
            emit(event, output)
        case OutputFormat.TABLE:
            _print("  ".join(one_line(cell) for cell in _cells(repeats.add(event)).values() if cell))


def _print(line: str) -> None:
    with quiet_pipe():
        sys.stdout.write(line + "\n")


def _cells(repeated: Repeated) -> dict[str, str]:
    event = repeated.event
    when = (utc_time(event.at), event.cluster_name, event.kind.value, event.host)
    return dict(zip(_COLUMNS, (*when, event.node or "", event.subject, repeated.message), strict=True))


def _span(seconds: float) -> str:
    """A duration in its largest unit: 40s, 12m, 3h, 5d."""
    units = ((86_400, "d"), (3600, "h"), (60, "m"))
    return next((f"{seconds / size:.0f}{unit}" for size, unit in units if seconds >= 2 * size), f"{seconds:.0f}s")
