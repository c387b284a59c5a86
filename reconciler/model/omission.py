"""What an answer that was cut says of what is not in it."""

from pydantic import Field

from reconciler.model.base import Frozen


class Abridgeable(Frozen):
    """A part of an answer that may be cut where a client takes no more: over MCP, never on the command line."""

    omitted: dict[str, int] = Field(
        default={},
        description="By field: how many of its items were left out. `following`: how many items come after this one.",
    )


def omission(count: int, unit: str = "bytes") -> str:
    """The line that stands for what was left out."""
    return f"\n[… {count} {unit} left out …]\n"
