"""Notices when what somebody looks at may have changed: from the store's own changes, and from stamps of two files."""

import asyncio
import re
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any, Self

from reconciler.desired.topology_files import find_named
from reconciler.errors import ClusterError, RecordUnreadable
from reconciler.model.names import LABEL_PATTERN, console_path
from reconciler.model.viewed import View, Viewed
from reconciler.runtime import Runtime
from reconciler.store.protocol import ChangeWaiter, ClusterEntry, Store

_FILES_S = 1.0
_AT_MOST_EVERY_S = 0.2
_IN_FILES = frozenset({View.TOPOLOGY, View.PLAN, View.CONSOLE})


class ViewChanges:
    """The changes of what is viewed. A change that no controller has seen is none yet; one may be told of needlessly.

    The host is not asked: a topology's file and a console's log on this host are the only things outside of the store
    that are looked at, once a second.
    """

    def __init__(self, runtime: Runtime, changes: ChangeWaiter, newest_event: int) -> None:
        self._store: Store = runtime.store
        self._settings = runtime.settings
        self._changes = changes
        self._newest_event = newest_event
        self._stamps: dict[Viewed, Any] = {}
        self._unseen = False

    @classmethod
    async def of(cls, runtime: Runtime) -> Self:
        """Those from now on."""
        changes = await runtime.store.watch()
        return cls(runtime, changes, await runtime.store.newest_event())

    async def add(self, viewed: Iterable[Viewed]) -> None:
        """Notice changes of these too."""
        for one in viewed:
            if one not in self._stamps:
                self._stamps[one] = await self._stamp(one)

    def keep_only(self, viewed: Container[Viewed]) -> None:
        """No longer notice changes of anything else."""
        self._stamps = {one: stamp for one, stamp in self._stamps.items() if one in viewed}

    async def next(self) -> frozenset[Viewed]:
        """What has changed, as soon as something has. Raises `StoreUnavailable`; nothing is missed by that."""
        while True:
            self._unseen = in_store = await self._changes.wait(timeout_s=_FILES_S) or self._unseen
            if in_store:
                await asyncio.sleep(_AT_MOST_EVERY_S)  # a round writes several times
            looked = [one for one in self._stamps if in_store or one.view in _IN_FILES]
            stamps = {one: await self._stamp(one) for one in looked}
            self._unseen = False
            changed = frozenset(one for one, stamp in stamps.items() if self._stamps.get(one, stamp) != stamp)
            self._stamps |= {one: stamps[one] for one in changed}
            if changed:
                return changed

    async def _stamp(self, one: Viewed) -> Any:
        try:
            return await self._now(one)
        except RecordUnreadable as error:
            return str(error)

    async def _readable(self, cluster: str) -> Any:
        """What the store says of a cluster, or why that cannot be read."""
        try:
            return await self._entry(cluster)
        except RecordUnreadable as error:
            return str(error)

    async def _now(self, one: Viewed) -> Any:
        match one.view:
            case View.CLUSTERS:
                return [(name, await self._readable(name)) for name in await self._store.names()]
            case View.STATUS:
                return await self._entry(one.cluster)
            case View.FAULTS:
                entry = await self._standing(one.cluster)
                return entry and (entry.record.faults, entry.status and entry.status.faults)
            case View.TOPOLOGY | View.PLAN:
                file = await asyncio.to_thread(self._topology_stamp, one.cluster)
                return file, await self._entry(one.cluster) if one.view is View.PLAN else None
            case View.EVENTS:
                after = self._stamps.get(one, self._newest_event)
                found = await self._store.events(one.cluster, after=after)
                return found[-1].number if found else after
            case View.CONSOLE:
                return await self._console_stamp(one.cluster, one.node)

    async def _entry(self, cluster: str) -> Any:
        """What the store says of a cluster, without the time at which a controller last looked."""
        entry = await self._standing(cluster)
        if entry is None:
            return None
        said = entry.status and entry.status.model_dump(exclude={"updated_at", "round_request"})
        return entry.record.generation, said

    async def _standing(self, cluster: str) -> ClusterEntry | None:
        """What the store has of a cluster; nothing under a name that no cluster can have."""
        return await self._store.standing(cluster) if re.fullmatch(LABEL_PATTERN, cluster) else None

    def _topology_stamp(self, name: str) -> Any:
        try:
            return _file_stamp(find_named(name, self._settings))
        except ClusterError:  # there is none, or none that may be used
            return None

    async def _console_stamp(self, cluster: str, node: str) -> Any:
        entry = await self._standing(cluster)
        if entry is None or node not in entry.record.spec.nodes:
            return None
        path = console_path(entry.record.spec.overlay_dir, cluster, node)
        return await asyncio.to_thread(_file_stamp, path)


def _file_stamp(path: Path) -> Any:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
