"""What one command on a live connection does and answers; the other side is a real sshd."""

import asyncio
import os
import signal
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from shlex import quote

import pytest

from reconciler.errors import InvalidArgument, SshError, SshTimeout
from reconciler.guest.keys import generate_client_key, generate_host_key
from reconciler.guest.pool import DEFAULT_OUTPUT_LIMIT_BYTES, SshPool
from reconciler.model.results import ExecResult
from tests.sshd import Sshd, is_alive, moments_s, running_sshd
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.long


def pids_in(path: Path) -> list[int]:
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


async def read_pids(path: Path, count: int) -> list[int]:
    """The process numbers that a remote command has written, as soon as all are there."""
    await eventually(lambda: len(pids_in(path)) == count)
    return pids_in(path)


async def all_gone(pids: Iterable[int]) -> None:
    """Return when all of the processes are gone."""
    await eventually(lambda: not any(map(is_alive, pids)))


async def test_a_command_answers_with_both_streams_and_its_exit_code(pool: SshPool, sshd: Sshd) -> None:
    result = await pool.run(sshd.address, "echo out; echo err >&2; exit 3", timeout_s=PATIENCE_S)
    assert (result.exit_code, result.stdout, result.stderr, result.timed_out) == (3, "out\n", "err\n", False)
    assert 0 < result.duration_s < PATIENCE_S


async def test_an_end_by_a_signal_is_128_and_its_number(pool: SshPool, sshd: Sshd) -> None:
    assert (await pool.run(sshd.address, "kill -SEGV $$", timeout_s=PATIENCE_S)).exit_code == 139


async def test_an_empty_command_and_a_syntax_error_are_what_the_shell_makes_of_them(pool: SshPool, sshd: Sshd) -> None:
    assert (await pool.run(sshd.address, "", timeout_s=PATIENCE_S)).exit_code == 0
    broken = await pool.run(sshd.address, "echo (", timeout_s=PATIENCE_S)
    assert broken.exit_code != 0
    assert "syntax error" in broken.stderr.lower()


async def test_standard_input_arrives_whole_and_ends(pool: SshPool, sshd: Sshd) -> None:
    stdin = bytes(range(256)) * 20_000
    result = await pool.run(sshd.address, "wc -c; cat", timeout_s=10, stdin=stdin)
    assert result.stdout.strip() == str(len(stdin))


async def test_without_standard_input_a_reader_sees_its_end_at_once(pool: SshPool, sshd: Sshd) -> None:
    assert (await pool.run(sshd.address, "cat", timeout_s=PATIENCE_S)).exit_code == 0


async def test_a_command_that_ignores_a_large_standard_input_still_ends(pool: SshPool, sshd: Sshd) -> None:
    result = await pool.run(sshd.address, "exec true", timeout_s=10, stdin=b"x" * 20_000_000)
    assert (result.exit_code, result.timed_out) == (0, False)


async def test_hostile_values_of_variables_arrive_unchanged(pool: SshPool, sshd: Sshd) -> None:
    value = "'; touch /nowhere; '\"$(exit 9)`exit 9`\\\n\t*~ é €"
    result = await pool.run(sshd.address, 'printf %s "$HOSTILE"', timeout_s=5, env={"HOSTILE": value, "B": ""})
    assert (result.stdout, result.exit_code) == (value, 0)


async def test_a_name_that_is_no_variable_is_refused_before_anything_is_sent(pool: SshPool, sshd: Sshd) -> None:
    with pytest.raises(InvalidArgument):
        await pool.run(replace(sshd.address, port=1), "true", timeout_s=5, env={"A;B": "x"})


async def test_bytes_that_are_not_utf8_are_shown_as_replacement_characters(pool: SshPool, sshd: Sshd) -> None:
    result = await pool.run(sshd.address, r"printf 'a\377\376b\000c'; printf '\200' >&2", timeout_s=PATIENCE_S)
    assert (result.stdout, result.stderr) == ("a\ufffd\ufffdb\0c", "\ufffd")
    assert result.stdout_replaced
    assert result.stderr_replaced


async def test_a_listener_gets_every_byte_of_both_streams_as_it_comes(
    pool: SshPool, sshd: Sshd, tmp_path: Path
) -> None:
    out, err, came = bytearray(), bytearray(), asyncio.Event()

    def on_stdout(data: bytes) -> None:
        out.extend(data)
        came.set()

    wait = f"until [ -e {tmp_path}/go ]; do sleep 0.02; done"
    command = f"printf 'a\\377\\000'; {wait}; head -c 3000000 /dev/zero; cat >&2; exit 3"
    running = asyncio.create_task(
        pool.run(sshd.address, command, timeout_s=20, stdin=b"\x80", on_stdout=on_stdout, on_stderr=err.extend)
    )
    await asyncio.wait_for(came.wait(), 10)
    assert bytes(out) == b"a\xff\0"
    (tmp_path / "go").touch()
    result = await running
    assert (bytes(out), bytes(err)) == (b"a\xff\0" + bytes(3_000_000), b"\x80")
    assert (result.exit_code, result.stdout, result.stderr, result.stdout_truncated) == (3, "", "", False)


