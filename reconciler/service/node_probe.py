"""What one visit to a node over SSH tells of it: its modules, and whether its kernel is well."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from reconciler.artifacts.installed import parse_installed_id
from reconciler.artifacts.node_scripts import RECORD_PATH
from reconciler.errors import ClusterError
from reconciler.guest.kernel_log import READ_COMMAND, parse_kernel_buffer
from reconciler.kernel_log.console import last_boot, parse_console
from reconciler.kernel_log.line import LogLine
from reconciler.kernel_log.report import first_bad_event
from reconciler.model.kernel_log import KernelEvent
from reconciler.model.record import ClusterRecord
from reconciler.model.results import ExecResult
from reconciler.model.status import Condition, ConditionStatus, ConditionType
from reconciler.observe.console import observe_console
from reconciler.service.access import addresses
from reconciler.service.runtime import Runtime

OUTPUT_LIMIT_BYTES = 8 * 1024 * 1024

_INSTALLED = "="
"""Before the id of what is installed, on a line of its own; no module's name begins so."""

_OVERWRITTEN = "LogOverwritten"
_FIRST_WORDS = "Linux version "

_COMMAND = f"""
if [ -n "$BASH_VERSION" ]; then eval 'mapfile -t m </proc/modules; printf "%s\\n" "${{m[@]%% *}}"'
else cat /proc/modules; fi
if [ -r {RECORD_PATH} ]; then read -r i <{RECORD_PATH}; echo "{_INSTALLED}$i"; fi; echo; {READ_COMMAND}"""
"""Says that the login works, which modules are loaded, what is installed and what the kernel said. bash needs no
process for the first two, and `dd` takes the place of the login shell: under emulation every process costs as much as
that shell itself."""


@dataclass(frozen=True, slots=True)
class KernelState:
    """The condition of a node's kernel, and the event that made it false."""

    condition: Condition
    event: KernelEvent | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """A node that answered."""

    modules: tuple[str, ...]
    kernel: KernelState
    artifact_id: str | None = None


async def probe(runtime: Runtime, record: ClusterRecord, node: str, timeout_s: float) -> Probe | None:
    """Visit a node; None where it does not answer in time."""
    (address,) = addresses(record, [node])
    try:
        answer = await runtime.ssh.run(address, _COMMAND, timeout_s=timeout_s, output_limit_bytes=OUTPUT_LIMIT_BYTES)
    except ClusterError:
        return None
    seen = await asyncio.to_thread(_understood, answer, node)
    if seen.kernel.condition.reason != _OVERWRITTEN:
        return seen
    return replace(seen, kernel=await _with_console(record, node, seen.kernel))


async def console_state(record: ClusterRecord, node: str) -> KernelState:
    """The condition of a kernel that does not answer, as far as its console tells: what it does not show is unknown."""
    try:
        text = await observe_console(record, node)
    except ClusterError as error:
        return KernelState(_condition(ConditionStatus.UNKNOWN, "NotObserved", error.message, datetime.now(UTC)))
    event = await asyncio.to_thread(lambda: first_bad_event(last_boot(parse_console(text.content))))
    if event is None:
        said = "no answer over SSH, and nothing bad on the console"
        return KernelState(_condition(ConditionStatus.UNKNOWN, "NotObserved", said, text.written_at))
    return _ill(event, text.written_at)


async def _with_console(record: ClusterRecord, node: str, kernel: KernelState) -> KernelState:
    """The condition of a kernel whose buffer is clean, but has lost its beginning."""
    try:
        text = await observe_console(record, node)
    except ClusterError:
        return kernel
    return await asyncio.to_thread(judge_overwritten, kernel, parse_console(text.content))


def judge_overwritten(kernel: KernelState, console: Sequence[LogLine]) -> KernelState:
    """What the console adds to a buffer that has lost its beginning.

    It clears the kernel only where it shows the boot from its first line on, which is a notice: a console set to
    `quiet` shows neither that nor a WARN.
    """
    lines = last_boot(console)
    event = first_bad_event(lines)
    if event is not None:
        booted = kernel.condition.last_transition
        return _ill(event, booted + timedelta(seconds=event.timestamp or 0.0))
    first = next((line for line in lines if line.kernel and line.timestamp_us is not None), None)
    if first is None or not first.text.startswith(_FIRST_WORDS):
        return kernel
    said = "older lines were overwritten in the kernel's buffer; the console shows nothing bad since the boot"
    condition = _condition(ConditionStatus.TRUE, "NothingReported", said, kernel.condition.last_transition)
    return KernelState(condition)


def _understood(answer: ExecResult, node: str) -> Probe:
    listed, _, log = answer.stdout.partition("\n\n")
    lines = [line for line in listed.splitlines() if line.strip()]
    modules = tuple(line.split()[0] for line in lines if not line.startswith(_INSTALLED))
    installed = (parse_installed_id(line.removeprefix(_INSTALLED)) for line in lines if line.startswith(_INSTALLED))
    return Probe(modules, _buffer_state(answer.model_copy(update={"stdout": log}), node), next(installed, None))


def _buffer_state(answer: ExecResult, node: str) -> KernelState:
    now = datetime.now(UTC)
    try:
        buffer = parse_kernel_buffer(answer, node)
    except ClusterError as error:
        return KernelState(_condition(ConditionStatus.UNKNOWN, "NotObserved", error.message, now))
    if buffer is None:
        said = "the kernel log was overwritten while it was read"
        return KernelState(_condition(ConditionStatus.UNKNOWN, "NotObserved", said, now))
    booted = now - timedelta(seconds=buffer.uptime_s)
    return _state_since(booted, buffer.lines, wrapped=buffer.wrapped)


def _state_since(booted: datetime, lines: Sequence[LogLine], *, wrapped: bool) -> KernelState:
    event = first_bad_event(lines)
    if event is not None:
        return _ill(event, booted + timedelta(seconds=event.timestamp or 0.0))
    if wrapped:
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
