"""Commands that run something in nodes."""

# ruff: noqa: PLC0415  imports wait until a command runs

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_nodes, complete_target
from reconciler.frontends.cli.options import Cluster, Node, Output, OutputFormat, more_than_zero
from reconciler.frontends.cli.output import BROKEN_PIPE_EXIT_CODE, emit, exit_with, narrate, prints, tell_unprinted
from reconciler.frontends.cli.remote_command import RemoteCommand
from reconciler.frontends.cli.remote_output import Outlet, write_bytes
from reconciler.frontends.cli.session import CommandEnding, run_command
from reconciler.programs import clean_environment
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.model.results import ExecAllResult, ExecResult

OWN_FAILURE = 255
"""The exit code for vmcluster's own errors, as in ssh(1): lower codes are the remote command's."""

PASSES_CODES_ON = frozenset({"exec", "ssh"})
"""The commands that exit with the remote command's code."""

STDIN_LIMIT_BYTES = 64 * 1024 * 1024
_WHOLE_BYTES = 1024**3  # of output that is collected instead of streamed

app = Commands()


@dataclass(frozen=True, slots=True)
class Target:
    """Where a command runs: one node, several, or (None) all of them."""

    node: str | None
    nodes: tuple[str, ...] | None


@app.command(
    "exec",
    cls=RemoteCommand,
    examples=("exec lab n0 -- uname -r", "exec lab --all -- 'dmesg | tail -n 3'", "exec lab n0 -i -- sh <script.sh"),
)
@prints
def execute(
    cluster: Cluster,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NODE] [--] COMMAND...",
            help="A node (unless --all or --nodes is given), then the command. A single word is passed to the "
            "node's shell as it is; several words are quoted, so that the shell sees the same words.",
            autocompletion=complete_target,
        ),
    ] = None,
    everywhere: Annotated[bool, typer.Option("--all", help="Run it on all nodes in parallel.")] = False,
    nodes: Annotated[
        str | None,
        typer.Option(
            "--nodes", metavar="A,B", help="Run it on these nodes in parallel.", autocompletion=complete_nodes
        ),
    ] = None,
    stdin: Annotated[bool, typer.Option("--stdin", "-i", help="Pass all of standard input to the command.")] = False,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="SECONDS", callback=more_than_zero, help="Time limit for login and command together."
        ),
    ] = 30.0,
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env", "-e", metavar="NAME=VALUE", help="Set a variable in the command's environment; can be repeated."
        ),
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> "ExecResult | ExecAllResult":
    """Run a shell command on one node, or on many in parallel.

    Standard output and standard error are passed on byte for byte as they arrive, and the exit code is the command's:
    124 after a timeout, 255 when the command could not be run or the command line is wrong. On many nodes each line
    starts with the node's name, the nodes that failed are named last, and the exit code is the highest one.
    """
    target, command = split_words(words or (), everywhere=everywhere, nodes=nodes)
    variables = parse_environment(env or ())
    given = standard_input() if stdin else None
    how_to_end = CommandEnding(output=output, failure_code=OWN_FAILURE)
    if target.node is not None:
        return _run_on_one(cluster, target.node, command, variables, how_to_end, stdin=given, timeout_s=timeout)
    return _run_on_many(cluster, target.nodes, command, variables, how_to_end, stdin=given, timeout_s=timeout)


@app.command(cls=RemoteCommand, examples=("ssh lab n0", "ssh lab n0 -- journalctl -b"))
def ssh(
    cluster: Cluster,
    node: Node,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[[--] COMMAND...]", help="A command to run. Default: a login shell.")
    ] = None,
    terminal: Annotated[bool, typer.Option("--tty", "-t", help="Allocate a terminal for the command.")] = False,
) -> None:
    """Log in to a node with ssh; its host key is verified."""
    remote = [command_line(words)] if words else []

    async def work(use: UseCases) -> list[str]:
        from reconciler.usecases.login import login_command

        return await login_command(use.runtime, cluster, node, remote, terminal=terminal)

    arguments = run_command(work, CommandEnding(failure_code=OWN_FAILURE))
    try:
        os.chdir("/")
        os.execve(arguments[0], arguments, clean_environment())  # noqa: S606  an argument vector built here
    except OSError as error:
        narrate(f"error: {arguments[0]} cannot be run: {error.strerror}")
        raise typer.Exit(OWN_FAILURE) from None


def split_words(words: Sequence[str], *, everywhere: bool, nodes: str | None) -> tuple[Target, str]:
    """The target and the command. Raises a usage error when either is missing or given twice."""
    if everywhere and nodes is not None:
        raise typer.BadParameter("use either --all or --nodes, not both")
    names = tuple(name for name in (nodes or "").split(",") if name)
    if nodes is not None and not names:
        raise typer.BadParameter("does not name any node", param_hint="--nodes")
    if (everywhere or names) and not words:
        raise typer.BadParameter("name a command to run: vmcluster exec CLUSTER --all -- COMMAND")
    if everywhere or names:
        return Target(None, names or None), command_line(words)
    if len(words) < 2:  # noqa: PLR2004  a node and a command
        raise typer.BadParameter(
            "name a node (or pass --all), then the command: vmcluster exec CLUSTER NODE -- COMMAND"
        )
    if "," in words[0]:
        raise typer.BadParameter(f"{words[0]!r} is no node: pass several with --nodes {words[0]}")
    return Target(words[0], None), command_line(words[1:])


