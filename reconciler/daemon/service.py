"""The controller as a service: holds the lease of its store, and keeps every cluster until it is stopped."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import structlog

from reconciler.controller.backoff import growing_delay_s
from reconciler.controller.round import Rounds
from reconciler.daemon.round_loop import OnRound, RoundLoop
from reconciler.errors import ClusterError
from reconciler.host.host_events import HostEvent, HostEventKind
from reconciler.host.libvirt.libvirt_connection import LibvirtConnection
from reconciler.store.host_lease import HostLease
from reconciler.store.lease import Lease
from reconciler.store.protocol import Demand, Store

log = structlog.get_logger(__name__)

LEASE_REMINDER_S = 30.0
_LEASE_POLL_S = 0.1

_LONGEST_STORE_DELAY_S = 5.0
_LONGEST_RECONNECT_S = 2.0
_SHORTEST_RESYNC = 0.8
"""Of the time between two looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which clusters a service reconciles (no names: all), and how often it does so without an event."""

    clusters: frozenset[str] = frozenset()
    resync_s: float = 30.0

    def holds(self, cluster: str) -> bool:
        return not self.clusters or cluster in self.clusters


async def take(lease: Lease, stop: asyncio.Event) -> bool:
    """Acquire the lease, however long another controller of this host holds it; False if `stop` was set first.

    The log says who holds it: at once, and twice a minute.
    """
    said_s = -math.inf
    while not (lease.try_acquire() or stop.is_set()):
        if time.monotonic() - said_s >= LEASE_REMINDER_S:
            log.warning("waiting_for_lease", cause=lease.occupied())
            said_s = time.monotonic()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _LEASE_POLL_S)
    return lease.held


def _nothing() -> None:
    """Does nothing."""


class Service:
    """Runs rounds on every cluster whenever its record, the host or the clock requires one.

    Clusters outside the scope get rounds only when their record changes or a caller requests one, because no other
    process can do that meanwhile.
    """

    def __init__(
        self,
        store: Store,
        rounds: Rounds,
        lease: Lease,
        host: HostLease,
        connection: LibvirtConnection,
        scope: Scope,
        observers: Sequence[OnRound] = (),
    ) -> None:
        self._store = store
        self._rounds = rounds
        self._lease = lease
        self._host = host
        self._connection = connection
        self._scope = scope
        self._observers = tuple(observers)
        self._chance = Random()  # noqa: S311  only for delays
        self._round_loops: dict[str, RoundLoop] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._demands: Mapping[str, Demand] = {}
        self._defects: asyncio.Queue[BaseException] = asyncio.Queue()
        self._ending = False
        self._reconnecting: asyncio.Task[None] | None = None
        self._losses = 0

    @property
    def clusters(self) -> int:
        """The number of clusters being kept."""
        return len(self._round_loops)

    async def run(
        self,
        stop: asyncio.Event,
        *,
        on_ready: Callable[[], None] = _nothing,
        on_stop: Callable[[], None] = _nothing,
    ) -> None:
        """Serve until `stop` is set; running actions are finished.

        `on_ready` is called each time when all records were read, first when every cluster is kept; `on_stop` when the
        end begins. Raises whatever ends one of its loops: that is a defect, and a service manager starts the process
        again.
        """
        if not await take(self._lease, stop):
            return
        self._reconnect()
        loops = (self._follow_records(on_ready), self._resync(), self._raise_defects())
        work = [asyncio.create_task(loop) for loop in loops]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*work, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in work:
                if task.done():
                    task.result()
        finally:
            on_stop()
            await self._end([*work, stopping])
            self._lease.release()

    def on_host_event(self, event: HostEvent) -> None:
        """Wake the round loops of the clusters that an event on the host may affect."""
        match event.kind:
            case HostEventKind.DOMAIN | HostEventKind.MACHINE_ENDED:
                self._wake(event.name.partition(".")[0])
            case HostEventKind.NETWORK | HostEventKind.INTERFACE:
                for round_loop in self._round_loops.values():
                    if event.name in round_loop.interfaces:
                        self._wake(round_loop.cluster)
            case HostEventKind.FIREWALL:
                self._wake(event.name)
            case HostEventKind.CONNECTED | HostEventKind.MISSED:
                self._wake_all()
            case HostEventKind.DISCONNECTED:
                log.warning("libvirt_disconnected")
                self._reconnect()

    async def _follow_records(self, on_ready: Callable[[], None]) -> None:
        """Start round loops for new clusters, and wake those that have a new request."""
        demands = self._store.watch_demands()
        failures = 0
        while True:
            try:
                self._distribute(await demands.next())
                on_ready()
                failures = 0
            except ClusterError as error:
                failures += 1
                log.warning("store_unavailable", code=error.code.value, cause=str(error))
                await asyncio.sleep(growing_delay_s(failures, _LONGEST_STORE_DELAY_S, self._chance))

    def _distribute(self, now: Mapping[str, Demand]) -> None:
        before, self._demands = self._demands, now
        for cluster, demand in now.items():
            if cluster not in self._round_loops:
                self._keep(cluster)
            elif before.get(cluster) != demand:
                self._round_loops[cluster].wake(changed=True)
        for cluster in self._round_loops.keys() - now.keys():
            self._round_loops[cluster].wake()  # it finds no record, and exits

    def _keep(self, cluster: str) -> None:
        round_loop = RoundLoop(cluster, self._rounds, self._host, self._chance, self._observers)
        task = asyncio.create_task(round_loop.run(), name=f"rounds-{cluster}")
        self._round_loops[cluster], self._tasks[cluster] = round_loop, task
        task.add_done_callback(lambda ended: self._forget(cluster, ended))

    def _forget(self, cluster: str, ended: asyncio.Task[None]) -> None:
        del self._round_loops[cluster], self._tasks[cluster]
        error = None if ended.cancelled() else ended.exception()
        if error is not None:
            log.error("keeper_failed", cluster=cluster, exc_info=error)
            self._defects.put_nowait(error)
        elif cluster in self._demands and not self._ending:
            self._keep(cluster)  # a record with that name was created while the previous round loop was ending

    async def _raise_defects(self) -> None:
        raise await self._defects.get()

    async def _resync(self) -> None:
        """Wake all clusters again and again, but not at the same time as the hosts that were started with this one."""
        while True:
            await asyncio.sleep(self._scope.resync_s * self._chance.uniform(_SHORTEST_RESYNC, 1.0))
            self._wake_all()

    def _wake_all(self) -> None:
        for cluster in self._round_loops:
            self._wake(cluster)

    def _wake(self, cluster: str) -> None:
        round_loop = self._round_loops.get(cluster)
        if round_loop is not None and self._scope.holds(cluster):
            round_loop.wake()

    def _reconnect(self) -> None:
        """Reopen the connection for all, so that not every cluster tries by itself."""
        self._losses += 1
        if self._reconnecting is None or self._reconnecting.done():
            self._reconnecting = asyncio.create_task(self._until_connected())

    async def _until_connected(self) -> None:
        """Return when libvirt has answered on a connection that was not lost again meanwhile.

        A defect on the way is logged, and does not end the attempt.
        """
        tries = 0
        while True:
            losses = self._losses
            try:
                await self._connection.ask(lambda handle: handle.getLibVersion())
                if losses == self._losses:
                    return
                continue
            except ClusterError as error:
                log.debug("libvirt_away", cause=str(error))
            except Exception:
                log.exception("reconnect_failed")
            tries += 1
            await asyncio.sleep(growing_delay_s(tries, _LONGEST_RECONNECT_S, self._chance))

    async def _end(self, tasks: list[asyncio.Task[None] | asyncio.Task[bool]]) -> None:
        self._ending = True
        self._rounds.stop()
        ending = [*tasks, *([self._reconnecting] if self._reconnecting else [])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await self._bring_rounds_to_their_end()

    async def _bring_rounds_to_their_end(self) -> None:
        round_loops = list(self._round_loops.values())
        await asyncio.gather(*(round_loop.finish() for round_loop in round_loops))
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