async def test_fifty_megabytes_without_a_line_end_are_read_to_the_end_and_marked(pool: SshPool, sshd: Sshd) -> None:
    command = "head -c 50000000 /dev/zero | tr '\\0' x; echo done >&2"
    result = await pool.run(sshd.address, command, timeout_s=30, output_limit_bytes=1000)
    assert result.stdout == f"{'x' * 500}\n[… 49999000 bytes omitted …]\n{'x' * 500}"
    assert result.stdout_omitted_bytes == 49_999_000
    assert (result.stdout_truncated, result.stderr_truncated) == (True, False)
    assert (result.exit_code, result.stderr) == (0, "done\n")


async def test_a_time_out_keeps_the_output_and_kills_the_whole_group(pool: SshPool, sshd: Sshd, tmp_path: Path) -> None:
    command = (
        f"echo partly; (trap '' TERM HUP; sleep 1000) & sleep 1001 & echo $$ $! >{tmp_path}/pids; sleep 1002; true"
    )
    result = await pool.run(sshd.address, command, timeout_s=await moments_s(pool, sshd))
    assert (result.exit_code, result.timed_out, result.stdout) == (124, True, "partly\n")
    await all_gone(await read_pids(tmp_path / "pids", 2))


@pytest.mark.parametrize(
    "background",
    [
        "cd / && nohup sh -c 'echo $$ >{pids}; sleep 1000' >{log} 2>&1 &",
        "(echo $BASHPID >{pids}; while sleep 0.05; do echo still here; echo and here >&2; done) &",
        "setsid -f sh -c 'echo $$ >{pids}; exec sleep 1000'",
        "{{ echo $BASHPID >{pids}; sleep 0.3; echo late; exec sleep 1000; }} & wait_for=",
    ],
)
async def test_a_shell_that_has_ended_is_the_answer_and_what_it_started_lives_on(
    pool: SshPool, sshd: Sshd, tmp_path: Path, background: str
) -> None:
    command = f"bash -c {quote(background.format(pids=tmp_path / 'pids', log=tmp_path / 'log'))}; echo said; exit 3"
    chatty = "still here" in background  # it is listened to until the time is up
    patience_s = await moments_s(pool, sshd) if chatty else PATIENCE_S
    result = await pool.run(sshd.address, command, timeout_s=patience_s)
    assert (result.exit_code, result.timed_out, result.stdout[:5]) == (3, False, "said\n")
    (pid,) = await read_pids(tmp_path / "pids", 1)
    again = await pool.run(sshd.address, "sleep 0.3; echo more", timeout_s=PATIENCE_S)
    assert (again.stdout, is_alive(pid)) == ("more\n", True)
    os.kill(pid, signal.SIGKILL)


async def test_all_that_a_shell_printed_is_there_though_somebody_holds_its_output(pool: SshPool, sshd: Sshd) -> None:
    result = await pool.run(sshd.address, "sleep 60 & head -c 9000000 /dev/zero; echo end", timeout_s=PATIENCE_S)
    assert result.stdout.endswith("\0end\n")
    assert result.stdout_omitted_bytes == 9_000_004 - DEFAULT_OUTPUT_LIMIT_BYTES


async def test_many_commands_that_leave_something_running_take_no_room_from_others(pool: SshPool, sshd: Sshd) -> None:
    for _ in range(2):
        runs = [pool.run(sshd.address, f"sleep 600 & echo {number}", timeout_s=PATIENCE_S) for number in range(12)]
        assert [result.stdout for result in await asyncio.gather(*runs)] == [f"{number}\n" for number in range(12)]


async def test_a_process_that_has_left_the_group_does_not_hold_up_the_answer(
    pool: SshPool, sshd: Sshd, tmp_path: Path
) -> None:
    command = f"setsid -f sh -c 'echo $$ >{tmp_path}/pids; exec sleep 1000'; sleep 1001"
    result = await pool.run(sshd.address, command, timeout_s=await moments_s(pool, sshd))
    assert (result.timed_out, result.left_running) == (True, True)
    (stranger,) = await read_pids(tmp_path / "pids", 1)
    os.kill(stranger, signal.SIGKILL)  # it is there still, and the answer has come


@pytest.mark.parametrize(
    "command",
    [
        "setsid sh -c 'echo $$ >>{pids}; sleep 1000'; sleep 1001",
        "setsid sh -c 'echo $$ >>{pids}; setsid sh -c \"echo \\$\\$ >>{pids}; sleep 1000\"; true' & sleep 1001",
        "set -m; {{ echo $BASHPID >>{pids}; sleep 1000; }} & set +m; wait",
    ],
    ids=["a session of its own", "sessions within sessions", "a group of its own"],
)
async def test_a_time_out_kills_what_has_left_the_group_and_descends_from_the_command(
    pool: SshPool, sshd: Sshd, tmp_path: Path, command: str
) -> None:
    pids = tmp_path / "pids"
    command = f"exec bash -c {quote(command.format(pids=pids))}"
    result = await pool.run(sshd.address, command, timeout_s=await moments_s(pool, sshd))
    assert (result.timed_out, result.left_running) == (True, False)
    await all_gone(await read_pids(pids, 2 if "true" in command else 1))


