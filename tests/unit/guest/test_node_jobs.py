"""Jobs in a node, through a real sshd: they go on without a connection, and are there for any later one."""

import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.errors import InvalidArgument, OperationFailed
from reconciler.guest import node_jobs as room
from reconciler.guest.command import COMMAND_LIMIT_BYTES, SIGNAL_GROUP
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
    return [
        int(text.split()[0]) for file in directory.glob(f"vmcluster-jobs-*/{job}/pid") if (text := file.read_text())
    ]


async def until(jobs: NodeJobs, name: str, state: JobState) -> Job:
    async def is_so() -> bool:
        return (await jobs.show(name)).state is state

    await eventually(is_so)
    return await jobs.show(name)


async def text(jobs: NodeJobs, name: str, offset: int = 0) -> str:
    return (await jobs.output(name, offset, 1 << 20)).output


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


async def test_a_job_runs_as_a_command_does(jobs: NodeJobs, pool: SshPool, sshd: Sshd, tmp_path: Path) -> None:
    command = (
        'read -r line || echo "$job|$limit|$WHAT|$PATH"; umask; while read -r line; do'
        ' case $line in Sig[IB]*) echo "$line";; esac; done </proc/self/status\n# \N{SNOWMAN} \\'
    )
    env = {"job": "mine", "limit": "5", "WHAT": "a 'b'\n $c \\n\\c", "PATH": "/nowhere"}
    await jobs.start("b1", command, env)
    await until(jobs, "b1", JobState.ENDED)
    run = await pool.run(sshd.address, command, timeout_s=PATIENCE_S, env=env)
    assert await text(jobs, "b1") == run.stdout
    assert not (tmp_path / f"vmcluster-jobs-{os.getuid()}/b1/env").exists(), "it may hold secrets"


async def test_a_command_that_did_not_arrive_as_a_whole_is_not_run(jobs: NodeJobs) -> None:
    with pytest.raises(OperationFailed, match="did not arrive as a whole"):
        await jobs._ask("start", "b2", "100", "30", "", stdin=b"echo half")
    assert await jobs.listing() == []


@pytest.mark.parametrize("command", ["a\0b", "\udc80", "#" * COMMAND_LIMIT_BYTES + "#"], ids=["nul", "text", "long"])
async def test_a_command_that_no_shell_can_be_given_is_refused(jobs: NodeJobs, command: str) -> None:
    with pytest.raises(InvalidArgument):
        await jobs.start("b3", command)


async def test_the_longest_command_runs(jobs: NodeJobs) -> None:
    await jobs.start("b4", "echo hi" + "#".rjust(COMMAND_LIMIT_BYTES - len("echo hi")))
    await until(jobs, "b4", JobState.ENDED)
    assert await text(jobs, "b4") == "hi\n"


async def test_a_job_of_which_a_power_cut_left_empty_files_is_lost(jobs: NodeJobs, tmp_path: Path) -> None:
    began = (await jobs.start("b5", "true")).began_at
    await until(jobs, "b5", JobState.ENDED)
    directory = tmp_path / f"vmcluster-jobs-{os.getuid()}/b5"
    for name in ("pid", "command", "shown", "began", "ended"):
        (directory / name).write_bytes(b"")
    (directory / "code").unlink()
    (job,) = await jobs.listing()
    assert (job.state, job.command, job.began_at >= began) == (JobState.LOST, "", True)


async def test_a_job_begins_at_home(jobs: NodeJobs) -> None:
    await jobs.start("b0", 'echo "$PWD|$HOME"')
    await until(jobs, "b0", JobState.ENDED)
    here, home = (await text(jobs, "b0")).rstrip("\n").split("|")
    assert here == home


async def test_pages_of_a_job_that_prints_meanwhile_have_all_of_it_once(jobs: NodeJobs) -> None:
    await jobs.start("b6", "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i + 1)); done; printf end")
    pages, offset, running = "", 0, True
    while running:
        running = (await jobs.show("b6")).ended_at is None
        page = await jobs.output("b6", offset, 1 << 20)
        pages, offset = pages + page.output, page.next_offset
    assert pages == "".join(f"{number}\n" for number in range(20000)) + "end"


