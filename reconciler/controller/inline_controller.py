"""The inline controller: runs rounds until a cluster is as desired, in whichever process holds the lease.

A caller cannot tell whether its own process did the work or another one: it waits until the status says that a
generation at least as new as its own was worked on and nothing is left to do.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from reconciler.controller.amendments import CONTROLLER
from reconciler.controller.conditions import obstacle_of
from reconciler.controller.journal import OnEvent, no_observer
from reconciler.controller.round import Rounds
from reconciler.controller.round_results import Look, PlannedChange, RoundResult
from reconciler.controller.wait import ELSEWHERE, LONGEST_DELAY_S, Wait
from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterNotFound, Conflict, StoreLocked
from reconciler.model.record import ClusterRecord
from reconciler.model.status import RecordStatus
from reconciler.store.host_lease import HostLease
from reconciler.store.lease import Lease
from reconciler.store.protocol import ChangeWaiter, Store

_LEASE_POLL_S = 0.05
_BY_MARKS_S = 30.0

Decide = Callable[[], Awaitable[PlannedChange]]
"""Plans a change, and records it."""


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """A record that the host matches.

    `look` is the last observation, None if another process did the work; `acted` says that actions were carried out.
    """

    record: ClusterRecord
    look: Look | None
    acted: bool


class Controller:
    """Reconciles clusters from within this process."""

    def __init__(
        self,
        store: Store,
        rounds: Rounds,
        lease: Lease,
        host: HostLease,
        on_turn: Callable[[], None] | None = None,
    ) -> None:
        """`on_turn` is called, in a thread, when this process becomes the controller."""
        self.rounds = rounds
        self._store = store
        self._lease = lease
        self._host = host
        self._on_turn = on_turn
        self._turns = 0
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def converge(
        self,
        record: ClusterRecord,
        *,
        timeout_s: float,
        tell: OnEvent = no_observer,
        first: RoundResult | None = None,
        since_s: float | None = None,
        nodes: Collection[str] | None = None,
    ) -> CarriedOut:
        """Return when the host matches `record` or a newer generation of it; with `nodes`, when these nodes do.

        `first` is the result of the first round, if there was one already, and `since_s` is when the caller started to
        wait. Raises the obstacle if one ends the wait, `OperationTimeout` with the last cause when the time is up, and
        `ClusterNotFound` or `Conflict` if another client has changed the record meanwhile.
        """
        some = None if nodes is None or record.spec.nodes.keys() <= {*nodes} else nodes
        wait = Wait(timeout_s, since_s, some)
        elsewhere = _Elsewhere(self._store, record, tell, self._holders)
        changes: ChangeWaiter | None = None
        result, acted = first, False
        while True:
            try:
                if result is None:
                    changes = changes or await self._store.watch()
                    async with self._turn(record.cluster_name, wait.left_s()) as may_act:
                        result = await self.rounds.run(record.cluster_name, tell) if may_act else None
                acted = acted or result is None or result.spans or bool(result.outcomes)
                may_be_all = result is None or wait.is_over(result)
                if may_be_all and (_is_all(result) or await elsewhere.is_done(wait)):
                    break
                # A round that acted is followed by one that observes: the result is read from the host, never assumed.
                changes = changes or await self._store.watch()
                await self._pause(record, None if may_be_all else result, wait, changes)
                result = None
            except StoreLocked as error:
                wait.raise_if_late((obstacle_of(error),))
                await asyncio.sleep(_LEASE_POLL_S)
        await self._require_still_wanted(record, some)
        whole = result is not None and result.converged and not result.spans
        return CarriedOut(record, result.look if whole and result else None, acted)

    async def enter_network(self, cluster: str, *, timeout_s: float) -> None:
        """Return when this host, which has no nodes of the cluster, is in its network, as it has said that it visits.

        Waits and raises as `converge` does.
        """
        await self._until_word(cluster, lambda word: word is not None and word.is_in_network, timeout_s)

    async def leave_network(self, cluster: str, *, timeout_s: float) -> None:
        """Return when this host has nothing of the cluster, which it no longer visits. Raises as `enter_network`."""
        await self._until_word(cluster, lambda word: word is None, timeout_s)

    async def _until_word(self, cluster: str, holds: Callable[[RecordStatus | None], bool], timeout_s: float) -> None:
        """Run rounds, or let the service do so, until what this host says of the cluster is as it should be."""
        wait, began = Wait(timeout_s), datetime.now(UTC)
        changes = await self._store.watch()
        while True:
            async with self._turn(cluster, wait.left_s()) as may_act:
                result = await self.rounds.run(cluster) if may_act else None
            word = await self.rounds.parts.last_word(cluster)
            if holds(word):
                return
            if result is not None and not result.converged:
                wait.raise_if_over(result)
                await asyncio.sleep(wait.delay_s(result))
                continue
            if word is not None and word.updated_at >= began:
                wait.raise_if_terminal(word)
            wait.raise_if_late_by(word, self._holders)
            await changes.wait(timeout_s=min(_LEASE_POLL_S if result else LONGEST_DELAY_S, wait.left_s()))

    async def carry_out(
        self,
        cluster: str,
        decide: Decide,
        *,
        timeout_s: float,
        tell: OnEvent = no_observer,
        nodes: Collection[str] | None = None,
    ) -> CarriedOut:
        """Carry out the change that `decide` plans and records, exactly as planned: no other process acts in between.

        If another process is the controller, it plans and does the same. Waits and raises as `converge` does.
        """
        first: RoundResult | None = None
        async with self._turn(cluster, timeout_s) as may_act:
            foreseen = await decide()
            since_s = time.monotonic()
            if may_act:
                with suppress(StoreLocked):  # the next round carries it out
                    first = await self.rounds.run(cluster, tell, foreseen=foreseen)
        record = foreseen.record
        if first is None and (look := await self._settled(foreseen)) is not None:
            await self._require_still_wanted(record)
            return CarriedOut(record, look, acted=False)
        return await self.converge(record, timeout_s=timeout_s, tell=tell, first=first, since_s=since_s, nodes=nodes)

    async def _settled(self, foreseen: PlannedChange) -> Look | None:
        """The observation of a cluster that has nothing to do, if its controller's status already says so."""
        difference, status = foreseen.difference, await self._store.status(foreseen.record.cluster_name)
        if difference is None or status is None or not (status.converged and difference.plan.converged):
            return None
        if status.observed_generation < foreseen.record.generation:
            return None
        observed = await self.rounds.parts.with_others(foreseen.record, difference.observed)
        return Look(foreseen.record, status, observed)

    async def _require_still_wanted(self, record: ClusterRecord, nodes: Collection[str] | None = None) -> None:
        if record.deletion is not None:
            return
        now = await self._store.get(record.cluster_name)
        if now is None or now.deletion is not None:
            raise ClusterNotFound(f"cluster {record.cluster_name!r} was destroyed by another client meanwhile")
        ours = {name: of for name, of in record.nodes.items() if nodes is None or name in nodes}
        changed = [name for name, wanted in ours.items() if now.nodes.get(name) != wanted]
        if changed and await self._changed_by_clients(record, changed):
            raise Conflict(
                f"another client changed cluster {record.cluster_name!r} meanwhile",
                hint="check `cluster_status`, then try again",
            )

    async def _changed_by_clients(self, record: ClusterRecord, nodes: Collection[str]) -> bool:
        """Whether a client has changed the nodes since, or may have; the controller records those that stay off by
        themselves.
        """
        paths = {"", "/nodes", *(f"/nodes/{name}" for name in nodes)}
        return any(
            entry.generation > record.generation
            and entry.actor != CONTROLLER
            and (entry.unreadable or any("/".join(step["path"].split("/")[:3]) in paths for step in entry.patch))
            for entry in await self._store.history(record.cluster_name)
        )

    async def heal_by_marks(self, cluster: str, taps: Collection[str], *, cuts: bool = True) -> int:
        """Remove links of a cluster without a record: of those taps, and all its cuts; returns in how many places there
        were some. Another process may hold the lease: it only acts on clusters with a record.
        """
        async with (
            self._turn(cluster, _BY_MARKS_S) as may_act,
            nullcontext() if may_act else self._host.turn(_BY_MARKS_S),
        ):
            return await self.rounds.heal_by_marks(cluster, taps, cuts=cuts)

    async def bind_copies(self, record: ClusterRecord) -> bool:
        """Like `Rounds.bind_copies`; the process that holds the lease only acts on valid marks."""
        async with (
            self._turn(record.cluster_name, _BY_MARKS_S) as may_act,
            nullcontext() if may_act else self._host.turn(_BY_MARKS_S),
        ):
            return await self.rounds.bind_copies(record)

    async def _pause(
        self, record: ClusterRecord, result: RoundResult | None, wait: Wait, changes: ChangeWaiter
    ) -> None:
        """Wait for the next round, or until the record is changed; the status that a round writes does not count."""
        if result is None:
            await changes.wait(timeout_s=min(_LEASE_POLL_S, wait.left_s()))
            return
        wait.raise_if_over(result)
        until = time.monotonic() + wait.delay_s(result)
        while (left_s := until - time.monotonic()) > 0:
            now = await self._store.get(record.cluster_name)
            if now is None or now.generation != result.generation:
                return
            await changes.wait(timeout_s=left_s)

    @asynccontextmanager
    async def _turn(self, cluster: str, host_wait_s: float) -> AsyncIterator[bool]:
        """The right to act on a cluster: its own lock, the store's lease and the host's, shared within this process.

        False if another process is the controller. Raises `OperationTimeout` if another store holds the host.
        """
        async with self._locks[cluster]:
            if self._turns == 0 and not self._lease.try_acquire():
                yield False
                return
            self._turns += 1
            try:
                if self._on_turn is not None and self._turns == 1:
                    await asyncio.to_thread(self._on_turn)
                async with self._host.turn(host_wait_s):
                    yield True
            finally:
                self._turns -= 1
                if self._turns == 0:
                    self._lease.release()

    def _holders(self) -> str:
        """The process that is at work, if it is not this one."""
        told = [f"{ELSEWHERE}: {holder}"] if (holder := self._lease.holder()) else [ELSEWHERE]
        told += [f"{other} is working on this host"] if (other := self._host.other_holder()) else []
        return "; ".join(told)


