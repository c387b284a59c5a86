"""What defines a tool besides its function: its title, and hints on its effects."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mcp_types import ToolAnnotations

LOOKS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
"""The other two hints have a meaning for tools that change something only (schema.ts of the protocol)."""
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
FETCHES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
TAKES_AWAY = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
INTERRUPTS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False)
RUNS_ANYTHING = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True
)


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """One tool: its function, its title, and hints on its effects.

    `place` is the path of field names from the result to the list of `items` that `offset` and `limit` apply to; () is
    the result itself, None means there is no such list. With `measured` a client may limit the length of the answer. A
    tool that `names_files` of the server's host, directly or in a topology, gets the client's roots.
    """

    function: Callable[..., Any]
    title: str
    annotations: ToolAnnotations
    place: tuple[str, ...] | None = None
    items: str = ""
    measured: bool = False
    names_files: bool = False

    @property
    def detailed(self) -> bool:
        """Whether a client may ask for fields that say nothing: of what it looks at, not of what it changes."""
        return bool(self.annotations.read_only_hint) and (self.measured or self.place is not None)

    @property
    def name(self) -> str:
        """The name that clients call it by."""
        return self.function.__name__
