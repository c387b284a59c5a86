import asyncio
import tracemalloc
from pathlib import Path

import pytest

from reconciler.concurrency import together
from reconciler.errors import HostCapabilityMissing, HostCommandFailed
from reconciler.process import run
from tests.waiting import PATIENCE_S


@pytest.mark.parametrize("turns", [0, 1, 2, 4, 8])
async def test_a_command_that_is_cancelled_while_it_starts_is_ended_and_not_waited_for(
    tmp_path: Path, turns: int
) -> None:
    mark = tmp_path / "mark"
    work = asyncio.create_task(run(["sh", "-c", f"sleep 1; touch {mark}"]))
    for _ in range(turns):
        await asyncio.sleep(0)
    work.cancel()
    async with asyncio.timeout(20):
        await asyncio.wait([work])
    assert work.cancelled()
    assert not mark.exists()


async def test_of_several_things_none_is_left_behind_when_one_fails() -> None:
    ended = []

    async def fail() -> None:
        raise ValueError("of its own")

    async def go_on() -> None:
        await asyncio.sleep(0.05)
        ended.append(1)

    with pytest.raises(ValueError, match="of its own"):
        await together(fail(), go_on())
    assert ended


async def test_a_program_that_is_missing_or_cannot_be_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostCapabilityMissing, match="no-such-program"):
        await run(["no-such-program"])
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("neither a script nor a binary")
    nonsense.chmod(0o755)
    with pytest.raises(HostCommandFailed, match="cannot start") as caught:
        await run([str(nonsense)])
    assert str(nonsense) in str(caught.value)


@pytest.mark.parametrize("stream", ["1", "2"])
async def test_a_flood_of_output_does_not_hold_up_the_end_of_a_program(stream: str) -> None:
    """asyncio stops reading from a pipe while nobody takes what is there, and then did not see its end."""
    for _ in range(10):
        with pytest.raises(HostCommandFailed, match=r"timed out|printed more"):
            async with asyncio.timeout(PATIENCE_S):
                await run(["sh", "-c", f"cat /dev/zero >&{stream}"], timeout_s=0.05)


async def test_what_a_program_prints_without_end_costs_little_memory_and_no_patience() -> None:
    with pytest.raises(HostCommandFailed, match="printed more than 100000 bytes: sh -c"):
        await run(["sh", "-c", "cat /dev/zero"], stdout_limit_bytes=100_000)
    tracemalloc.start()
    try:
        done = await run(["sh", "-c", "head -c 20000000 /dev/zero >&2; echo the cause >&2; exit 3"], check=False)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (done.exit_code, done.stderr.endswith(b"\0the cause\n")) == (3, True)
    assert peak_bytes < 2_000_000