def _is_all(result: RoundResult | None) -> bool:
    """Whether the round's result is that of the whole cluster."""
    return result is not None and not result.spans


class _Elsewhere:
    """The work of the process that holds the lease, for one record."""

    def __init__(self, store: Store, record: ClusterRecord, tell: OnEvent, holders: Callable[[], str]) -> None:
        self._store = store
        self._record = record
        self._tell = tell
        self._holders = holders
        self._request: int | None = None
        self._last_event = 0

    async def is_done(self, wait: Wait) -> bool:
        """Whether the record holds. Raises what stands in the way for good, or when the caller's time is up.

        The first call asks for a round: what was said of the cluster before may be older than what is on the host.
        """
        if self._request is None:
            self._last_event = await self._store.newest_event()
            self._request = await self._store.request_round(self._record.cluster_name)
        await self._pass_on_events()
        status = await self._store.status(self._record.cluster_name)
        if status is None and await self._store.get(self._record.cluster_name) is None:
            return True
        if status is not None:
            wait.raise_if_terminal(status, ErrorCode.HOST_LOST)
        if status is None or not self._is_answer(status):
            wait.raise_if_late_by(status, self._holders)
            return False
        done = wait.was_done(status) and not _goes_with_its_record(self._record)
        if not done:
            wait.raise_if_terminal(status)
            wait.raise_if_late_by(status, self._holders)
        return done

    def _is_answer(self, status: RecordStatus) -> bool:
        assert self._request is not None
        return status.observed_generation >= self._record.generation and status.round_request >= self._request

    async def _pass_on_events(self) -> None:
        for event in await self._store.events(self._record.cluster_name, after=self._last_event):
            self._last_event = event.number
            self._tell(event)


def _goes_with_its_record(record: ClusterRecord) -> bool:
    """Whether the change is only done when the record is removed, by the host that is last."""
    return record.deletion is not None and record.deletion.remove_overlays
