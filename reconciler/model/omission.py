"""What an answer that was cut says of what is not in it."""

from pydantic import Field

from reconciler.model.base import Frozen

_NOTE_LENGTH = 40
"""Half of what stands in place of what is left out, and more, so that what was shortened stays as it is."""


class Abridgeable(Frozen):
    """A part of an answer that may be cut where a client takes no more: over MCP, never on the command line."""

    omitted: dict[str, int] = Field(
        default={},
        description="By field: how many of its items were left out. `following`: how many items come after this one.",
    )


def omission(count: int, unit: str = "bytes") -> str:
    """The line that stands for what was left out."""
    return f"\n[… {count} {unit} left out …]\n"


def shortened(text: str, limit: int) -> str:
    """Beginning and end of a text that is longer than so many characters: of an error the end tells most."""
    if len(text) <= limit:
        return text
    kept = limit // 2 - _NOTE_LENGTH
    return f"{text[:kept]}{omission(len(text) - 2 * kept, 'characters')}{text[-kept:]}"
