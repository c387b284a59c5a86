"""What the rest of the program asks of a desired-state store.

The embedded default is `reconciler.store.sqlite`; a distributed store can take its place behind this protocol.
"""

from datetime import datetime
from typing import Any, Protocol

from reconciler.model.base import Frozen
from reconciler.model.record import ClusterRecord
from reconciler.model.status import RecordStatus


class HistoryEntry(Frozen):
    """One change of a record: who made it, when, and what it changed as an RFC 6902 patch."""

    cluster_name: str
    generation: int
    actor: str
    at: datetime
    patch: tuple[dict[str, Any], ...]


class Store(Protocol):
    """Desired-state records, their statuses and their history. Safe for many processes at once."""

    async def get(self, cluster_name: str) -> ClusterRecord | None:
        """The record of a cluster, or None where there is none."""
        ...

    async def names(self) -> list[str]:
        """The clusters that have a record, sorted."""
        ...

    async def put(self, record: ClusterRecord, *, expected_generation: int, actor: str) -> ClusterRecord:
        """Write a changed record and return it with its new generation.

        `expected_generation` is that of the record the change was made from, 0 where there was none. Raises
        `Conflict` when another writer came first. A record equal to the stored one is not written again.
        """
        ...

    async def remove(self, cluster_name: str, *, expected_generation: int, actor: str) -> None:
        """Remove a record and its status; the history stays. Raises `Conflict` as `put` does."""
        ...

    async def history(self, cluster_name: str) -> list[HistoryEntry]:
        """Every change of a cluster's record, oldest first, also after it was removed."""
        ...

    async def status(self, cluster_name: str) -> RecordStatus | None:
        """The controller's last word on a cluster."""
        ...

    async def put_status(self, status: RecordStatus) -> None:
        """Write the controller's word on a cluster; ignored where the cluster has no record any more."""
        ...

    async def wait_for_change(self, *, timeout_s: float) -> bool:
        """Return True at the next change by any process, at most 100 ms after it; False when the time is up.

        Changes since this object's last call count, so that none is missed between two calls.
        """
        ...

    async def close(self) -> None:
        """Release the store's files."""
        ...
