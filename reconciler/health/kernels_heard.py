"""What kernels report on their consoles while something else is done with their nodes."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import TypeVar

from reconciler.concurrency import together
from reconciler.errors import ClusterError, OperationFailed
from reconciler.kernel_log.log_answers import first_bad_on_console
from reconciler.model.record import ClusterRecord
from reconciler.model.results import ExecResult
from reconciler.observe.node_console import ConsolePlace, console_end
from reconciler.worker_process.calls import in_memory, in_worker

_MOST_BYTES = 4 * 1024 * 1024

Answer = TypeVar("Answer", bound=ExecResult | ClusterError)


class KernelsHeard:
    """The consoles of some nodes, from one moment on; of a console that cannot be read nothing is heard."""

    def __init__(self, places: Mapping[str, ConsolePlace]) -> None:
        self._places = places

    @classmethod
    async def from_now(cls, record: ClusterRecord, nodes: Iterable[str]) -> "KernelsHeard":
        """Notes where the consoles of these nodes end now."""
        return cls(await asyncio.to_thread(_ends, record, list(nodes)))

    async def beside(self, answers: Mapping[str, Answer]) -> dict[str, Answer]:
        """The answers of the nodes; those of commands with the first bad event since, errors with it in their words."""
        told = await together(*(self._with_event(node, answer) for node, answer in answers.items()))
        return dict(zip(answers, told, strict=True))

    async def explained(self, error: ClusterError, node: str) -> ClusterError:
        """The error, with what the kernel of its node reported meanwhile."""
        if event := await self._event(node):
            error.message = f"{error.message}; meanwhile the kernel of {node} reported: {event}"
        return error

    async def _with_event(self, node: str, answer: Answer) -> Answer:
        if isinstance(answer, ClusterError):
            await self.explained(answer, node)
            return answer
        event = await self._event(node)
        return answer.model_copy(update={"kernel_event": event}) if event else answer

    async def _event(self, node: str) -> str | None:
        """The line that announces it."""
        place = self._places.get(node)
        try:
            content = await asyncio.to_thread(place.read_on, _MOST_BYTES) if place else None
        except OperationFailed:
            return None
        if not content:
            return None
        async with in_memory():
            event, _ = await in_worker(len(content), first_bad_on_console, content)
        return event.summary if event else None


def _ends(record: ClusterRecord, nodes: Iterable[str]) -> dict[str, ConsolePlace]:
    found = {}
    for node in nodes:
        try:
            found[node] = console_end(record, node)
        except OperationFailed:
            continue  # a node of another host, or one that has never run
    return found
