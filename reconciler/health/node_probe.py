"""What one visit to a node over SSH reports: its modules, and whether its kernel is healthy."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reconciler.errors import ClusterError, OperationFailed
from reconciler.guest.address import GuestAddress
from reconciler.guest.guest_answers import parsing_answer
from reconciler.guest.kernel_buffer import parse_kernel_buffer
from reconciler.health.no_login import Quiet
from reconciler.health.provisioning import node_condition
from reconciler.kernel_log.log_answers import first_bad_in_buffer, first_bad_on_console
from reconciler.model.kernel_log import KernelEvent
from reconciler.model.record import ClusterRecord
from reconciler.model.results import ExecResult
from reconciler.model.status import Condition, ConditionStatus, ConditionType
from reconciler.observe.clean_kernels import KernelState
from reconciler.observe.node_console import ConsolePlace, console_end, observe_console
from reconciler.observe.node_vitals import LOOK_COMMAND, READING_COMMAND, VitalsAnswer, parse_vitals_answer
from reconciler.records.node_addresses import addresses
from reconciler.runtime import Runtime
from reconciler.worker_process.calls import in_memory, in_worker

OUTPUT_LIMIT_BYTES = 8 * 1024 * 1024
_LEAST_S = 0.1
"""The time reserved for reading the log, however long the login took: the node has answered by then."""

NO_SIGN_OF_LIFE = "NoSignOfLife"
"""The reason of a condition: a node that runs has shown nothing of it for a minute."""

_OVERWRITTEN = "LogOverwritten"


@dataclass(frozen=True, slots=True)
class Probe:
    """The report of a node that answered."""

    modules: tuple[str, ...]
    kernel: KernelState
    provisioned: Condition
    artifact_id: str | None = None
    clock_offset_s: float | None = None


async def probe(runtime: Runtime, record: ClusterRecord, node: str, timeout_s: float) -> Probe | ClusterError:
    """Visit a node; the error if it does not answer in time.

    Reads the kernel's whole log unless it was read recently and nothing suggests that there are new lines.
    """
    deadline_s = time.monotonic() + timeout_s
    try:
        (address,) = await addresses(runtime, record, [node])
        if runtime.clean_kernels.has(address):
            seen = await _visit(runtime, address, LOOK_COMMAND, timeout_s)
            kernel = await runtime.clean_kernels.still(address, seen.vitals)
            if kernel is not None:
                return _probe_of(seen, kernel)
        return await _read(runtime, record, address, max(_LEAST_S, deadline_s - time.monotonic()))
    except ClusterError as error:
        return error


async def console_state(record: ClusterRecord, node: str) -> KernelState:
    """The condition of a kernel that does not answer, from its console: what that does not show is unknown."""
    try:
        async with in_memory():
            text = await observe_console(record, node)
            event, _ = await in_worker(len(text.content), first_bad_on_console, text.content)
    except ClusterError as error:
        return KernelState(_condition(ConditionStatus.UNKNOWN, "NotObserved", error.message, datetime.now(UTC)))
    if event is None:
        said = "no answer over SSH, and no problems on the console"
        said += "" if text.whole else ", whose older parts were rotated away"
        return KernelState(_condition(ConditionStatus.UNKNOWN, "NotObserved", said, text.written_at))
    return _ill(event, text.written_at)


def console_elsewhere(host: str) -> KernelState:
    """The condition of a kernel that does not answer, with its console on another host."""
    said = f"no answer over SSH, and its console is on {host}, which shows the rest"
    return KernelState(_condition(ConditionStatus.UNKNOWN, "NotObserved", said, datetime.now(UTC)))


def silent_state(found: Quiet) -> KernelState:
    """The condition of a kernel that has shown nothing yet: its console only shows an earlier run."""
    return KernelState(_condition(ConditionStatus.UNKNOWN, NO_SIGN_OF_LIFE, found.told, found.since))


async def _visit(runtime: Runtime, address: GuestAddress, command: str, timeout_s: float) -> VitalsAnswer:
    limit, asked = OUTPUT_LIMIT_BYTES, datetime.now(UTC)
    answer = await runtime.ssh.run(address, command, timeout_s=timeout_s, output_limit_bytes=limit, own=True)
    with parsing_answer(address.node, "its state"):
        return parse_vitals_answer(answer, datetime.now(UTC), asked)


async def _read(runtime: Runtime, record: ClusterRecord, address: GuestAddress, timeout_s: float) -> Probe:
    """A visit that reads the whole log; the end of the console's log is noted first, so that nothing is missed."""
    console = await asyncio.to_thread(_console_end, record, address.node)
    seen = await _visit(runtime, address, READING_COMMAND, timeout_s)
    kernel = await judge_buffer(seen.log, address.node)
    if kernel.condition.reason == _OVERWRITTEN:
        kernel = await _with_console(record, address.node, kernel)
    runtime.clean_kernels.learn(address, kernel, seen.vitals, console)
    return _probe_of(seen, kernel)


