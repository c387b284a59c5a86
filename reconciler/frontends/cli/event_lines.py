"""Events as people read them, and one at a time as programs do."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.frontends.cli.options import OutputFormat
from reconciler.frontends.cli.output import emit, plain, quiet_pipe
from reconciler.frontends.cli.spelling import spelled
from reconciler.frontends.cli.tables import at, print_columns
from reconciler.frontends.cli.text import one_line
from reconciler.usecases.events import ClusterEvent


@dataclass(frozen=True, slots=True)
class Repeated:
    """An event as it was last seen, how often it was, and when first."""

    event: ClusterEvent
    count: int
    since: datetime

    @property
    def message(self) -> str:
        """Its words, with a count where it came again, as kubectl has it."""
        again = f" (x{self.count} over {_span((self.event.at - self.since).total_seconds())})" if self.count > 1 else ""
        return f"{self.event.message}{again}"


@dataclass(frozen=True, slots=True)
class Repeats:
    """Events folded: what came again under one generation is one line, where it was last seen."""

    _seen: dict[tuple[object, ...], Repeated] = field(default_factory=dict)

    def add(self, event: ClusterEvent) -> Repeated:
        """The event, counted."""
        key = (event.cluster_name, event.generation, event.kind, event.node, event.subject, event.said, event.cause)
        before = self._seen.pop(key, None)
        self._seen[key] = Repeated(event, before.count + 1 if before else 1, before.since if before else event.at)
        return self._seen[key]

    def all(self) -> Sequence[Repeated]:
        """By the time at which each was last seen."""
        return list(self._seen.values())


def show_events(events: Sequence[ClusterEvent]) -> None:
    """Many events as a table, oldest first, those that came again as one."""
    repeats = Repeats()
    for event in events:
        repeats.add(event)
    print_columns(["LAST SEEN", "CLUSTER", "KIND", "NODE", "SUBJECT", "MESSAGE"], map(_cells, repeats.all()))


def event_line(event: ClusterEvent, output: OutputFormat, repeats: Repeats) -> None:
    """One event on a line of its own with its count among `repeats`, or as a document of its own."""
    event = spelled(event)
    match output:
        case OutputFormat.JSON:
            _print(json.dumps(plain(event)))
        case OutputFormat.YAML:
            _print("---")
            emit(event, output, lambda _: None)
        case OutputFormat.TABLE:
            _print("  ".join(one_line(cell) for cell in _cells(repeats.add(event)) if cell))


def _print(line: str) -> None:
    with quiet_pipe():
        sys.stdout.write(line + "\n")


def _cells(repeated: Repeated) -> list[str]:
    event = repeated.event
    return [at(event.at), event.cluster_name, event.kind.value, event.node or "", event.subject, repeated.message]


def _span(seconds: float) -> str:
    """A time to two figures or so: 40s, 12m, 3h, 5d."""
    units = ((86_400, "d"), (3600, "h"), (60, "m"))
    return next((f"{seconds / size:.0f}{unit}" for size, unit in units if seconds >= 2 * size), f"{seconds:.0f}s")