async def test_stopping_a_job_ends_what_left_its_process_group(jobs: NodeJobs, tmp_path: Path) -> None:
    odd = f"'{tmp_path}/a\n) b'"
    command = f"timeout 600 sleep 601 & echo $!; setsid sleep 602 & echo $!; cp $(command -v sleep) {odd}; {odd} 603"
    await jobs.start("b7", command)

    async def has_said_both() -> bool:
        return (await text(jobs, "b7")).count("\n") == 2

    await eventually(has_said_both)
    assert (await jobs.stop("b7", 30)).state is JobState.STOPPED
    for number in map(int, (await text(jobs, "b7")).split()[:2]):
        assert not is_alive(number)


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
    assert await text(jobs, "e1") == "100\n101\n10" + "8\n299\n"[-6:]
    past = await jobs.output("e1", 2**70, 1 << 20)
    assert (past.output, past.next_offset) == ("", 16)
    assert (await jobs.show("e1")).lost_bytes == 200 * 4 - 10 - 6


async def test_all_jobs_are_listed_and_old_ones_make_room(jobs: NodeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_SCRIPT", room._SCRIPT.replace("kept=50", "kept=3"))
    await jobs.start("f0", "sleep 600")
    for number in range(1, 6):
        await jobs.start(f"f{number}", "true")
        await until(jobs, f"f{number}", JobState.ENDED)
    names = {job.job_id.partition(".")[2] for job in await jobs.listing()}
    assert {"f0", "f5"} <= names, "one that runs stays"
    assert len(names) <= 4


async def test_no_more_jobs_are_started_than_a_listing_can_hold(
    jobs: NodeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_SCRIPT", room._SCRIPT.replace("kept=50", "kept=1"))
    for number in range(2):
        await jobs.start(f"h{number}", "sleep 600")
    with pytest.raises(OperationFailed, match="job_stop"):
        await jobs.start("h2", "sleep 600")
    assert len(await jobs.listing()) == 2


async def test_an_unknown_job_is_refused(jobs: NodeJobs) -> None:
    for ask in (jobs.show("nope"), jobs.output("nope", 0, 100), jobs.stop("nope", 0)):
        with pytest.raises(InvalidArgument, match=r"no job 'sshd\.nope'"):
            await ask


@pytest.mark.parametrize(
    "line",
    [
        *("", "a", "a b c d e f g h", "../x ended 0 1 1 1 0 eA==", "a ended 0 9e99 1 1 0 eA=="),
        *(f"a ended 0 {2**57} 1 1 0 eA==", "a ended 0 1 1 -1 0 eA==", "a ended 999 1 1 1 0 eA=="),
    ],
)
async def test_an_answer_that_a_node_made_up_is_an_error_of_that_node(
    jobs: NodeJobs, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_SCRIPT", f"echo '{line}'")
    with pytest.raises(OperationFailed, match="cannot be parsed"):
        await jobs.show("a1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of two users")
def test_a_process_of_another_user_that_may_not_be_signalled_is_named() -> None:
    """As a command under sudo(8), which the user who started it may not kill."""
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    script = f"sleep 600 & echo $!; exec {' '.join(as_nobody)} sh -c 'echo ready; sleep 600; :'"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True) as job:
        assert job.stdout is not None
        foreign, ready = int(job.stdout.readline()), job.stdout.readline()
        assert ready
        try:
            stop = [*as_nobody, "sh", "-uc", f"PATH=/nowhere\n{SIGNAL_GROUP}signal_group {job.pid} KILL; echo $refused"]
            said = subprocess.run(stop, stdout=subprocess.PIPE, text=True, check=True).stdout
            assert set(said.split()) == {str(foreign)}
            assert job.wait() == -signal.SIGKILL
            assert is_alive(foreign)
        finally:
            os.kill(foreign, signal.SIGKILL)
