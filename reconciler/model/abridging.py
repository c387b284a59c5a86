"""How a shortened answer says what it omits."""

from pydantic import Field

from reconciler.model.base import Frozen

_NOTE_LENGTH = 40
"""More than half of the text that replaces an omitted part, so that shortening again changes nothing."""


class Abridgeable(Frozen):
    """A part of an answer that may be shortened for a client with limited space: over MCP, not on the command line."""

    omitted: dict[str, int] = Field(
        default={},
        description="By field: how many of its items are omitted. `following`: how many items come after this one.",
    )


def omission_note(count: int, unit: str = "bytes") -> str:
    """The line that replaces an omitted part."""
    return f"\n[… {count} {unit} omitted …]\n"


def shortened(text: str, limit: int) -> str:
    """Beginning and end of a text longer than `limit` characters: the end of an error usually tells most."""
    if len(text) <= limit:
        return text
    kept = limit // 2 - _NOTE_LENGTH
    return f"{text[:kept]}{omission_note(len(text) - 2 * kept, 'characters')}{text[-kept:]}"
