"""Sends a registered tree to many nodes at once; one node's failure stops no other."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from reconciler.artifacts.library import Library
from reconciler.artifacts.manifest import manifest_path
from reconciler.artifacts.tree_copies import tree_copy
from reconciler.artifacts.tree_entries import TreeEntry
from reconciler.artifacts.upload import (
    NodePlace,
    best_basis,
    bytes_sent,
    failure_of,
    mark_complete,
    prepare_upload,
    send_tree,
)
from reconciler.concurrency import together
from reconciler.errors import ClusterError
from reconciler.guest.address import GuestAddress
from reconciler.guest.openssh import write_known_hosts
from reconciler.guest.pool import SshPool
from reconciler.model.results import NodeSync, ToolError

log = structlog.get_logger(__name__)

_AT_ONCE = 8
"""Transfers that run at the same time: each is an `ssh` that encrypts, and reads the same files."""

_CANDIDATES = 5
"""How many trees on a node are considered as a basis: the manifest of each has to be read."""


class DeliveryProgress(Protocol):
    """Told of each node how far it is, and how it ended."""

    def advanced(self, what: str, how_far: str) -> None: ...

    def finished(self, what: str, result: str) -> None: ...


class Delivery:
    """Sends one artifact to nodes; use it once, as a context manager that deletes its temporary files."""

    def __init__(
        self,
        library: Library,
        ssh: SshPool,
        artifact_id: str,
        *,
        base: str,
        known_hosts_path: Path,
        timeout_s: float,
        progress: DeliveryProgress,
    ) -> None:
        self._library = library
        self._ssh = ssh
        self._artifact_id = artifact_id
        self._base = base
        self._known_hosts_path = known_hosts_path
        self._timeout_s = timeout_s
        self._progress = progress
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._making = asyncio.Lock()
        self._view: Path | None = None
        self._temporary = ExitStack()

    async def to_nodes(self, addresses: Sequence[GuestAddress], *, force: bool) -> dict[str, NodeSync]:
        """Make the tree complete on every node; a failure is part of that node's own result.

        With `force` it is sent again even where it is already complete.
        """
        entries = await asyncio.to_thread(self._library.entries, self._artifact_id)
        await asyncio.to_thread(write_known_hosts, self._known_hosts_path, addresses)
        try:
            outcomes = await together(*(self._to_node(each, entries, force=force) for each in addresses))
        finally:
            await asyncio.to_thread(self._temporary.close)
        return {outcome.node_name: outcome for outcome in outcomes}

    async def _to_node(self, address: GuestAddress, entries: Sequence[TreeEntry], *, force: bool) -> NodeSync:
        began = time.monotonic()
        try:
            alone = self._library.alone_on(address.cluster, (address.node,), timeout_s=self._timeout_s)
            async with self._slots, alone:
                outcome = await self._deliver(address, entries, force=force)
        except ClusterError as error:
            outcome = NodeSync(
                node_name=address.node,
                bytes_transferred=0,
                duration_s=0.0,
                rsync_exit_code=None,
                skipped=False,
                error=_of_node(error, address.node),
            )
        outcome = outcome.model_copy(update={"duration_s": round(time.monotonic() - began, 3)})
        self._tell(outcome)
        return outcome

    async def _deliver(self, address: GuestAddress, entries: Sequence[TreeEntry], *, force: bool) -> NodeSync:
        place = NodePlace(address, self._base, self._artifact_id)
        prepared = await prepare_upload(self._ssh, place, force=force)
        if prepared.complete:
            return NodeSync(
                node_name=address.node, bytes_transferred=0, duration_s=0.0, rsync_exit_code=0, skipped=True
            )
        basis = await asyncio.to_thread(self._basis, entries, prepared.others)
        done = await send_tree(
            place,
            await self._ensure_view(entries),
            self._known_hosts_path,
            basis=basis,
            timeout_s=self._timeout_s,
            report=partial(self._progress.advanced, address.node),
        )
        if done.exit_code == 0:
            await mark_complete(self._ssh, place)
        return NodeSync(
            node_name=address.node,
            bytes_transferred=bytes_sent(done),
            duration_s=done.duration_s,
            rsync_exit_code=done.exit_code,
            skipped=False,
            basis=basis,
            error=ToolError.of(failure_of(done, address.node)) if done.exit_code else None,
        )

    async def _ensure_view(self, entries: Sequence[TreeEntry]) -> Path:
        """The tree as files, created when the first node needs it."""
        async with self._making:
            if self._view is None:
                async with self._library.in_use():
                    view = tree_copy(self._library.store_dir, self._library.objects, entries)
                    self._view = await asyncio.to_thread(self._temporary.enter_context, view)
            return self._view

    def _basis(self, entries: Sequence[TreeEntry], others: Sequence[str]) -> str | None:
        store = self._library.store_dir
        known = [each for each in others if each != self._artifact_id and manifest_path(store, each).exists()]
        return best_basis(entries, [(each, self._library.entries(each)) for each in known[:_CANDIDATES]])

    def _tell(self, outcome: NodeSync) -> None:
        code = outcome.error.code.value if outcome.error else None
        log.info("artifact_sync", artifact=self._artifact_id, code=code, **outcome.model_dump(exclude={"error"}))
        self._progress.finished(outcome.node_name, _result_of(outcome))


def _result_of(outcome: NodeSync) -> str:
    if outcome.error:
        return outcome.error.message
    if outcome.skipped:
        return "already complete"
    return f"complete, {outcome.bytes_transferred / 1024:.0f} KiB sent in {outcome.duration_s:.1f} s"


def _of_node(error: ClusterError, node: str) -> ToolError:
    return ToolError.of(error).model_copy(update={"node": node})
