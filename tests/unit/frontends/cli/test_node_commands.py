"""What `exec` makes of its words, and how it passes output on."""

import asyncio
import io
import json
import sys
from pathlib import Path

import pytest
import typer

from reconciler.frontends.cli import node_commands
from reconciler.frontends.cli.app import run_command_line
from reconciler.frontends.cli.node_commands import Target, command_line, parse_environment, split_words, with_prefix
from reconciler.frontends.cli.remote_output import Outlet
from reconciler.guest.command import OnOutput
from reconciler.model.results import ExecAllResult, ExecResult, ToolError
from reconciler.usecases.nodes import Nodes


def result(stdout: str = "", stderr: str = "", **more: object) -> ExecResult:
    fields = {"exit_code": 0, "duration_s": 0.1, "timed_out": False, **more}
    return ExecResult.model_validate({"stdout": stdout, "stderr": stderr, **fields})


def test_one_word_is_a_shell_command_line_as_it_is() -> None:
    assert command_line(["cd /tmp && ls *"]) == "cd /tmp && ls *"


def test_several_words_reach_the_remote_shell_as_the_same_words() -> None:
    assert command_line(["echo", "a b", "$HOME", "it's"]) == """echo 'a b' '$HOME' 'it'"'"'s'"""


def test_the_first_word_is_the_node_unless_nodes_are_said_otherwise() -> None:
    assert split_words(["n", "uname", "-r"], everywhere=False, nodes=None) == (Target("n", None), "uname -r")
    assert split_words(["uname", "-r"], everywhere=True, nodes=None) == (Target(None, None), "uname -r")
    assert split_words(["id"], everywhere=False, nodes="a,b") == (Target(None, ("a", "b")), "id")


@pytest.mark.parametrize(
    ("words", "everywhere", "chosen", "told"),
    [
        (["n"], False, None, "name a node"),
        (["x"], True, "a", "either --all or --nodes"),
        (["x"], False, ",", "does not name any node"),
        (["x"], False, "", "does not name any node"),
        (["a,b", "id"], False, None, "--nodes a,b"),
        ([], False, None, "name a node"),
        ([], True, None, "name a command"),
        ([], False, "a", "name a command"),
    ],
)
def test_a_missing_or_doubled_target_is_refused(
    words: list[str], everywhere: bool, chosen: str | None, told: str
) -> None:
    with pytest.raises(typer.BadParameter, match=told):
        split_words(words, everywhere=everywhere, nodes=chosen)


def test_the_environment_keeps_everything_after_the_first_equals_sign() -> None:
    assert parse_environment(["A=b=c", "EMPTY="]) == {"A": "b=c", "EMPTY": ""}
    with pytest.raises(typer.BadParameter, match="NAME=VALUE"):
        parse_environment(["A"])


def test_every_line_gets_its_prefix_and_an_end() -> None:
    assert with_prefix("n: ", "a\n\nb") == "n: a\nn: \nn: b\n"
    assert with_prefix("n: ", "a\n") == "n: a\n"
    assert with_prefix("n: ", "") == ""


def test_output_of_one_node_is_passed_on_as_it_comes(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    seen: list[bytes] = []

    async def talk(*_: object, on_stdout: OnOutput, on_stderr: OnOutput, **__: object) -> ExecResult:
        on_stdout(b"\x1b[31mr\xff\0")
        seen.append(capfdbinary.readouterr().out)
        on_stderr(b"\xfeerr")
        return result(exit_code=7)

    monkeypatch.setattr(Nodes, "run", talk)
    assert run_command_line(["exec", "lab", "n", "--", "true"]) == 7
    assert seen == [b"\x1b[31mr\xff\0"]
    assert capfdbinary.readouterr() == (b"", b"\xfeerr")


def test_output_as_data_is_text_that_says_what_was_replaced(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def talk(*_: object, on_stdout: object, **__: object) -> ExecResult:
        assert on_stdout is None
        return result("a\ufffd", stdout_replaced=True)

    monkeypatch.setattr(Nodes, "run", talk)
    assert run_command_line(["exec", "lab", "n", "-o", "json", "--", "true"]) == 0
    assert json.loads(capfd.readouterr().out).items() >= {"stdout": "a\ufffd", "stdout_replaced": True}.items()


async def test_a_reader_that_goes_away_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[bool] = []

    def broken(*_: object) -> None:
        raise BrokenPipeError

    async def talk(outlet: Outlet) -> int:
        try:
            outlet.on_stdout(b"x")
            outlet.on_stdout(b"x")
            await asyncio.sleep(10)
            return 0
        finally:
            ended.append(True)

    monkeypatch.setattr("reconciler.frontends.cli.remote_output.write_bytes", broken)
    monkeypatch.setattr("reconciler.frontends.cli.remote_output.silence_stdout", lambda: None)
    outlet = Outlet()
    assert await outlet.passing(talk(outlet)) is None
    assert ended == [True]


def test_a_cut_or_timed_out_command_is_remarked_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    node_commands._remark(
        result("abc", timed_out=True, exit_code=124, stdout_truncated=True, stdout_omitted_bytes=3), "n"
    )
    assert capfd.readouterr().err == (
        "n: timed out after 0.1 s; the command was killed\nn: 3 bytes of the command's output were omitted\n"
    )


def test_output_of_many_nodes_is_told_apart_and_nodes_without_an_answer_are_named(
    capfd: pytest.CaptureFixture[str],
) -> None:
    error = ToolError.model_validate(
        {"code": "SSH_TIMEOUT", "message": "node b: no login", "node": "b", "recoverable": True}
    )
    answers = ExecAllResult(
        results={
            "a": result("1\n2\n", "w\n"),
            "c": result(exit_code=3),
            "d": result(exit_code=124, timed_out=True),
        },
        all_succeeded=False,
        failed_nodes=("b", "c", "d"),
        errors={"b": error},
    )
    node_commands._pass_on_all(answers)
    out, err = capfd.readouterr()
    assert out == "a: 1\na: 2\n"
    assert err.startswith("a: w\n")
    assert "\nb: error [SSH_TIMEOUT] no login\n" in err
    assert err.endswith("\nfailed on 3 of 4 nodes: b (SSH_TIMEOUT), c (exit 3), d (timed out)\n")


def test_standard_input_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_commands, "STDIN_LIMIT_BYTES", 4)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"12345")))
    with pytest.raises(typer.BadParameter, match="longer than 4 bytes"):
        node_commands.standard_input()
