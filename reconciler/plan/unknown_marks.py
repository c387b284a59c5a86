"""Anything made under another record blocks the whole plan: this record must not touch what it does not know. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from reconciler.model.document import ClusterDocument, Unknown
from reconciler.model.status import Obstacle
from reconciler.plan.document_queries import Step

_MOST_SHOWN = 3
_WORDS = {
    "directory": "the directory",
    "networks": "network",
    "domains": "the domain of node",
    "layers": "layer",
    "seeds": "the seed of node",
    "snapshots": "snapshot",
}


def plan_marks(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """One obstacle for each origin that the record does not know, whatever else differs."""
    by_cause: defaultdict[Unknown, list[str]] = defaultdict(list)
    for key in observed.marks:
        wanted = desired.marks.get(key)
        if isinstance(wanted, Unknown) and wanted != observed.marks[key]:
            by_cause[wanted].append(key)
    for cause, keys in by_cause.items():
        yield Obstacle(code=cause.code, message=f"{_in_words(keys)}: {cause.unknown}", terminal=cause.terminal)


def _in_words(keys: Sequence[str]) -> str:
    shown = [" ".join((_WORDS[kind], name)) for kind, _, name in (key.partition("/") for key in keys[:_MOST_SHOWN])]
    more = len(keys) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
