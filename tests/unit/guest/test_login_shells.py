"""Nodes whose user has a login shell that is none of POSIX: a command means the same there, and runs once."""

import shutil
from pathlib import Path

import pytest

from reconciler.guest.command import OTHER_SHELLS
from reconciler.guest.pool import SshPool
from tests.sshd import moments_s, running_sshd
from tests.waiting import PATIENCE_S

SHELLS = [shell for shell in ("bash", "zsh", "fish", "tcsh") if shutil.which(shell)]
OTHERS = [shell for shell in SHELLS if shell in OTHER_SHELLS]


def test_there_is_a_shell_of_another_grammar_to_test_with() -> None:
    assert OTHERS, "install fish or tcsh"


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_command_means_the_same_in_every_login_shell(shell: str, pool: SshPool, tmp_path: Path) -> None:
    count = tmp_path / "count"
    command = f"""x="$V"; echo ran >>{count}; read -r line; printf '%s|' "$x" "$line" a!b; echo $((1+1)) >&2
for i in 1 2; do echo $i; done # {{}}~*?[] ü
exit 3"""
    streamed: list[bytes] = []
    with running_sshd(tmp_path, login_shell=shutil.which(shell)) as sshd:
        for runs in (1, 2):
            done = await pool.run(
                sshd.address,
                command,
                timeout_s=PATIENCE_S,
                env={"V": "it's $HOME"},
                stdin=b"in\n",
                on_stderr=streamed.append,
            )
            assert (done.exit_code, done.stdout) == (3, "it's $HOME|in|a!b|1\n2\n")
            assert b"".join(streamed) == b"2\n" * runs, "the output of the other shell is not shown"
            assert count.read_text() == "ran\n" * runs
        assert not (tmp_path / "2").exists(), "csh takes >&2 for a file"
        broken = await pool.run(sshd.address, "echo (", timeout_s=PATIENCE_S)
        assert (broken.exit_code != 0, "syntax error" in broken.stderr.lower() or shell == "zsh") == (True, True)


@pytest.mark.parametrize("shell", OTHERS)
async def test_a_time_out_ends_a_command_under_every_login_shell(shell: str, pool: SshPool, tmp_path: Path) -> None:
    with running_sshd(tmp_path, login_shell=shutil.which(shell)) as sshd:
        patience_s = await moments_s(pool, sshd)
        ended = await pool.run(sshd.address, "echo begun; sleep 1000; true", timeout_s=patience_s)
        assert (ended.timed_out, ended.left_running, ended.stdout) == (True, False, "begun\n")
