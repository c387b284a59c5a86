"""Commands that copy files to and from nodes, and show consoles."""

# ruff: noqa: PLC0415  imports wait until a command runs

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.kernel_log_commands import Nodes, SinceMarker, node_names
from reconciler.frontends.cli.options import Cluster, Node, Output, OutputFormat, more_than_zero
from reconciler.frontends.cli.output import narrate, prints, quiet_pipe
from reconciler.frontends.cli.session import FAILURE, CommandEnding, present, run_command
from reconciler.frontends.cli.text import one_line
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.model.kernel_log import ConsoleResult
    from reconciler.model.transfer import TransferResult

app = Commands()

Timeout = Annotated[
    float,
    typer.Option(
        "--timeout", metavar="SECONDS", callback=more_than_zero, help="Time limit for the whole copy, per node."
    ),
]


@app.command(examples=("push lab ./module.ko /root/module.ko --nodes n0,n1",))
@prints
def push(
    cluster: Cluster,
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A file or directory on this host.")],
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", help="Its exact path on the nodes.")],
    nodes: Nodes = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an existing directory and everything in it.")
    ] = False,
    timeout: Timeout = 600.0,
    output: Output = OutputFormat.TABLE,
) -> "TransferResult":
    """Copy a file or directory to nodes, with modes and times. It appears complete or not at all."""

    return present(
        lambda use: use.transfers.push(
            cluster, source, destination, nodes=node_names(nodes), replace=replace, timeout_s=timeout
        ),
        CommandEnding(output=output),
    )


@app.command(examples=("pull lab n0 /var/log ./n0-log",))
@prints
def pull(
    cluster: Cluster,
    node: Node,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A file or directory on the node.")],
    destination: Annotated[Path, typer.Argument(metavar="DESTINATION", help="Its exact path on this host.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace an existing file.")] = False,
    timeout: Timeout = 600.0,
    output: Output = OutputFormat.TABLE,
) -> "TransferResult":
    """Copy a file or directory from a node, with modes and times. An existing directory is never replaced."""

    return present(
        lambda use: use.transfers.pull(cluster, node, source, destination, replace=replace, timeout_s=timeout),
        CommandEnding(output=output),
    )


_WHY_ENDED = "the machine stopped, or another user took over the console; see `vmcluster status`"
_BY_SIGNAL = 128
"""A shell's exit code for a process killed by a signal is this plus the signal's number."""

Tail = Annotated[
    int, typer.Option("--tail", "-n", metavar="LINES", min=1, help="How many lines to show, counted from the end.")
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines until interrupted.")]


@app.command(examples=("console lab n0 --follow", "console lab n0 --attach"))
@prints
def console(
    ctx: typer.Context,
    cluster: Cluster,
    node: Node,
    tail: Tail = 100,
    since: SinceMarker = None,
    follow: Follow = False,
    attach: Annotated[
        bool, typer.Option("--attach", "-a", help="Attach the terminal to the serial console; Ctrl-] detaches.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --attach: disconnect another user of the console.")
    ] = False,
    output: Output = OutputFormat.TABLE,
) -> "ConsoleResult":
    """Show a node's serial console; with --attach, type on it.

    The log is there even if the node is dead or off.

    Most images run a login on ttyS0, which needs a password. `user_data` can set one: `chpasswd: {expire: false, users:
    [{name: root, password: …, type: text}]}`.
    """
    if force and not attach:
        raise typer.BadParameter("needs --attach", param_hint="--force")
    if attach:
        _require_alone(ctx)
        _attach(cluster, node, force=force)
    return _show_log(cluster, node, tail=tail, since=since, follow=follow, output=output)


@app.command(examples=("logs lab n0 --tail 50",))
@prints
def logs(
    cluster: Cluster,
    node: Node,
    tail: Tail = 100,
    since: SinceMarker = None,
    follow: Follow = False,
    output: Output = OutputFormat.TABLE,
) -> "ConsoleResult":
    """Show the log of a node's serial console, as `console` does."""
    return _show_log(cluster, node, tail=tail, since=since, follow=follow, output=output)


def _require_alone(ctx: typer.Context) -> None:
    """Refuse options that apply to the console's log: `--attach` only shows what is printed from now on."""
    for name in ("tail", "since", "follow", "output"):
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter("cannot be used with --attach", param_hint=f"--{name}")


def _attach(cluster: str, node: str, *, force: bool) -> NoReturn:
    """Connect the terminal to the serial console, and restore it afterwards."""
    from reconciler.frontends.cli.terminal import Keyboard, is_terminal, show_bytes

    if not is_terminal():
        raise typer.BadParameter(
            "needs a terminal; `vmcluster logs` shows the console's log, and `vmcluster exec` runs a command",
            param_hint="--attach",
        )

    async def work(use: UseCases) -> int:
        keyboard = Keyboard()
        with ExitStack() as terminal:

            def attached() -> None:
                narrate(f"attached to the serial console of {node}; Ctrl-] detaches")
                terminal.enter_context(keyboard.taken())

            left = await use.consoles.attach(
                cluster, node, keyboard.typed(), show_bytes, force=force, on_attached=attached
            )
        narrate("")
        narrate(
            f"detached from the serial console of {node}"
            if left
            else f"the serial console of {node} was closed: {_WHY_ENDED}"
        )
        if keyboard.signalled:
            return _BY_SIGNAL + keyboard.signalled
        return 0 if left else FAILURE

    raise typer.Exit(run_command(work))


def _show_log(
    cluster: str, node: str, *, tail: int, since: str | None, follow: bool, output: OutputFormat
) -> "ConsoleResult":
    if follow and output is not OutputFormat.TABLE:
        raise typer.BadParameter(f"prints plain lines, not {output.value}", param_hint="--follow")

    result = present(
        lambda use: use.consoles.show(cluster, node, tail=tail, since_marker=since),
        CommandEnding(output=output),
    )

    async def go_on(use: UseCases) -> None:
        async for line in use.consoles.follow(cluster, node):
            with quiet_pipe():
                typer.echo(one_line(line))

    if follow:
        run_command(go_on)
    return result