def _probe_of(seen: VitalsAnswer, kernel: KernelState) -> Probe:
    booted = seen.vitals.booted.replace(microsecond=0) if seen.vitals else datetime.now(UTC)
    return Probe(seen.modules, kernel, node_condition(seen.provisioning, booted), seen.artifact_id, seen.clock_offset_s)


def _console_end(record: ClusterRecord, node: str) -> ConsolePlace | None:
    try:
        return console_end(record, node)
    except OperationFailed:
        return None


async def _with_console(record: ClusterRecord, node: str, kernel: KernelState) -> KernelState:
    """The condition of a kernel whose log buffer is clean, but has lost its beginning."""
    try:
        async with in_memory():
            text = await observe_console(record, node)
            event, whole_boot = await in_worker(len(text.content), first_bad_on_console, text.content)
    except ClusterError:
        return kernel
    return judge_overwritten(kernel, event, whole_boot=whole_boot)


def judge_overwritten(kernel: KernelState, event: KernelEvent | None, *, whole_boot: bool) -> KernelState:
    """What the console adds to a buffer that has lost its beginning: it only proves health if it has the whole boot."""
    booted = kernel.condition.last_transition
    if event is not None:
        return _ill(event, booted + timedelta(seconds=event.timestamp or 0.0))
    if not whole_boot:
        return kernel
    said = "older lines were overwritten in the kernel's buffer; the console shows no problems since the boot"
    return KernelState(_condition(ConditionStatus.TRUE, "NothingReported", said, booted))


async def judge_buffer(answer: ExecResult, node: str) -> KernelState:
    """The condition from the kernel's buffer; Unknown if it could not be read completely."""
    now = datetime.now(UTC)
    try:
        buffer = parse_kernel_buffer(answer, node)
    except ClusterError as error:
        return KernelState(_condition(ConditionStatus.UNKNOWN, "NotObserved", error.message, now))
    if buffer is None:
        said = "the kernel log was overwritten while it was read"
        return KernelState(_condition(ConditionStatus.UNKNOWN, "NotObserved", said, now))
    event, more = await in_worker(len(buffer.records), first_bad_in_buffer, buffer.records)
    return _state_since(boot_moment(now, buffer.uptime_s), event, whole=not (buffer.wrapped or more))


def boot_moment(read_at: datetime, uptime_s: float) -> datetime:
    """When a kernel was booted, rounded to the second, so that the delay of the answer does not change it."""
    return (read_at - timedelta(seconds=uptime_s - 0.5)).replace(microsecond=0)


def _state_since(booted: datetime, event: KernelEvent | None, *, whole: bool) -> KernelState:
    if event is not None:
        return _ill(event, booted + timedelta(seconds=event.timestamp or 0.0))
    if not whole:
        said = "older lines were overwritten in the kernel's buffer before they were read; the rest is clean"
        return KernelState(_condition(ConditionStatus.UNKNOWN, _OVERWRITTEN, said, booted))
    return KernelState(_condition(ConditionStatus.TRUE, "NothingReported", "", booted))


def _ill(event: KernelEvent, since: datetime) -> KernelState:
    reason = "".join(word.capitalize() for word in event.kind.split("_"))
    return KernelState(_condition(ConditionStatus.FALSE, reason, event.summary, since), event)


def _condition(status: ConditionStatus, reason: str, message: str, since: datetime) -> Condition:
    return Condition(
        type=ConditionType.KERNEL_HEALTHY, status=status, reason=reason, message=message, last_transition=since
    )
