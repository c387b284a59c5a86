"""The use cases as the tools call them. Imported at the first call, because it imports libvirt and SSH."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self, TypeVar

import structlog

from reconciler.desired.given import TopologyName
from reconciler.errors import ClusterError
from reconciler.frontends.mcp.caller import Caller
from reconciler.frontends.mcp.logs import log_to_stderr
from reconciler.model.results import ClusterStatus, NodeStatus, ToolResult
from reconciler.progress import Progress
from reconciler.records.plan_view import PlanView, plan_view
from reconciler.runtime import Runtime
from reconciler.settings import LogLevel, load_settings
from reconciler.usecases import envelope
from reconciler.usecases.artifacts import Artifacts
from reconciler.usecases.clusters import Approval, Clusters
from reconciler.usecases.consoles import Consoles
from reconciler.usecases.deployment import Deployment
from reconciler.usecases.faults import Faults
from reconciler.usecases.host_paths import reach_of_tools
from reconciler.usecases.inspection import Inspection
from reconciler.usecases.kernel_log import KernelLogs
from reconciler.usecases.nodes import Nodes
from reconciler.usecases.snapshots import Snapshots
from reconciler.usecases.transfer import Transfers

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ToolUseCases:
    """What one call may use: the use cases, and where to report progress."""

    clusters: Clusters
    nodes: Nodes
    inspection: Inspection
    kernel_logs: KernelLogs
    consoles: Consoles
    transfers: Transfers
    snapshots: Snapshots
    faults: Faults
    artifacts: Artifacts
    deployment: Deployment
    progress: Progress

    @classmethod
    def of(cls, runtime: Runtime, caller: Caller, report: Callable[[str], None]) -> Self:
        """The use cases on behalf of a caller, who is named in the history of each record that they change."""
        actor, reach = caller.actor, reach_of_tools(runtime.settings, caller.roots)
        return cls(
            clusters=Clusters(runtime, actor=actor, reach=reach),
            nodes=Nodes(runtime),
            inspection=Inspection(runtime),
            kernel_logs=KernelLogs(runtime),
            consoles=Consoles(runtime),
            transfers=Transfers(runtime, reach),
            snapshots=Snapshots(runtime, actor=actor),
            faults=Faults(runtime, actor=actor),
            artifacts=Artifacts(runtime, reach),
            deployment=Deployment(runtime),
            progress=Progress(report),
        )

    @staticmethod
    def approval(*, restart: bool, data_loss: bool) -> Approval:
        """The costs of a change that the caller has approved."""
        return Approval(restart=restart, data_loss=data_loss)

    async def plan(self, topology: str, *, start: bool) -> PlanView:
        """The plan for a topology, as data."""
        return plan_view(await self.clusters.plan(self.named(topology), start=start))

    @staticmethod
    def named(topology: str) -> TopologyName:
        """A topology in `topology_dir`; a name cannot reach other files of the host."""
        return TopologyName(topology)

    async def crash(
        self, cluster: str, node: str, *, restart_after: bool, wait_for_ssh: bool, ssh_timeout_s: float
    ) -> NodeStatus:
        """Cut a node's power; the answer, also next to an error, is about that node only."""
        try:
            status = await self.clusters.crash(
                cluster,
                node,
                restart_after=restart_after,
                wait_for_ssh=wait_for_ssh,
                ssh_timeout_s=ssh_timeout_s,
                progress=self.progress,
            )
        except ClusterError as error:
            error.partial = error.partial and _of_node(error.partial, node)
            raise
        return _of_node(status, node)


class Host:
    """The use cases in this process. If opening them fails, that is the answer, and the next call tries again."""

    def __init__(self) -> None:
        log_to_stderr(LogLevel.INFO)
        self._runtime: Runtime | None = None
        self._opening = asyncio.Lock()
        self._exit = AsyncExitStack()

    async def answer(
        self, work: Callable[[ToolUseCases], Awaitable[T]], caller: Caller, report: Callable[[str], None]
    ) -> ToolResult[T]:
        """Do the work and put its result or error into the envelope; raises only when cancelled."""
        began = time.monotonic()
        result = await envelope.answer(self._do(work, caller, report))
        _log(caller, result, time.monotonic() - began)
        return result

    async def close(self) -> None:
        """Close connections and files; nothing on the host changes."""
        await self._exit.aclose()

    async def _do(
        self, work: Callable[[ToolUseCases], Awaitable[T]], caller: Caller, report: Callable[[str], None]
    ) -> T:
        return await work(ToolUseCases.of(await self._open(), caller, report))

    async def _open(self) -> Runtime:
        async with self._opening:
            if self._runtime is None:
                settings = load_settings()
                log_to_stderr(settings.log_level)
                self._runtime = await self._exit.enter_async_context(Runtime(settings))
                await self._runtime.follow_guests()
            return self._runtime


def _of_node(status: ClusterStatus, name: str) -> NodeStatus:
    return next(node for node in status.nodes if node.name == name)


def _log(caller: Caller, result: ToolResult[T], duration_s: float) -> None:
    event = log.bind(tool=caller.tool, cluster=caller.cluster, actor=caller.actor, duration_s=round(duration_s, 3))
    if result.error is None:
        event.info("tool_call", outcome="success")
    else:
        event.warning("tool_call", outcome="error", code=result.error.code.value, message=result.error.message)
