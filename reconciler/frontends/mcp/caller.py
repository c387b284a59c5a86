"""Who calls which tool."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Caller:
    """One call as named in the log and in the history of records; `roots` are the directories that its client opens."""

    tool: str
    cluster: str | None
    actor: str
    roots: tuple[Path, ...] = ()
