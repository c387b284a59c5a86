"""A user of this host, as which processes run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """A user with all groups of its processes."""

    name: str
    uid: int
    gids: frozenset[int]