def command_line(words: Sequence[str]) -> str:
    """A single word is a shell command line; several words are quoted, so that the remote shell sees the same words."""
    return words[0] if len(words) == 1 else shlex.join(words)


def parse_environment(assignments: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE` words as a mapping; invalid names are refused later, when the command is run."""
    pairs = [assignment.partition("=") for assignment in assignments]
    for name, equals, _ in pairs:
        if not equals:
            raise typer.BadParameter(f"{name!r} is not NAME=VALUE", param_hint="--env")
    return {name: value for name, _, value in pairs}


def _run_on_one(
    cluster: str,
    node: str,
    command: str,
    env: dict[str, str],
    how_to_end: CommandEnding,
    *,
    stdin: bytes | None,
    timeout_s: float,
) -> "ExecResult":
    outlet = Outlet() if how_to_end.output is OutputFormat.TABLE else None

    async def work(use: UseCases) -> "ExecResult | None":
        running = use.nodes.run(
            cluster,
            node,
            command,
            timeout_s=timeout_s,
            env=env,
            stdin=stdin,
            on_stdout=outlet.on_stdout if outlet else None,
            on_stderr=outlet.on_stderr if outlet else None,
            output_limit_bytes=_WHOLE_BYTES,
        )
        return await (outlet.passing(running) if outlet else running)

    result = run_command(work, how_to_end)
    if result is None:
        raise typer.Exit(_after_output(outlet))
    emit(result, how_to_end.output, lambda shown: _remark(shown, node))
    return exit_with(result, result.exit_code)


def _after_output(outlet: Outlet | None) -> int:
    """The exit code where a command was ended because its output went no further."""
    if outlet is None or outlet.trouble is None:
        return BROKEN_PIPE_EXIT_CODE
    tell_unprinted(outlet.trouble)
    return OWN_FAILURE


def _run_on_many(
    cluster: str,
    nodes: tuple[str, ...] | None,
    command: str,
    env: dict[str, str],
    how_to_end: CommandEnding,
    *,
    stdin: bytes | None,
    timeout_s: float,
) -> "ExecAllResult":
    result = run_command(
        lambda use: use.nodes.run_all(
            cluster,
            command,
            nodes=nodes,
            require_all=False,
            timeout_s=timeout_s,
            env=env,
            stdin=stdin,
            output_limit_bytes=_WHOLE_BYTES,
        ),
        how_to_end,
    )
    emit(result, how_to_end.output, _pass_on_all)
    codes = [OWN_FAILURE if result.errors else 0, *(each.exit_code for each in result.results.values())]
    return exit_with(result, max(codes))


def standard_input() -> bytes:
    """All of standard input; read before the event loop starts, so that Ctrl-C still interrupts it."""
    data = sys.stdin.buffer.read(STDIN_LIMIT_BYTES + 1)
    if len(data) > STDIN_LIMIT_BYTES:
        raise typer.BadParameter(
            f"is longer than {STDIN_LIMIT_BYTES} bytes; copy large files with `vmcluster push`, or rsync or scp as "
            "`vmcluster handle` says",
            param_hint="standard input",
        )
    return data


def _pass_on_all(result: "ExecAllResult") -> None:
    """Print each line with its node's name."""
    for node, each in result.results.items():
        _write(with_prefix(f"{node}: ", each.stdout), with_prefix(f"{node}: ", each.stderr))
        _remark(each, node)
    for node, error in result.errors.items():
        narrate(f"{node}: error [{error.code}] {error.message.removeprefix(f'node {node}: ')}")
    if result.failed_nodes:
        asked = len(result.results.keys() | result.errors.keys())
        causes = ", ".join(f"{node} ({_cause(node, result)})" for node in result.failed_nodes)
        narrate(f"failed on {len(result.failed_nodes)} of {asked} nodes: {causes}")


def _cause(node: str, result: "ExecAllResult") -> str:
    if node in result.errors:
        return result.errors[node].code
    ended = result.results[node]
    return "timed out" if ended.timed_out else f"exit {ended.exit_code}"


def _write(out: str, err: str) -> None:
    """Print text unescaped: what it does to a terminal is the remote command's business."""
    for stream, text in ((sys.stdout, out), (sys.stderr, err)):
        stream.flush()
        write_bytes(stream, text.encode())


def with_prefix(prefix: str, text: str) -> str:
    """The text with a prefix on every line, and with a final line end."""
    return "".join(f"{prefix}{line}\n" for line in text.removesuffix("\n").split("\n")) if text else ""


def _remark(result: "ExecResult", node: str) -> None:
    if result.timed_out:
        left = ", but a service that it started is still running" if result.left_running else ""
        narrate(f"{node}: timed out after {result.duration_s:.1f} s; the command was killed{left}")
    for stream, omitted in (("output", result.stdout_omitted_bytes), ("error output", result.stderr_omitted_bytes)):
        if omitted:
            narrate(f"{node}: {omitted} bytes of the command's {stream} were omitted")
    if result.stdout_replaced or result.stderr_replaced:
        narrate(f"{node}: the command's output is not valid UTF-8; run it on a single node to get it unchanged")
