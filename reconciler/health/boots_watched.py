"""Reports how far nodes are on their way to a login, from what they print on their consoles."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Set
from contextlib import asynccontextmanager

from reconciler.errors import OperationFailed
from reconciler.kernel_log.boot_stages import OTHER, boot_stage
from reconciler.model.record import ClusterRecord
from reconciler.observe.node_console import ConsoleTail, tail_console
from reconciler.progress import Progress

_PAUSE_S = 0.5


@asynccontextmanager
async def boots_reported(
    record: ClusterRecord, waiting: Collection[str], here: Set[str], progress: Progress
) -> AsyncIterator[None]:
    """While the body waits, report each new stage of the nodes `here` for which it is `waiting`."""
    tails = {node: tail_console(record, node) for node in set(waiting) & here}
    task = asyncio.create_task(_watch(tails, waiting, progress))
    try:
        yield
    finally:
        task.cancel()


async def _watch(tails: Mapping[str, ConsoleTail], waiting: Collection[str], progress: Progress) -> None:
    stages: dict[str, str] = {}

    def look() -> dict[str, bytes]:
        return {node: _news(tails[node].read_new) for node in tails.keys() & set(waiting)}

    while True:
        for node, printed in (await asyncio.to_thread(look)).items():
            stage = boot_stage(printed)
            if node in waiting and stage and _is_news(stage, stages.get(node)):
                stages[node] = stage
                progress.advanced(node, stage)
        await asyncio.sleep(_PAUSE_S)


def _news(read_new: Callable[[], bytes]) -> bytes:
    """What was printed since the last look; nothing if that cannot be read, as on another host."""
    try:
        return read_new()
    except OperationFailed:
        return b""


def _is_news(stage: str, before: str | None) -> bool:
    """Whether a stage says more than the one before: that the console is alive does so only once."""
    return stage != before and (stage != OTHER or before is None)
