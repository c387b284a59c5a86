"""The export of active faults: one JSON file for other programs, written atomically and never read by vmcluster.

It repeats the statuses in the store, so it is written before them: after a kill in between they differ, and the next
round writes it again.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog

from reconciler.errors import ClusterError
from reconciler.files.atomic import write_whole
from reconciler.files.locks import locked
from reconciler.files.marked_files import ensure_directory
from reconciler.model.faults import NetFaultInfo
from reconciler.model.timestamps import utc_text
from reconciler.store.protocol import Store

log = structlog.get_logger(__name__)

VERSION = 1
_READABLE_BY_ALL = 0o644
_DIRECTORY_MODE = 0o755
_LONGEST_WAIT_S = 10.0

Faults = dict[str, tuple[NetFaultInfo, ...]]
"""By cluster; only clusters with faults."""


class FaultExport:
    """Writes the file with the faults of all clusters; one writer at a time, of all processes."""

    def __init__(self, path: Path, store: Store) -> None:
        self._path = path
        self._store = store

    @asynccontextmanager
    async def told(
        self, cluster: str, faults: tuple[NetFaultInfo, ...], before: tuple[NetFaultInfo, ...]
    ) -> AsyncIterator[bool]:
        """The file has a cluster's faults, which were others `before`; False where it cannot be written.

        The status that says the same is written within: nobody else writes the file until then, as what the other
        clusters' statuses say is read from the store.
        """
        lacking = faults != before or (bool(before) and not self._path.exists())
        async with AsyncExitStack() as alone:
            yield not lacking or await self._write(cluster, faults, alone)

    async def forget(self, cluster: str) -> None:
        """Remove a cluster whose record is about to be deleted, or is deleted."""
        async with AsyncExitStack() as alone:
            if self._path.exists():
                await self._write(cluster, (), alone)

    async def _write(self, cluster: str, faults: tuple[NetFaultInfo, ...], alone: AsyncExitStack) -> bool:
        """Write the file; nobody else does until `alone` ends. Whether it could be written."""
        try:
            await asyncio.to_thread(ensure_directory, self._path.parent, mode=_DIRECTORY_MODE)
            lock = self._path.with_name(f".{self._path.name}.lock")
            await alone.enter_async_context(locked(lock, timeout_s=_LONGEST_WAIT_S))
            content = render_faults({**await self._told(), cluster: faults}, datetime.now(UTC))
            await asyncio.to_thread(write_whole, self._path, content, mode=_READABLE_BY_ALL)
        except ClusterError as error:
            log.warning("faults_not_exported", path=str(self._path), cause=str(error))
            return False
        return True

    async def _told(self) -> Faults:
        statuses = [await self._store.status(name) for name in await self._store.names()]
        return {status.cluster_name: status.faults for status in statuses if status is not None}


def render_faults(faults: Faults, now: datetime) -> bytes:
    """The file: `{version, written_at, clusters: {name: [NetFaultInfo]}}`; clusters without faults are omitted."""
    clusters = {name: [of.model_dump(mode="json") for of in faults[name]] for name in sorted(faults) if faults[name]}
    document = {"version": VERSION, "written_at": utc_text(now), "clusters": clusters}
    return json.dumps(document, indent=2).encode() + b"\n"
