"""Connections that die, stall or are not there yet, with a real sshd that is killed, frozen and restarted."""

import asyncio
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import SshError, SshTimeout
from reconciler.guest.keys import generate_client_key
from reconciler.guest.pool import SshPool
from tests.sshd import Sshd, moments_s
from tests.waiting import PATIENCE_S, eventually

NOTICED_WITHIN_S = 15.0
"""Before a handshake without an answer is given up (20 s), and before the keep-alive notices (30 s)."""


async def test_a_killed_session_is_replaced_without_the_caller_seeing_it(pool: SshPool, own_sshd: Sshd) -> None:
    await pool.run(own_sshd.address, "true", timeout_s=PATIENCE_S)
    own_sshd.signal_sessions(signal.SIGKILL)
    assert (await pool.run(own_sshd.address, "echo again", timeout_s=PATIENCE_S)).stdout == "again\n"


async def test_a_restarted_server_is_found_again_while_the_caller_waits(pool: SshPool, own_sshd: Sshd) -> None:
    await pool.run(own_sshd.address, "true", timeout_s=PATIENCE_S)
    own_sshd.stop()
    waiting = asyncio.create_task(pool.run(own_sshd.address, "echo again", timeout_s=PATIENCE_S))
    await asyncio.sleep(0.3)
    own_sshd.start()
    assert (await waiting).stdout == "again\n"


async def test_a_frozen_session_is_noticed_and_the_command_runs_once(
    pool: SshPool, own_sshd: Sshd, tmp_path: Path
) -> None:
    await pool.run(own_sshd.address, "true", timeout_s=PATIENCE_S)
    own_sshd.signal_sessions(signal.SIGSTOP)
    started = time.monotonic()
    result = await pool.run(own_sshd.address, f"echo ran >>{tmp_path}/runs; echo done", timeout_s=PATIENCE_S)
    assert result.stdout == "done\n"
    assert time.monotonic() - started < NOTICED_WITHIN_S
    own_sshd.signal_sessions(signal.SIGCONT)
    await pool.run(own_sshd.address, "true", timeout_s=PATIENCE_S)
    assert (tmp_path / "runs").read_text() == "ran\n"


async def test_a_session_that_is_only_slow_answers_on_its_own_connection(pool: SshPool, own_sshd: Sshd) -> None:
    before = await pool.run(own_sshd.address, "echo $SSH_CONNECTION", timeout_s=PATIENCE_S)
    own_sshd.freeze()
    waiting = asyncio.create_task(pool.run(own_sshd.address, "echo $SSH_CONNECTION", timeout_s=PATIENCE_S))
    await asyncio.sleep(1.5)
    own_sshd.signal_sessions(signal.SIGCONT)
    assert (await waiting).stdout == before.stdout


async def test_a_command_whose_connection_is_lost_is_an_error_and_is_not_run_again(
    pool: SshPool, own_sshd: Sshd, tmp_path: Path
) -> None:
    command = f"echo ran >>{tmp_path}/runs; sleep 1000"
    running = asyncio.create_task(pool.run(own_sshd.address, command, timeout_s=PATIENCE_S))
    await eventually((tmp_path / "runs").exists)
    own_sshd.signal_sessions(signal.SIGKILL)
    with pytest.raises(SshError, match="lost while the command ran"):
        await running
    await pool.run(own_sshd.address, "true", timeout_s=PATIENCE_S)
    assert (tmp_path / "runs").read_text() == "ran\n"


async def test_a_time_out_on_a_silent_node_says_that_the_end_is_not_confirmed(
    pool: SshPool, own_sshd: Sshd, tmp_path: Path
) -> None:
    timeout_s = await moments_s(pool, own_sshd)
    command = f"touch {tmp_path}/begun; sleep 1000"
    running = asyncio.create_task(pool.run(own_sshd.address, command, timeout_s=timeout_s))
    await eventually((tmp_path / "begun").exists)
    own_sshd.signal_sessions(signal.SIGSTOP)
    with pytest.raises(SshTimeout, match="did not confirm"):
        await running


async def test_a_dropped_node_gets_a_new_connection_and_its_commands_end(
    pool: SshPool, own_sshd: Sshd, tmp_path: Path
) -> None:
    before = await pool.run(own_sshd.address, "echo $SSH_CONNECTION", timeout_s=PATIENCE_S)
    command = f"touch {tmp_path}/begun; sleep 1000"
    running = asyncio.create_task(pool.run(own_sshd.address, command, timeout_s=PATIENCE_S))
    await eventually((tmp_path / "begun").exists)
    pool.drop("loopback", "sshd")
    with pytest.raises(SshError, match="lost"):
        await running
    after = await pool.run(own_sshd.address, "echo $SSH_CONNECTION", timeout_s=PATIENCE_S)
    assert after.stdout != before.stdout


