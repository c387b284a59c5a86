"""What a tool is beside its function: its title, and what it may do to the world."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mcp_types import ToolAnnotations

LOOKS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
TAKES_AWAY = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
INTERRUPTS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False)
RUNS_ANYTHING = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True
)


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """One tool: what it does, what it is called for people, and what it may do to the world.

    `place` says where the list of `items` is that `offset` and `limit` count in, by the names on the way from the
    result; () for the result itself, None where there is no such list. With `measured` a client may say how long the
    answer may be. What `names_files` of the server's host, by itself or in a topology, is told the client's roots.
    """

    function: Callable[..., Any]
    title: str
    annotations: ToolAnnotations
    place: tuple[str, ...] | None = None
    items: str = ""
    measured: bool = False
    names_files: bool = False
