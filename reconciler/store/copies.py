"""All that a store holds of a cluster, as it is written into another store. Pure."""

from dataclasses import dataclass

from reconciler.errors import Conflict


@dataclass(frozen=True, slots=True)
class StoredChange:
    """One change in the history of a record, with the token that marks what it made; `patch` is JSON.

    One that was dropped has nothing but its token: nobody made it, and it changed nothing.
    """

    generation: int
    actor: str
    at: str
    patch: str
    token: str

    @property
    def is_dropped(self) -> bool:
        return not self.actor


def dropped_change(generation: int, at: str, token: str) -> StoredChange:
    return StoredChange(generation, actor="", at=at, patch="[]", token=token)


@dataclass(frozen=True, slots=True)
class StoredCluster:
    """A cluster's record and status as JSON texts (None where there is none), and all that belongs to them.

    `generation` is 0 where there is no record. The texts are not looked into: what is damaged is copied as it is.
    """

    name: str
    generation: int
    record: str | None
    status: str | None
    request: int
    changes: tuple[StoredChange, ...]
    events: tuple[str, ...]


def not_empty(place: str) -> Conflict:
    return Conflict(
        f"the store {place} has clusters of its own, and another identity",
        hint="copy into an empty store: two sets of records cannot be joined",
    )
