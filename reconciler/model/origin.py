"""The origin of a thing on the host: which change of a cluster's record made it, in which store."""

from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from reconciler.model.base import Frozen


class Origin(Frozen):
    """One generation of one store's record.

    A copy of a store has the same identity and continues from the same number, so each generation has a random token,
    found only in the history of the store that wrote it and of stores copied from it later.
    """

    store: str = Field(description="The identity of the store, generated when it was created.")
    generation: int
    token: str
    state_dir: str = Field(default="", description="Where the store was at that time; for people.")
    term: int = Field(default=0, description="The term of the host's lease; 0 in a store of one host.")

    @model_serializer(mode="wrap")
    def _readable_by_all(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Versions from before there were terms read a mark without one."""
        values: dict[str, Any] = handler(self)
        return {name: value for name, value in values.items() if name != "term" or value}

    @property
    def key(self) -> str:
        """Identifies it uniquely, in one word."""
        return f"{self.store}.{self.generation}.{self.token}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @classmethod
    def read(cls, attributes: "dict[str, str]") -> Self | None:
        """Read an origin from the attributes of a mark in XML; None if an earlier version wrote them.

        Raises `KeyError` or `ValueError` if we cannot have written them.
        """
        if not attributes.keys() & {"store", "token"}:
            return None
        return cls(
            store=attributes["store"],
            generation=int(attributes["generation"]),
            token=attributes["token"],
            state_dir=attributes.get("state-dir", ""),
            term=int(attributes.get("term", "0")),
        )

    @property
    def attributes(self) -> dict[str, str]:
        """The origin as attributes of a mark in XML."""
        return {
            "store": self.store,
            "generation": str(self.generation),
            "token": self.token,
            "state-dir": self.state_dir,
            **({"term": str(self.term)} if self.term else {}),
        }


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a store knows of origins that were found: its own identity and place, and those in its history."""

    store: str = ""
    known: frozenset[Origin] = frozenset()
    state_dir: str = ""
