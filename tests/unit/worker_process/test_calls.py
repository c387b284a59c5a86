"""What is large is worked on in a process of its own, and the event loop turns meanwhile."""

import asyncio
import os
import pickle
import time

import pytest

from reconciler.errors import HostCommandFailed, InvalidArgument
from reconciler.kernel_log.log_answers import Shown, joined_parts, of_console
from reconciler.kernel_log.marker import marked_at_s
from reconciler.worker_process.calls import LARGE_BYTES, in_worker, in_worker_in_parts
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.processes

MIB = 1024 * 1024


@pytest.mark.parametrize("size_bytes", [0, LARGE_BYTES + 1])
async def test_only_what_is_large_goes_to_another_process(size_bytes: int) -> None:
    assert (await in_worker(size_bytes, os.getpid) == os.getpid()) is (size_bytes == 0)
    shown = Shown(b"[    1.000000] BUG: a\n" * 3, whole=True)
    parts = await in_worker_in_parts(size_bytes, of_console, shown, "", None, "all")
    assert [line.text for line in joined_parts(parts).lines] == ["BUG: a"] * 3


@pytest.mark.parametrize("size_bytes", [0, LARGE_BYTES + 1])
async def test_what_it_raises_comes_back_with_all_that_it_says(size_bytes: int) -> None:
    with pytest.raises(InvalidArgument, match="'x' is not a marker") as raised:
        await in_worker(size_bytes, marked_at_s, "x")
    assert "dmesg_mark" in (raised.value.hint or "")


def test_a_forked_child_has_a_thread_of_its_own() -> None:
    async def worked() -> bool:
        return await asyncio.wait_for(in_worker(0, os.getpid), PATIENCE_S) == os.getpid()

    assert asyncio.run(worked())
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if asyncio.run(worked()) else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


async def test_a_process_that_dies_is_an_error() -> None:
    with pytest.raises(HostCommandFailed):
        await in_worker(LARGE_BYTES + 1, os.abort)


async def test_a_large_log_costs_the_loop_a_small_part_of_what_it_takes() -> None:
    """In CPU time of the loop's thread; what another thread reads of the answer holds the lock for one part at most."""
    line = b"[    1.000000] BUG: a\n"
    shown = Shown(line * (4 * MIB // len(line)), whole=True)
    began_s = time.thread_time()
    own = joined_parts(list(of_console(shown, "", None, "all")))
    takes_s = time.thread_time() - began_s
    standing: list[float] = []
    watching = asyncio.create_task(watch_turns(standing))
    parts = await in_worker_in_parts(len(shown.content), of_console, shown, "", None, "all")
    watching.cancel()
    assert joined_parts(parts) == own
    assert max(standing) < takes_s / 4, (max(standing), takes_s)
    sizes = [len(pickle.dumps(part)) for part in parts]
    assert max(sizes) < sum(sizes) / 20, (max(sizes), sum(sizes))


async def watch_turns(standing: list[float]) -> None:
    """Note what was spent between one turn of the loop and the next."""
    while True:
        began_s = time.thread_time()
        await asyncio.sleep(0)
        standing.append(time.thread_time() - began_s)
