"""Events as people read them, and one at a time as programs do."""

import json
import sys
from collections.abc import Sequence

from reconciler.frontends.cli.options import OutputFormat
from reconciler.frontends.cli.output import emit, plain, quiet_pipe
from reconciler.frontends.cli.spelling import spelled
from reconciler.frontends.cli.tables import at, print_columns
from reconciler.frontends.cli.text import one_line
from reconciler.usecases.events import ClusterEvent


def show_events(events: Sequence[ClusterEvent]) -> None:
    """Many events as a table, oldest first."""
    print_columns(["AT", "CLUSTER", "KIND", "NODE", "SUBJECT", "MESSAGE"], (_cells(event) for event in events))


def event_line(event: ClusterEvent, output: OutputFormat) -> None:
    """One event on a line of its own, or as a document of its own."""
    event = spelled(event)
    match output:
        case OutputFormat.JSON:
            _print(json.dumps(plain(event)))
        case OutputFormat.YAML:
            _print("---")
            emit(event, output, lambda _: None)
        case OutputFormat.TABLE:
            _print("  ".join(one_line(cell) for cell in _cells(event) if cell))


def _print(line: str) -> None:
    with quiet_pipe():
        sys.stdout.write(line + "\n")


def _cells(event: ClusterEvent) -> list[str]:
    return [at(event.at), event.cluster_name, event.kind.value, event.node or "", event.subject, event.message]
