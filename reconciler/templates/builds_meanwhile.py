"""Builds templates beside the rounds: a build takes as long as a boot, and the cluster's other work does not wait.

The command that starts nodes builds the templates of its own host before. Here it is done for nodes that another
command has placed on this host, and for a template that was removed in between.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from reconciler.errors import ClusterError, error_to_answer
from reconciler.model.document import TemplateSpec

log = structlog.get_logger(__name__)

FAILED_S = 300.0
"""For so long after a failure nothing is tried again: an attempt costs a boot."""

PATIENCE_S = 300.0
"""Nodes that can boot instead wait at least for so long: a boot would not take less."""

AskForRound = Callable[[str], Awaitable[object]]
"""Has a cluster looked at again."""


@dataclass(slots=True)
class _Build:
    began_s: float
    clusters: set[str] = field(default_factory=set)
    task: "asyncio.Task[None] | None" = None
    failure: ClusterError | None = None
    ended_s: float = 0.0


class BuildsMeanwhile:
    """The builds of this process, one at a time."""

    def __init__(self, build: Callable[[TemplateSpec], Awaitable[object]], ask_for_round: AskForRound) -> None:
        self._build = build
        self._ask_for_round = ask_for_round
        self._builds: dict[str, _Build] = {}
        self._one_at_a_time = asyncio.Lock()

    def begin(self, spec: TemplateSpec, cluster: str) -> float:
        """Have a template built, of which the cluster hears; since how many seconds that is so.

        Raises why the last attempt failed, if that was not long ago.
        """
        now_s = time.monotonic()
        build = self._builds.get(spec.key)
        if build is not None and build.failure is not None and now_s < build.ended_s + FAILED_S:
            raise build.failure
        if build is None or build.task is None or build.task.done():
            build = self._builds[spec.key] = _Build(now_s)
            build.task = asyncio.create_task(self._carry_out(spec, build))
        build.clusters.add(cluster)
        return now_s - build.began_s

    async def close(self) -> None:
        """End what is being built."""
        tasks = [build.task for build in self._builds.values() if build.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry_out(self, spec: TemplateSpec, build: _Build) -> None:
        try:
            async with self._one_at_a_time:
                await self._build(spec)
        except Exception as error:
            build.failure = error_to_answer(error)
            log.warning("template_not_built", template=spec.key, cause=str(build.failure), exc_info=_of_defect(error))
        build.ended_s = time.monotonic()
        for cluster in build.clusters:
            try:
                await self._ask_for_round(cluster)
            except ClusterError as error:  # the next round comes by itself
                log.warning("round_not_asked_for", cluster=cluster, cause=str(error))


def _of_defect(error: Exception) -> Exception | None:
    return None if isinstance(error, ClusterError) else error
