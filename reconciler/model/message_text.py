"""Text for people and agents that may name tools or commands that its reader can call."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from reconciler.model.abridging import shortened


@dataclass(frozen=True, slots=True)
class NamesCalls:
    """Marks a field whose text names calls in backticks: tools and their arguments, as in `ClusterError`."""


MessageText = Annotated[str, NamesCalls()]
"""Text written by this program, for a front end to spell; never what only a user, a guest or a program said."""

STORED_MESSAGE_LIMIT = 4096


def _storable(text: str) -> str:
    """The text without lone surrogates, which stand for bytes of file names that are not UTF-8, and no JSON holds."""
    escaped = text if text.isascii() else text.encode(errors="backslashreplace").decode()
    return shortened(escaped, STORED_MESSAGE_LIMIT)


StoredMessage = Annotated[MessageText, AfterValidator(_storable)]
"""Text that is stored, and may quote what a guest or another program said; a long text keeps both its ends."""