async def test_a_cancelled_caller_leaves_no_process_behind(pool: SshPool, sshd: Sshd, tmp_path: Path) -> None:
    command = f"sleep 1000 & echo $$ $! >{tmp_path}/pids; wait"
    task = asyncio.create_task(pool.run(sshd.address, command, timeout_s=60))
    pids = await read_pids(tmp_path / "pids", 2)
    assert all(is_alive(pid) for pid in pids)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await all_gone(pids)


@pytest.mark.parametrize("delay_s", [0.0, 0.001, 0.003, 0.006, 0.01])
async def test_cancelling_while_the_command_starts_leaves_no_process_behind(
    pool: SshPool, sshd: Sshd, delay_s: float
) -> None:
    await pool.run(sshd.address, "true", timeout_s=PATIENCE_S)
    marker = f"{1000 + delay_s}"
    task = asyncio.create_task(pool.run(sshd.address, f"sleep {marker}", timeout_s=60))
    await asyncio.sleep(delay_s)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    looking = f"while pgrep -x sleep -a | grep -F ' {marker}'; do sleep 0.02; done"
    assert not (await pool.run(sshd.address, looking, timeout_s=PATIENCE_S)).timed_out


async def test_many_commands_at_once_all_answer_through_few_connections(pool: SshPool, sshd: Sshd) -> None:
    command = "sleep 0.1; echo {}; echo $SSH_CONNECTION"
    runs = [pool.run(sshd.address, command.format(number), timeout_s=PATIENCE_S) for number in range(40)]
    answers = [result.stdout.splitlines() for result in await asyncio.gather(*runs)]
    assert [said for said, _ in answers] == [str(number) for number in range(40)]
    assert len({connection for _, connection in answers}) <= 40 / 10 + 1  # sshd_config(5): MaxSessions is 10


async def test_callers_that_come_together_share_one_login(pool: SshPool, own_sshd: Sshd) -> None:
    runs = [pool.run(own_sshd.address, "echo $SSH_CONNECTION", timeout_s=PATIENCE_S) for _ in range(5)]
    assert len({result.stdout for result in await asyncio.gather(*runs)}) == 1


async def test_a_server_with_fewer_sessions_per_connection_is_served_by_more_connections(
    pool: SshPool, tmp_path: Path
) -> None:
    with running_sshd(tmp_path, max_sessions=2) as small:
        runs = [pool.run(small.address, "sleep 0.2; echo done", timeout_s=PATIENCE_S) for _ in range(6)]
        assert {result.stdout for result in await asyncio.gather(*runs)} == {"done\n"}


async def test_the_same_command_runs_on_all_nodes_at_once_and_one_failure_is_its_own(
    pool: SshPool, sshd: Sshd, tmp_path: Path
) -> None:
    one, two = replace(sshd.address, node="one"), replace(sshd.address, node="two")
    dead = replace(sshd.address, node="dead", port=1, connect_timeout_s=0.3)
    meet = (
        f"mktemp -p {tmp_path} met.XXXX >/dev/null; until ls {tmp_path} | grep -c met | grep -q 2; do sleep 0.02; done"
    )
    outcomes = await pool.run_all([one, two, dead], f"{meet}; echo done", timeout_s=PATIENCE_S)
    assert isinstance(outcomes["dead"], SshTimeout)
    for node in ("one", "two"):
        outcome = outcomes[node]
        assert isinstance(outcome, ExecResult)
        assert outcome.stdout == "done\n"


async def test_another_host_key_is_refused_at_once_with_a_remedy(pool: SshPool, sshd: Sshd) -> None:
    address = replace(sshd.address, host_key=generate_host_key()[1])
    with pytest.raises(SshError, match="host key") as caught:  # and not that no login came in time
        await pool.run(address, "true", timeout_s=PATIENCE_S)
    assert caught.value.hint
    assert caught.value.node == "sshd"


async def test_another_client_key_is_refused_at_once_with_a_remedy(pool: SshPool, sshd: Sshd, tmp_path: Path) -> None:
    generate_client_key(tmp_path / "other")
    with pytest.raises(SshError, match="refuses the key") as caught:
        await pool.run(replace(sshd.address, key_path=tmp_path / "other"), "true", timeout_s=PATIENCE_S)
    assert caught.value.hint


async def test_a_missing_key_file_is_named(pool: SshPool, sshd: Sshd, tmp_path: Path) -> None:
    with pytest.raises(SshError, match="absent"):
        await pool.run(replace(sshd.address, key_path=tmp_path / "absent"), "true", timeout_s=PATIENCE_S)
