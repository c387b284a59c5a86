"""What the rest of the program needs of a desired-state store.

The embedded default is `reconciler.store.sqlite`; a distributed store can replace it behind this protocol.
"""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Protocol

from pydantic import Field

from reconciler.model.base import Frozen
from reconciler.model.event import ClusterEvent
from reconciler.model.host import HostRecord, HostReport
from reconciler.model.message_text import MessageText
from reconciler.model.origin import Lineage, Origin
from reconciler.model.record import ClusterRecord
from reconciler.model.status import RecordStatus
from reconciler.model.timestamps import Moment
from reconciler.store.copies import StoredCluster
from reconciler.store.meeting import Meeting
from reconciler.store.membership import Membership

KEPT_GONE = 100
"""So many removed clusters keep their history and events: those that were removed last."""


class HistoryEntry(Frozen):
    """One change of a record: who made it, when (UTC), and what it changed as an RFC 6902 patch.

    The patch applies to the record without its generation, or to `null` if there was no record (and yields `null` if
    there is none afterwards): all patches up to a generation, applied in order to `null`, give the record of that time.
    Where older changes were dropped, the first that is left makes the whole record.
    """

    cluster_name: str = Field(description="Name of the cluster.")
    generation: int = Field(description="The generation that the change created; `rollback --to` takes it.")
    actor: str = Field(description="Who made the change.")
    at: Moment = Field(description="When.")
    patch: tuple[dict[str, Any], ...] = Field(description="RFC 6902, relative to the record before.")
    unreadable: MessageText = Field(
        default="",
        description="Why the change cannot be read; empty if it can. If not, `actor` and `patch` are empty, `at` is "
        "that of the change before.",
    )


@dataclass(frozen=True, slots=True)
class Demand:
    """How often a cluster's record was changed, how often a round was requested, and which hosts visit its network."""

    generation: int
    request: int
    visitors: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class HostWords:
    """What the hosts of a cluster said of it, which of them are lost, and which has the nodes without a host.

    Of the lost ones, some are `forgotten`: they do not come back. `visitors` are hosts without nodes that are in the
    cluster's network, with their addresses there.
    """

    words: Mapping[str, RecordStatus]
    lost: Mapping[str, datetime | None]
    home: str
    forgotten: frozenset[str] = frozenset()
    visitors: Mapping[str, IPv4Address] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterEntry:
    """A cluster in the store at one moment: its record, its last status, and the last request for a round.

    `request` is the number of the last requested round; 0 if there was none. In a store of several hosts the status is
    that of all `hosts` together.
    """

    record: ClusterRecord
    status: RecordStatus | None
    request: int
    hosts: HostWords | None = field(default=None, compare=False)


class Damage(StrEnum):
    """Which of a cluster's documents cannot be read. Without its record, a status counts as unreadable too."""

    RECORD = "record"
    STATUS = "status"


class ChangeWaiter(Protocol):
    """One waiter's position in the changes of a store: each loop that waits has its own."""

    async def wait(self, *, timeout_s: float) -> bool:
        """Return True at the next change by any process, at most 100 ms after it; False after `timeout_s`.

        Changes since the watch was created, or since its last `wait`, count, so that none is missed in between.
        """
        ...


class DemandWatch(Protocol):
    """Follows the demands of a store."""

    async def next(self) -> Mapping[str, Demand]:
        """The demands of now at the first call; afterwards those after the next change, which may be of anything.

        After an error, those of now again.
        """
        ...


