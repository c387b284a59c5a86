"""The nodes' kernel logs: writing markers, and collecting over SSH or from the console."""

import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TypeVar

from reconciler.concurrency import together
from reconciler.errors import ClusterError, InvalidArgument, hints_of
from reconciler.guest.address import GuestAddress
from reconciler.guest.kernel_buffer import KernelBuffer, kernel_buffer, write_marker
from reconciler.health.node_failures import partial_failure
from reconciler.health.node_state import not_running
from reconciler.kernel_log.log_answers import Shown, joined_parts, of_both, of_buffer, of_console
from reconciler.kernel_log.loss import BufferReading
from reconciler.kernel_log.marker import marked_at_s, render_marker
from reconciler.kernel_log.report import LINES_LIMIT, ReportSource
from reconciler.model.event import ClusterEvent, EventKind
from reconciler.model.kernel_log import DmesgResult, FilterLevel, LogSource, MarkerState
from reconciler.model.plan import Resume, ResumeMemory
from reconciler.model.record import ClusterRecord
from reconciler.observe.node_console import observe_console
from reconciler.records.node_addresses import addresses
from reconciler.records.stored_records import existing, select_nodes
from reconciler.runtime import Runtime
from reconciler.usecases.inspection import Inspection
from reconciler.worker_process.calls import in_memory, in_worker_in_parts

T = TypeVar("T")

_LINES_OF_ALL = 100_000
"""In one answer, shared by its nodes: a line takes about 1 KiB of memory."""
_FEWEST_LINES = 1000
SSH_TIMEOUT_S = 15.0
"""How long to wait for a running node before reading its console instead."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Which part of each node's log is requested."""

    since_marker: str | None
    filter_level: FilterLevel
    timeout_s: float
    lines_limit: int
    """Of each node, so that the answer has its limits however many they are."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """A node's memory was restored, and by `ran_by_s` its CPUs ran again; seconds since 1970, None if not recorded."""

    put_back_at_s: float
    ran_by_s: float | None = None

    @property
    def imprecision(self) -> str:
        """How many lines from before the snapshot may be mistaken for newer ones."""
        if self.ran_by_s is None:
            return "lines from shortly before the snapshot may be among those shown"
        return f"lines from at most {self.ran_by_s - self.put_back_at_s + 1:.0f} s before the snapshot may be shown"


