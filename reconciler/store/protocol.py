"""What the rest of the program asks of a desired-state store.

The embedded default is `reconciler.store.sqlite`; a distributed store can take its place behind this protocol.
"""

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pydantic import Field

from reconciler.model.base import Frozen
from reconciler.model.event import ClusterEvent
from reconciler.model.moments import Moment
from reconciler.model.origin import Lineage, Origin
from reconciler.model.record import ClusterRecord
from reconciler.model.status import RecordStatus
from reconciler.store.copies import StoredCluster


class HistoryEntry(Frozen):
    """One change of a record: who made it, when (UTC), and what it changed as an RFC 6902 patch.

    The patch is on the record without its generation, and on `null` where there was (or is then) no record: all
    patches up to a generation, applied in order to `null`, give the record as it was then.
    """

    cluster_name: str = Field(description="Name of the cluster.")
    generation: int = Field(description="What the change made; `rollback --to` takes it.")
    actor: str = Field(description="Who made it.")
    at: Moment = Field(description="When.")
    patch: tuple[dict[str, Any], ...] = Field(description="RFC 6902, on the record as it was before.")


@dataclass(frozen=True, slots=True)
class Demand:
    """How often a cluster's record was changed, and how often a look at the cluster was asked for."""

    generation: int
    request: int


@dataclass(frozen=True, slots=True)
class ClusterEntry:
    """How a cluster stands in the store at one moment: what is wanted, what was said last, and the last request.

    `request` is the number of the last look that was asked for; 0 where there was none.
    """

    record: ClusterRecord
    status: RecordStatus | None
    request: int


class Damage(StrEnum):
    """What of a cluster cannot be read. A record takes its status with it."""

    RECORD = "record"
    STATUS = "status"


class ChangeWaiter(Protocol):
    """One waiter's place in the changes of a store: each loop that waits has its own."""

    async def wait(self, *, timeout_s: float) -> bool:
        """Return True at the next change by any process, at most 100 ms after it; False when the time is up.

        Changes since the watch was made, or since its last `wait`, count, so that none is missed in between.
        """
        ...


class Store(Protocol):
    """Desired-state records, their statuses and their history. Safe for many processes at once."""

    async def get(self, cluster_name: str) -> ClusterRecord | None:
        """The record of a cluster, or None where there is none."""
        ...

    async def names(self) -> list[str]:
        """The clusters that have a record, sorted."""
        ...

    async def put(
        self, record: ClusterRecord, *, expected_generation: int, actor: str, consent: Set[str] = frozenset()
    ) -> ClusterRecord:
        """Write a changed record and return it with its new generation, which alone has the `consent`.

        `expected_generation` is that of the record the change was made from, 0 where there was none. Raises
        `Conflict` when another writer came first. A record equal to the stored one is not written again,
        unless more is agreed to.
        The generation of a record that is made anew goes on above those of the removed one.
        """
        ...

    async def remove(self, cluster_name: str, *, expected_generation: int, actor: str) -> None:
        """Remove a record and its status; the history stays. Raises `Conflict` as `put` does."""
        ...

    async def discard_damaged(self, cluster_name: str, *, actor: str) -> Damage | None:
        """Remove what cannot be read, and nothing else; what that was. The history stays."""
        ...

    async def history(self, cluster_name: str) -> list[HistoryEntry]:
        """Every change of a cluster's record, oldest first, also after it was removed."""
        ...

    async def origin(self, cluster_name: str, generation: int) -> Origin | None:
        """What marks the things that this generation of the record makes; None where there never was one."""
        ...

    async def lineage(self, cluster_name: str, found: Collection[Origin]) -> Lineage:
        """The store's identity, and which of the origins found on the host are in its history of the cluster.

        A copy of a store has its identity, and goes on with the same numbers; its later generations are not known here.
        """
        ...

    async def status(self, cluster_name: str) -> RecordStatus | None:
        """The controller's last word on a cluster."""
        ...

    async def put_status(self, status: RecordStatus) -> None:
        """Write the controller's word on a cluster; ignored where the cluster has no record any more."""
        ...

    async def standing(self, cluster_name: str) -> ClusterEntry | None:
        """All that a round begins with, or None where the cluster has no record."""
        ...

    async def demands(self) -> dict[str, Demand]:
        """What is asked of each cluster that has a record: cheap enough to be read at every change."""
        ...

    async def request_round(self, cluster_name: str) -> int:
        """Ask whoever is the controller to look at a cluster; the number of the request."""
        ...

    async def add_events(self, events: Sequence[ClusterEvent]) -> None:
        """Keep events; of each cluster the last 1,000 stay, also after its record was removed."""
        ...

    async def events(self, cluster_name: str | None, *, after: int = 0) -> list[ClusterEvent]:
        """The events above a number, oldest first; those of all clusters for None."""
        ...

    async def newest_event(self) -> int:
        """The number of the last event."""
        ...

    async def identity(self) -> str:
        """What tells this store from all others; made with it, and copied with it."""
        ...

    async def take_identity(self, identity: str) -> None:
        """Become a copy of another store. Raises `Conflict` where there are clusters under another identity."""
        ...

    async def known(self) -> list[str]:
        """The clusters that have or had a record, sorted."""
        ...

    async def exported(self, cluster_name: str) -> StoredCluster:
        """All that there is of a cluster, of one moment."""
        ...

    async def load(self, cluster: StoredCluster) -> None:
        """Write what another store exported, in place of all that is there of a cluster of that name."""
        ...

    async def wait_for_change(self, *, timeout_s: float) -> bool:
        """`ChangeWaiter.wait` on the one watch that this object has from its first use on.

        For a program with a single waiting loop; where several loops share a store, each takes `watch()`.
        """
        ...

    async def watch(self) -> ChangeWaiter:
        """A place in the changes of this store, from now on."""
        ...

    async def close(self) -> None:
        """Release the store's files."""
        ...