class Store(Protocol):
    """Desired-state records, their statuses and their history. Safe for many processes at once."""

    @property
    def own_host(self) -> str:
        """The name of this host among those of the store; empty where it is the only one, or no host at all."""
        ...

    async def get(self, cluster_name: str) -> ClusterRecord | None:
        """The record of a cluster, or None if it has none."""
        ...

    async def names(self) -> list[str]:
        """The clusters that have a record, sorted."""
        ...

    async def put(
        self, record: ClusterRecord, *, expected_generation: int, actor: str, consent: Set[str] = frozenset()
    ) -> ClusterRecord:
        """Write a changed record and return it with its new generation, which alone has the `consent`.

        `expected_generation` is that of the record the change was made from, 0 if there was none. Raises `Conflict` if
        another writer was first. A record equal to the stored one is only written if it agrees to more losses.
        The generation of a recreated record continues above those of the removed one.
        """
        ...

    async def remove(self, cluster_name: str, *, expected_generation: int, actor: str) -> None:
        """Remove a record and its status; its history stays as one of the last. Raises `Conflict` as `put` does."""
        ...

    async def discard_damaged(self, cluster_name: str, *, actor: str) -> Damage | None:
        """Remove only what cannot be read, and return what that was. The history stays."""
        ...

    async def history(self, cluster_name: str) -> list[HistoryEntry]:
        """The changes of a cluster's record, oldest first, also after it was removed: at least the last 1,000."""
        ...

    async def origin(self, cluster_name: str, generation: int) -> Origin | None:
        """The origin that this generation of the record marks things with; None if it never existed."""
        ...

    async def lineage(self, cluster_name: str, found: Collection[Origin]) -> Lineage:
        """The store's identity, and which of the origins found on the host are in its history of the cluster.

        A copy of a store has the same identity and continues its numbers; its later generations are not known here.
        """
        ...

    async def status(self, cluster_name: str) -> RecordStatus | None:
        """The last status of a cluster: in a store of several hosts, that of all its parts together."""
        ...

    async def put_status(self, status: RecordStatus) -> None:
        """Write the status that a host has of its part of a cluster; ignored if the cluster no longer has a record."""
        ...

    async def standing(self, cluster_name: str) -> ClusterEntry | None:
        """Everything that a round starts with, or None if the cluster has no record."""
        ...

    async def leave(self, cluster_name: str) -> None:
        """Take back what this host said of a cluster, of which it has nothing and is to have nothing."""
        ...

    async def demands(self) -> dict[str, Demand]:
        """The demands of each cluster that has a record, and a part on this host if there are several."""
        ...

    def watch_demands(self) -> DemandWatch:
        """Their changes, cheap enough to be followed by each host."""
        ...

    async def request_round(self, cluster_name: str) -> int:
        """Ask the controller, in whichever process, to look at a cluster; returns the number of the request."""
        ...

    async def add_events(self, events: Sequence[ClusterEvent]) -> None:
        """Store events; the last 1,000 of each cluster are kept, also of those whose record was removed last."""
        ...

    async def events(self, cluster_name: str | None, *, after: int = 0) -> list[ClusterEvent]:
        """The events above a number, oldest first; for None, those of all clusters."""
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

    async def hosts(self) -> dict[str, HostRecord]:
        """The hosts that share this store, by name, sorted; none where it is in a directory of the only host."""
        ...

    async def put_host(self, report: HostReport) -> None:
        """Write what a host says of itself. Raises `HostNotFound` where the store is of one host only."""
        ...

    async def cordon_host(self, name: str, *, cordoned: bool) -> None:
        """Keep new nodes off a host, or let them on it again. Raises `HostNotFound`."""
        ...

    async def remove_host(self, name: str) -> None:
        """Forget a host that is gone. Raises `HostNotFound`, and `Conflict` while its lease is alive."""
        ...

    async def home_host(self) -> str:
        """The host that nodes without a host are on: the first that worked on this store.

        Empty if none did, or it was forgotten.
        """
        ...

    async def take_home(self, name: str) -> None:
        """Make a host the home of nodes without a host, if there never was one."""
        ...

    async def host_addresses(self, names: Collection[str]) -> dict[str, IPv4Address | IPv6Address]:
        """Where those of these hosts that have told are reached by the others; cheaper than all about all hosts."""
        ...

    async def network_number(self, cluster_name: str) -> int:
        """The number of a cluster's network among all of this store, from 1 on; it never changes.

        Raises `HostNotFound` where the store is of one host only.
        """
        ...

    async def visitors(self, cluster_name: str) -> Mapping[str, IPv4Address]:
        """The hosts that visit a cluster's network, with their addresses there."""
        ...

    async def visit(self, cluster_name: str, addresses: Sequence[IPv4Address]) -> None:
        """Let this host be in the network of a cluster that has no nodes here, by one of these addresses.

        That ends an hour after the last call. Raises `OperationFailed` if all addresses are taken, and `HostNotFound`
        where the store is of one host only.
        """
        ...

    def meeting(self, cluster_name: str, matter: str, hosts: Set[str], /) -> Meeting:
        """This host's place in what several hosts of a cluster do together, or not at all."""
        ...

    async def tidy(self) -> None:
        """Let go of what was replaced long ago; for each host to call every few minutes."""
        ...

    def membership(self) -> Membership:
        """This host's right to act; the same object at each call."""
        ...

    async def watch(self) -> ChangeWaiter:
        """A position in the changes of this store, starting now."""
        ...

    async def close(self) -> None:
        """Release the store's files."""
        ...