async def test_dropping_another_node_changes_nothing(pool: SshPool, own_sshd: Sshd) -> None:
    before = await pool.run(own_sshd.address, "echo $SSH_CONNECTION", timeout_s=PATIENCE_S)
    pool.drop("loopback", "other")
    pool.drop("other", "sshd")
    assert (await pool.run(own_sshd.address, "echo $SSH_CONNECTION", timeout_s=PATIENCE_S)).stdout == before.stdout


async def test_a_login_that_is_dropped_while_it_goes_on_is_started_again(pool: SshPool, own_sshd: Sshd) -> None:
    running = asyncio.create_task(pool.run(own_sshd.address, "echo done", timeout_s=PATIENCE_S))
    await asyncio.sleep(0.005)
    pool.drop("loopback", "sshd")
    assert (await running).stdout == "done\n"


async def test_the_time_out_covers_the_login(pool: SshPool, own_sshd: Sshd) -> None:
    own_sshd.stop()
    started = time.monotonic()
    with pytest.raises(SshTimeout, match="refused"):
        await pool.run(own_sshd.address, "true", timeout_s=0.6)
    assert 0.3 < time.monotonic() - started < NOTICED_WITHIN_S


async def test_waiting_ends_as_soon_as_the_node_takes_a_login(pool: SshPool, own_sshd: Sshd) -> None:
    own_sshd.stop()
    waiting = asyncio.create_task(pool.wait_until_reachable(own_sshd.address, timeout_s=PATIENCE_S))
    await asyncio.sleep(0.4)
    assert not waiting.done()
    own_sshd.start()
    await waiting
    assert pool.is_connected(own_sshd.address)


async def test_a_node_that_was_reachable_is_asked_again(pool: SshPool, own_sshd: Sshd) -> None:
    await pool.wait_until_reachable(own_sshd.address, timeout_s=PATIENCE_S)
    own_sshd.signal_sessions(signal.SIGSTOP)
    await pool.wait_until_reachable(own_sshd.address, timeout_s=PATIENCE_S)
    own_sshd.signal_sessions(signal.SIGSTOP)
    own_sshd.stop()
    with pytest.raises(SshTimeout):
        await pool.wait_until_reachable(own_sshd.address, timeout_s=2)


async def test_waiting_bears_a_key_that_is_put_in_later(pool: SshPool, own_sshd: Sshd, tmp_path: Path) -> None:
    authorized = tmp_path / "authorized_keys"
    ours = authorized.read_text()
    authorized.write_text("")
    waiting = asyncio.create_task(pool.wait_until_reachable(own_sshd.address, timeout_s=PATIENCE_S))
    await asyncio.sleep(0.3)
    authorized.write_text(ours)
    await waiting


async def test_waiting_in_vain_says_why(pool: SshPool, own_sshd: Sshd, tmp_path: Path) -> None:
    generate_client_key(tmp_path / "other")
    timeout_s = 2 + await moments_s(pool, own_sshd)
    with pytest.raises(SshError, match="refuses the key"):
        await pool.wait_until_reachable(replace(own_sshd.address, key_path=tmp_path / "other"), timeout_s=timeout_s)
    own_sshd.stop()
    with pytest.raises(SshTimeout, match="last error"):
        await pool.wait_until_reachable(own_sshd.address, timeout_s=0.3)


async def test_a_frozen_node_does_not_stretch_a_short_time_out(pool: SshPool, own_sshd: Sshd) -> None:
    await pool.run(own_sshd.address, "true", timeout_s=PATIENCE_S)
    own_sshd.freeze()
    started = time.monotonic()
    with pytest.raises(SshTimeout):
        await pool.run(own_sshd.address, "true", timeout_s=0.4)
    assert time.monotonic() - started < NOTICED_WITHIN_S


async def test_asking_often_uses_up_no_sessions(pool: SshPool, own_sshd: Sshd) -> None:
    for _ in range(30):
        await pool.wait_until_reachable(own_sshd.address, timeout_s=PATIENCE_S)
    assert (await pool.run(own_sshd.address, "echo done", timeout_s=PATIENCE_S)).stdout == "done\n"
    assert len(own_sshd.session_pids()) <= 2
