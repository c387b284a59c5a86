"""Who calls which tool."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """One call as the log and the history of records name it."""

    tool: str
    cluster: str | None
    actor: str
