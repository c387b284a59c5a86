"""The parameters that limit an answer: how long it may be, and which part of a list it holds."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from reconciler.frontends.mcp.answer_limits import DEFAULT_BYTES, Extent
from reconciler.frontends.mcp.tool_definition import ToolDefinition
from reconciler.frontends.mcp.values import AsNumber

_LEAST_BYTES = 4000
_MOST_BYTES = 100_000_000
_ITEMS_MAX = 10_000_000


def extent_parameters(definition: ToolDefinition) -> list[inspect.Parameter]:
    """What a tool takes in addition to its own parameters."""
    return list(_parameters(definition))


def extent_of(definition: ToolDefinition, said: Mapping[str, Any]) -> Extent:
    """How much of an answer a call requests."""
    return Extent(
        length_bytes=said.get("answer_bytes", DEFAULT_BYTES),
        offset=said.get("offset", 0),
        limit=said.get("limit"),
        place=definition.place,
        full=said.get("detail") == "full",
    )


def _parameters(definition: ToolDefinition) -> Iterator[inspect.Parameter]:
    if definition.place is not None:
        items = definition.items
        skipped = f"Skip this many {items}."
        at_most = f"At most this many {items}."
        yield _parameter("offset", Annotated[int, Field(ge=0, le=_ITEMS_MAX), AsNumber, Field(description=skipped)], 0)
        limit = Annotated[int, Field(ge=1, le=_ITEMS_MAX)] | None
        yield _parameter("limit", Annotated[limit, AsNumber, Field(description=at_most)], None)
    if definition.measured:
        length = "Longest answer."
        yield _parameter(
            "answer_bytes",
            Annotated[int, Field(ge=_LEAST_BYTES, le=_MOST_BYTES), AsNumber, Field(description=length)],
            DEFAULT_BYTES,
        )
    if definition.detailed:
        detail = Annotated[Literal["brief", "full"], Field(description="`full`: all.")]
        yield _parameter("detail", detail, "brief")


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