class KernelLogs:
    """Kernel logs. Reads, and writes markers, over SSH immediately: a log is not desired state."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._inspection = Inspection(runtime)

    async def mark(
        self, cluster: str, *, nodes: str | Iterable[str] | None = None, timeout_s: float = SSH_TIMEOUT_S
    ) -> dict[str, str]:
        """Write the same marker to every node's kernel log, in parallel.

        Raises `PartialFailure` naming the nodes that cannot be written to; it carries the others' markers.
        """
        record = await existing(self._runtime.store, cluster)
        chosen = select_nodes(record, nodes)
        targets = await addresses(self._runtime, record, chosen)
        down = await self._inspection.known_down(record, chosen)
        marker = render_marker(time.time_ns() // 1000, secrets.token_hex(8))

        async def write(address: GuestAddress) -> str:
            if address.node in down:
                raise not_running(cluster, {address.node: down[address.node]})
            await write_marker(self._runtime.ssh, address, marker, timeout_s=timeout_s)
            return marker

        return whole(await for_each(targets, write), "the marker was not written")

    async def collect(
        self,
        cluster: str,
        *,
        nodes: str | Iterable[str] | None = None,
        since_marker: str | None = None,
        filter_level: FilterLevel = "all",
        timeout_s: float = SSH_TIMEOUT_S,
    ) -> dict[str, DmesgResult]:
        """Each node's kernel log, since the marker or since its boot.

        Reads over SSH, or from the console if SSH does not answer. Raises `PartialFailure` naming the nodes of which
        neither can be read; it carries the others' logs.
        """
        if since_marker is not None:
            marked_at_s(since_marker)
        if timeout_s <= 0:
            raise InvalidArgument("`timeout_s` must be positive")
        record = await existing(self._runtime.store, cluster)
        chosen = select_nodes(record, nodes)
        targets = await addresses(self._runtime, record, chosen)
        down = await self._inspection.known_down(record, chosen)
        limit = min(LINES_LIMIT, max(_FEWEST_LINES, _LINES_OF_ALL // max(1, len(targets))))
        ask = Ask(since_marker, filter_level, timeout_s, limit)

        async def collect(address: GuestAddress) -> DmesgResult:
            if address.node in down:
                return await self._from_console(record, address.node, ask, "the node does not run")
            async with AsyncExitStack() as held:
                read = kernel_buffer(self._runtime.ssh, address, timeout_s=timeout_s)
                try:
                    buffer = await held.enter_async_context(read)
                except ClusterError as error:
                    why = f"SSH failed: {error.message}"
                else:
                    return await self._from_buffer(record, address.node, ask, buffer)
            return await self._from_console(record, address.node, ask, why)

        return whole(await for_each(targets, collect), "the kernel log was not read")

    async def _from_buffer(self, record: ClusterRecord, node: str, ask: Ask, buffer: KernelBuffer) -> DmesgResult:
        marker = ask.since_marker
        older = "older lines were overwritten in the kernel's buffer" if marker is None and buffer.wrapped else None
        state = MarkerState.NOT_ASKED if marker is None else MarkerState.FOUND
        origin = ReportSource(LogSource.KMSG, buffer.boot_id, state, older, ask.lines_limit)
        size = len(buffer.records)
        parts = await in_worker_in_parts(size, of_buffer, buffer.records, origin, marker, ask.filter_level)
        return joined_parts(parts) if parts else await self._without_marker(record, node, ask, buffer)

    async def _without_marker(self, record: ClusterRecord, node: str, ask: Ask, buffer: KernelBuffer) -> DmesgResult:
        """The kernel's buffer starts after the marker; the console may have the lines between."""
        assert ask.since_marker is not None
        read_at_s, resumed = time.time(), await self._resumed(record, node)
        reading = BufferReading(read_at_s, buffer.uptime_s, buffer.wrapped, resumed.put_back_at_s if resumed else None)
        origin = ReportSource(LogSource.KMSG, buffer.boot_id, lines_limit=ask.lines_limit)
        imprecision = resumed.imprecision if resumed else ""
        async with in_memory():
            try:
                shown, trouble = await _shown(record, node), ""
            except ClusterError as error:
                shown, trouble = None, f"; {error.message}"
            read = (shown, trouble, buffer.records, reading, origin, ask.since_marker, imprecision, ask.filter_level)
            size = len(buffer.records) + (len(shown.content) if shown else 0)
            try:
                return joined_parts(await in_worker_in_parts(size, of_both, *read))
            except ClusterError as error:
                error.node = node
                raise

    async def _resumed(self, record: ClusterRecord, node: str) -> Resumed | None:
        return last_resumed(await self._runtime.store.events(record.cluster_name), node)

    async def _from_console(self, record: ClusterRecord, node: str, ask: Ask, cause: str) -> DmesgResult:
        await self._runtime.looks.parts.require_console_here(record, node)
        async with in_memory():
            shown = await _shown(record, node)
            size, marker, limit = len(shown.content), ask.since_marker, ask.lines_limit
            return joined_parts(
                await in_worker_in_parts(size, of_console, shown, cause, marker, ask.filter_level, limit)
            )


def last_resumed(events: Iterable[ClusterEvent], node: str) -> Resumed | None:
    """When a node was last resumed from memory, according to its cluster's events; None if there is no such event."""
    found: Resumed | None = None
    for event in events:
        if event.node != node or event.kind not in _DONE:
            continue
        if event.subject == ResumeMemory.__name__:
            found = Resumed(event.at.timestamp())
        elif event.subject == Resume.__name__ and found is not None and found.ran_by_s is None:
            found = replace(found, ran_by_s=event.at.timestamp())
    return found


_DONE = frozenset({EventKind.ACTION_DONE, EventKind.DRIFT_REPAIRED})


async def _shown(record: ClusterRecord, node: str) -> Shown:
    """The log on the node's console. Raises `OperationFailed` if it cannot be read, or is empty."""
    text = await observe_console(record, node)
    return Shown(text.content, text.whole)


async def for_each(
    targets: Iterable[GuestAddress], work: Callable[[GuestAddress], Awaitable[T]]
) -> dict[str, T | ClusterError]:
    """The outcome of `work` on each node, in parallel; an error is the outcome of its node."""

    async def one(address: GuestAddress) -> T | ClusterError:
        try:
            return await work(address)
        except ClusterError as error:
            return error

    wanted = list(targets)
    outcomes = await together(*map(one, wanted))
    return {address.node: outcome for address, outcome in zip(wanted, outcomes, strict=True)}


def whole(outcomes: Mapping[str, T | ClusterError], what_failed: str) -> dict[str, T]:
    """The outcomes of all nodes. Raises the error of a single node, or `PartialFailure` with the others' outcomes."""
    failures = {node: of for node, of in outcomes.items() if isinstance(of, ClusterError)}
    good = {node: of for node, of in outcomes.items() if not isinstance(of, ClusterError)}
    if not failures:
        return good
    if len(outcomes) == 1:
        raise next(iter(failures.values()))
    raise partial_failure(what_failed, failures, len(outcomes), good, hints_of(failures.values()))
