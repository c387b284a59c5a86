"""Jobs in a node, through a real sshd: they go on without a connection, and are there for any later one."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.errors import InvalidArgument, OperationFailed
from reconciler.guest import node_jobs as room
from reconciler.guest.node_jobs import NodeJobs
from reconciler.guest.pool import SshPool
from reconciler.model.job import Job, JobState
from tests.sshd import Sshd, is_alive
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.long


@pytest.fixture
async def jobs(pool: SshPool, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NodeJobs]:
    """The jobs of a node that keeps them in a directory of this test."""
    monkeypatch.setattr(room, "_SCRIPT", room._SCRIPT.replace("/var/tmp", str(tmp_path)))
    yield NodeJobs(pool, sshd.address, timeout_s=PATIENCE_S)
    for leader in leaders(tmp_path):
        if is_alive(leader):
            os.killpg(leader, signal.SIGKILL)


def leaders(directory: Path, job: str = "*") -> list[int]:
    return [int(file.read_text().split()[0]) for file in directory.glob(f"vmcluster-jobs-*/{job}/pid")]


async def until(jobs: NodeJobs, name: str, state: JobState) -> Job:
    async def is_so() -> bool:
        return (await jobs.show(name)).state is state

    await eventually(is_so)
    return await jobs.show(name)


async def text(jobs: NodeJobs, name: str, offset: int = 0) -> str:
    return (await jobs.output(name, offset, 1 << 20)).stdout


async def test_a_job_outlives_the_connection_and_tells_its_code_and_output(
    jobs: NodeJobs, pool: SshPool, sshd: Sshd, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    command = f"echo one; while [ ! -e {gate} ]; do sleep 0.05; done; echo two >&2; exit 3"
    started = await jobs.start("a1", command)
    assert (started.job_id, started.state, started.command) == (f"{sshd.address.node}.a1", JobState.RUNNING, command)
    pool.drop(sshd.address.cluster, sshd.address.node)

    async def is_said() -> bool:
        return await text(jobs, "a1") == "one\n"

    await eventually(is_said)
    gate.touch()
    ended = await until(jobs, "a1", JobState.ENDED)
    assert (ended.exit_code, ended.output_bytes) == (3, 8)
    assert ended.ended_at is not None
    assert ended.ended_at >= ended.began_at
    assert await text(jobs, "a1", offset=4) == "two\n"


async def test_a_job_has_its_environment_and_nothing_to_read_and_begins_at_home(jobs: NodeJobs) -> None:
    await jobs.start("b1", 'cat; echo "$WHAT|$PWD|$HOME"', {"WHAT": "a 'b' $c"})
    await until(jobs, "b1", JobState.ENDED)
    said, here, home = (await text(jobs, "b1")).rstrip("\n").split("|")
    assert (said, here) == ("a 'b' $c", home)


async def test_a_stopped_job_may_say_a_last_word_and_one_that_goes_on_is_killed(jobs: NodeJobs) -> None:
    await jobs.start("c1", "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done")
    await jobs.start("c2", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    for name in ("c1", "c2"):

        async def is_ready(name: str = name) -> bool:
            return await text(jobs, name) == "ready\n"

        await eventually(is_ready)
    polite = await jobs.stop("c1", 30)
    assert (polite.state, polite.exit_code) == (JobState.STOPPED, 7)
    said = await text(jobs, "c1")  # between the two, bash tells of the `sleep` that was ended too
    assert (said[:6], said[-4:]) == ("ready\n", "bye\n")
    assert (await jobs.stop("c2", 0)).state is JobState.STOPPED
    assert await jobs.stop("c1", 0) == polite


async def test_a_job_whose_processes_were_killed_is_lost(jobs: NodeJobs, tmp_path: Path) -> None:
    await jobs.start("d1", "sleep 600")
    (leader,) = leaders(tmp_path, "d1")
    os.killpg(leader, signal.SIGKILL)
    assert (await until(jobs, "d1", JobState.LOST)).exit_code is None


async def test_of_much_output_the_beginning_and_the_end_are_kept(
    jobs: NodeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "FIRST_BYTES", 10)
    monkeypatch.setattr(room, "_SCRIPT", room._SCRIPT.replace("last_bytes=1048576", "last_bytes=6"))
    await jobs.start("e1", "i=100; while [ $i -lt 300 ]; do echo $i; i=$((i + 1)); done")
    assert (await until(jobs, "e1", JobState.ENDED)).exit_code == 0

    async def is_whole() -> bool:
        return (await jobs.show("e1")).ended_at is not None

    await eventually(is_whole)
    assert await text(jobs, "e1") == "100\n101\n1098\n299\n"[:10] + "8\n299\n"


async def test_all_jobs_are_listed_and_old_ones_make_room(jobs: NodeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_SCRIPT", room._SCRIPT.replace("kept=50", "kept=3"))
    await jobs.start("f0", "sleep 600")
    for number in range(1, 6):
        await jobs.start(f"f{number}", "true")
        await until(jobs, f"f{number}", JobState.ENDED)
    names = {job.job_id.partition(".")[2] for job in await jobs.listing()}
    assert {"f0", "f5"} <= names, "one that runs stays"
    assert len(names) <= 4


async def test_an_unknown_job_is_refused(jobs: NodeJobs) -> None:
    for ask in (jobs.show("nope"), jobs.output("nope", 0, 100), jobs.stop("nope", 0)):
        with pytest.raises(InvalidArgument, match="has no job 'nope'"):
            await ask


@pytest.mark.parametrize("line", ["", "a", "a b c d e f g", "../x ended 0 1 1 1 eA==", "a ended 0 9e99 1 1 eA=="])
async def test_an_answer_that_a_node_made_up_is_an_error_of_that_node(
    jobs: NodeJobs, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_SCRIPT", f"echo '{line}'")
    with pytest.raises(OperationFailed, match="cannot be parsed"):
        await jobs.show("a1")
