"""Text for people and agents that may name what its reader can call next."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from reconciler.model.omission import shortened


@dataclass(frozen=True, slots=True)
class NamesCalls:
    """Marks a field whose text names calls in backticks: tools and their arguments, as `ClusterError` says."""


Prose = Annotated[str, NamesCalls()]
"""Words of this program, for a front end to spell; never what a user, a guest or another program has said alone."""

TOLD_LIMIT = 4096
Told = Annotated[Prose, AfterValidator(lambda text: shortened(text, TOLD_LIMIT))]
"""Prose that is kept, and may quote what a guest or another program has said: beginning and end of it."""
