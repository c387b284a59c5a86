"""The lease of this host in etcd: while it lives, others leave the host's nodes alone, and the host may act.

All processes of a host share one lease, which ends when none of them has kept it alive for `TTL_S`. Each counts for
itself, on a clock that goes on while the machine sleeps, until when it may rely on that.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import structlog

from reconciler.errors import ClusterError, Conflict, HostFenced
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_requests import delete, one, put, unchanged
from reconciler.store.etcd.host_registry import EtcdHosts
from reconciler.store.etcd.small_values import name_from
from reconciler.store.host_identity import HostIdentity

log = structlog.get_logger(__name__)

TTL_S = 15
MARGIN_S = 5.0
"""No action begins in the last seconds of a lease: etcd may count faster than this host, and an action takes time."""
_KEEP_ALIVE_S = 3.0
_TRIES = 10


@dataclass(slots=True)
class _Held:
    """A lease that was taken: its term, and until when it may be relied on."""

    lease: int
    term: int
    until_s: float


class EtcdMembership:
    """`reconciler.store.membership.Membership` by a lease of etcd."""

    def __init__(self, etcd: EtcdClient, hosts: EtcdHosts, identity: HostIdentity) -> None:
        self._etcd = etcd
        self._hosts = hosts
        self._identity = identity
        self._held: _Held | None = None
        self._joining = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    async def enter(self) -> int:
        async with self._joining:
            if self._held is None or _now_s() >= self._held.until_s:
                self._held = await self._join()
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
        return self._held.term

    def require(self, term: int) -> None:
        if self._held is None or self._held.term != term or _now_s() >= self._held.until_s:
            raise HostFenced(
                f"the lease of host {self._identity.name} may have run out, so it does not act",
                hint="it continues by itself once etcd answers and everything has been read again",
            )

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})

    async def _keep(self) -> None:
        """Keep the lease alive, and take another when it has ended."""
        while True:
            await asyncio.sleep(min(_KEEP_ALIVE_S, TTL_S / 4))
            try:
                async with self._joining:
                    self._held = await self._kept(self._held) or await self._join()
            except ClusterError as error:
                log.warning("lease_not_kept_alive", host=self._identity.name, cause=str(error))

    async def _kept(self, held: _Held | None) -> _Held | None:
        """The same for longer; None if it has ended."""
        if held is None:
            return None
        until_s = self._until_s()
        return _Held(held.lease, held.term, until_s) if await self._etcd.keep_alive(held.lease) else None

    async def _join(self) -> _Held:
        """Share the lease that another process of this host keeps, or take one. Raises `Conflict`."""
        machine = await asyncio.to_thread(self._identity.machine)
        for _ in range(_TRIES):
            names = keys.CLAIMS, keys.ALIVE
            own = [one(of + self._identity.name.encode()) for of in names]
            claim, alive, home = await self._etcd.read(*own, one(keys.HOME))
            self._require_own(claim, machine)
            if not home.kvs:
                await self._hosts.take_home(self._identity.name)
            if alive.kvs and (held := await self._kept(_Held(alive.kvs[0].lease, alive.kvs[0].mod_revision, 0))):
                return held
            if held := await self._take(claim, alive, machine):
                log.info("lease_taken", host=self._identity.name, term=held.term)
                return held
        raise Conflict(f"other processes keep taking the lease of host {self._identity.name}", hint="try again")

    async def _take(self, claim: Any, alive: Any, machine: str) -> _Held | None:
        """A new lease; None if another process was first."""
        name, until_s = self._identity.name.encode(), self._until_s()
        lease = await self._etcd.grant(TTL_S)
        conditions = [unchanged(keys.CLAIMS + name, _revision(claim)), unchanged(keys.ALIVE + name, _revision(alive))]
        writes = [
            put(keys.CLAIMS + name, machine.encode()),
            put(keys.ALIVE + name, machine.encode(), lease=lease),
            delete(keys.LOST + name),
        ]
        answer = await self._etcd.change(conditions, writes)
        return _Held(lease, answer.header.revision, until_s) if answer.succeeded else None

    def _until_s(self) -> float:
        """Until when a lease that etcd lets begin after now may be relied on."""
        return _now_s() + TTL_S - min(MARGIN_S, TTL_S / 3)

    def _require_own(self, claim: Any, machine: str) -> None:
        owner = name_from(claim.kvs[0].value) if claim.kvs else machine
        if owner != machine:
            name = self._identity.name
            raise Conflict(
                f"the host {name} of this store is another machine, or has another `state_dir`: {owner}",
                hint=f"set another `host_name` here; if that one is gone for good, `vmcluster host forget {name}`",
            )


def _revision(found: Any) -> int:
    return found.kvs[0].mod_revision if found.kvs else 0


def _now_s() -> float:
    """Seconds on a clock that nobody sets and that goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
