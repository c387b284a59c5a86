"""The commands that copy files to and from nodes, and show their consoles."""

# ruff: noqa: PLC0415  imports wait until a command runs

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.kernel_logs import Nodes, SinceMarker, node_names
from reconciler.frontends.cli.options import Cluster, Node, Output, OutputFormat, more_than_zero
from reconciler.frontends.cli.output import narrate, prints, quiet_pipe
from reconciler.frontends.cli.session import FAILURE, CommandUseCases, Manner, conduct, present
from reconciler.frontends.cli.text import one_line

if TYPE_CHECKING:
    from reconciler.model.kernel_log import ConsoleResult
    from reconciler.model.transfer import TransferResult

app = Commands()

Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", callback=more_than_zero, help="For the whole copy, per node.")
]


@app.command()
@prints
def push(
    cluster: Cluster,
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A file or directory here.")],
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", help="Where exactly it goes on the nodes.")],
    nodes: Nodes = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a directory that is there, with all that is in it.")
    ] = False,
    timeout: Timeout = 600.0,
    output: Output = OutputFormat.TABLE,
) -> "TransferResult":
    """Copy a file or directory to nodes, with modes and times. It appears there whole or not at all."""

    async def work(use: CommandUseCases) -> "TransferResult":
        return await use.transfers.push(
            cluster,
            source,
            destination,
            nodes=node_names(nodes),
            replace=replace,
            timeout_s=timeout,
            progress=use.progress,
        )

    return present(work, Manner(output=output), _show_transfer)


@app.command()
@prints
def pull(
    cluster: Cluster,
    node: Node,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A file or directory on the node.")],
    destination: Annotated[Path, typer.Argument(metavar="DESTINATION", help="Where exactly it goes here.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace a file that is here.")] = False,
    timeout: Timeout = 600.0,
    output: Output = OutputFormat.TABLE,
) -> "TransferResult":
    """Copy a file or directory from a node, with modes and times. A directory that is here is never replaced."""

    async def work(use: CommandUseCases) -> "TransferResult":
        return await use.transfers.pull(
            cluster, node, source, destination, replace=replace, timeout_s=timeout, progress=use.progress
        )

    return present(work, Manner(output=output), _show_transfer)


_WHY_ENDED = "its machine ended, or somebody else took the line; see `vmcluster status`"
_BY_SIGNAL = 128
"""What a shell adds to a signal for the exit code of what it ended."""

Tail = Annotated[int, typer.Option("--tail", "-n", metavar="LINES", min=1, help="How many lines of the end.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until interrupted.")]


@app.command()
@prints
def console(
    ctx: typer.Context,
    cluster: Cluster,
    node: Node,
    tail: Tail = 100,
    since: SinceMarker = None,
    follow: Follow = False,
    attach: Annotated[
        bool, typer.Option("--attach", "-a", help="Type on the serial line and see what it shows; Ctrl-] leaves it.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="With --attach: throw somebody else off the line.")] = False,
    output: Output = OutputFormat.TABLE,
) -> "ConsoleResult":
    """Show a node's serial console, also of a dead node or one that is off; with --attach, type on it.

    What answers is what the guest runs on ttyS0: most images a login, which needs a password. `user_data` sets one:
    `chpasswd: {expire: false, users: [{name: root, password: …, type: text}]}`.
    """
    if force and not attach:
        raise typer.BadParameter("is for --attach", param_hint="--force")
    if attach:
        _require_alone(ctx)
        _attach(cluster, node, force=force)
    return _show_log(cluster, node, tail=tail, since=since, follow=follow, output=output)


@app.command()
@prints
def logs(
    cluster: Cluster,
    node: Node,
    tail: Tail = 100,
    since: SinceMarker = None,
    follow: Follow = False,
    output: Output = OutputFormat.TABLE,
) -> "ConsoleResult":
    """Show what a node's serial console has shown, as `console` does."""
    return _show_log(cluster, node, tail=tail, since=since, follow=follow, output=output)


def _require_alone(ctx: typer.Context) -> None:
    """Refuse what is for a log where there is none: `--attach` shows what comes, as it comes."""
    for name in ("tail", "since", "follow", "output"):
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter("does not go with --attach", param_hint=f"--{name}")


def _attach(cluster: str, node: str, *, force: bool) -> NoReturn:
    """Hand the terminal to the serial line, and take it back."""
    from reconciler.frontends.cli.terminal import Keyboard, is_terminal, show_bytes

    if not is_terminal():
        raise typer.BadParameter(
            "needs a terminal; `vmcluster logs` shows what the console has shown, and `vmcluster exec` runs a command",
            param_hint="--attach",
        )

    async def work(use: CommandUseCases) -> int:
        keyboard = Keyboard()
        with ExitStack() as terminal:

            def attached() -> None:
                narrate(f"attached to the serial line of {node}; Ctrl-] leaves it")
                terminal.enter_context(keyboard.taken())

            left = await use.consoles.attach(
                cluster, node, keyboard.typed(), show_bytes, force=force, on_attached=attached
            )
        narrate("")
        narrate(f"left the serial line of {node}" if left else f"the serial line of {node} has ended: {_WHY_ENDED}")
        if keyboard.signalled:
            return _BY_SIGNAL + keyboard.signalled
        return 0 if left else FAILURE

    raise typer.Exit(conduct(work))


def _show_log(
    cluster: str, node: str, *, tail: int, since: str | None, follow: bool, output: OutputFormat
) -> "ConsoleResult":
    if follow and output is not OutputFormat.TABLE:
        raise typer.BadParameter(f"prints lines as they come, which are no {output.value}", param_hint="--follow")

    async def show(use: CommandUseCases) -> "ConsoleResult":
        return await use.consoles.show(cluster, node, tail=tail, since_marker=since)

    result = present(show, Manner(output=output), _show_console)

    async def go_on(use: CommandUseCases) -> None:
        async for line in use.consoles.follow(cluster, node):
            with quiet_pipe():
                typer.echo(one_line(line))

    if follow:
        conduct(go_on)
    return result


def _show_console(result: "ConsoleResult") -> None:
    for line in result.lines:
        typer.echo(one_line(line))
    if result.message:
        narrate(result.message)


def _show_transfer(result: "TransferResult") -> None:
    from reconciler.frontends.cli.tables import print_columns

    print_columns(
        ["NODE", "FILES", "DIRECTORIES", "LINKS", "BYTES", "SECONDS"],
        (
            [name, str(of.files), str(of.directories), str(of.symlinks), str(of.size_bytes), f"{of.duration_s:.2f}"]
            for name, of in result.per_node.items()
        ),
    )
    for name, of in result.per_node.items():
        for skipped in of.left_out:
            narrate(f"{name}: left out: {skipped}")
