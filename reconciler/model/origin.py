"""Where a thing on the host comes from: which change of a cluster's record made it, in which store."""

from dataclasses import dataclass
from typing import Self

from pydantic import Field

from reconciler.model.base import Frozen


class Origin(Frozen):
    """One generation of one store's record.

    A copy of a store has the same identity and counts on from the same number, so each generation has a random token:
    it is in the history of the store that wrote it and of those copied from it later, and in no other.
    """

    store: str = Field(description="The identity of the store, made with it.")
    generation: int
    token: str
    state_dir: str = Field(default="", description="Where the store was when it made the thing; for people.")

    @property
    def key(self) -> str:
        """What tells it from all others, as one word."""
        return f"{self.store}.{self.generation}.{self.token}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @classmethod
    def read(cls, attributes: "dict[str, str]") -> Self | None:
        """From the attributes of a mark in XML; None where an earlier version wrote them.

        Raises `KeyError` or `ValueError` where we cannot have written them.
        """
        if not attributes.keys() & {"store", "token"}:
            return None
        return cls(
            store=attributes["store"],
            generation=int(attributes["generation"]),
            token=attributes["token"],
            state_dir=attributes.get("state-dir", ""),
        )

    @property
    def attributes(self) -> dict[str, str]:
        """The same as attributes of a mark in XML."""
        return {
            "store": self.store,
            "generation": str(self.generation),
            "token": self.token,
            "state-dir": self.state_dir,
        }


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a store says to origins that were found: its own identity and place, and those that its history has."""

    store: str = ""
    known: frozenset[Origin] = frozenset()
    state_dir: str = ""
