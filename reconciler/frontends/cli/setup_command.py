"""The command that brings a bare host to its first cluster, and registers the server with MCP clients."""

# ruff: noqa: PLC0415  imports wait until the command runs

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_published
from reconciler.frontends.cli.confirmation import can_be_asked, require_a_yes
from reconciler.frontends.cli.doctor_command import remedy_lines
from reconciler.frontends.cli.options import valid_text
from reconciler.frontends.cli.output import narrate
from reconciler.frontends.cli.session import FAILURE, CommandEnding, run_command
from reconciler.frontends.cli.text import printable
from reconciler.model.names import BASE_IMAGE
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.client_setup.accounts import UserAccount
    from reconciler.client_setup.changed_files import ChangedFile, FileChange
    from reconciler.client_setup.registration import ClientPlan
    from reconciler.usecases.client_registration import Undone
    from reconciler.usecases.host_setup import HostSetupPlan

app = Commands()

_SYMBOLS = {"warning": "!", "failed": "✗"}
_AGAIN = CommandEnding(when_interrupted="run it again to continue")


@app.command(examples=("setup --image debian-12", "setup --clients-only --yes", "setup --undo"))
def setup(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do all of it without asking.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Restore every file as it was, but for what was changed since.")
    ] = False,
    clients_only: Annotated[
        bool, typer.Option("--clients-only", help="Only register the server with MCP clients.")
    ] = False,
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="NAME",
            help="Image of the first cluster: base, the default, is built, others are pulled; or none.",
            autocompletion=complete_published,
            callback=valid_text,
        ),
    ] = None,
) -> None:
    """Prepare this host for its first cluster.

    Installs what is missing (on Debian and Ubuntu, as root; elsewhere it shows
    the commands), makes directories and keys, writes a configuration and a first
    topology, gets an image, and registers the server with the MCP clients that
    it finds: Claude Code, Claude Desktop, VS Code, Cursor, Codex, Gemini CLI.

    Shows everything first, with the difference in each file, and asks. What is
    there stays. Under sudo, the clients are those of the user who called it.
    """
    from reconciler.client_setup.accounts import calling_account

    _refuse_ignored(undo=undo, clients_only=clients_only, image=image)
    account = calling_account(os.environ)
    if undo:
        _undo(account, yes=yes)
    else:
        _set_up(account, None if clients_only else image or BASE_IMAGE, yes=yes)


def _refuse_ignored(*, undo: bool, clients_only: bool, image: str | None) -> None:
    """Raise `BadParameter` for an option that would have no effect beside another one."""
    if undo and (clients_only or image is not None):
        raise typer.BadParameter("--undo restores every file, so it takes no other option than --yes")
    if clients_only and image is not None:
        raise typer.BadParameter("--clients-only gets no image, so it does not go with --image")


def _set_up(account: "UserAccount", image: str | None, *, yes: bool) -> None:
    host, clients = run_command(lambda use: _planned(use, account, image), _AGAIN)
    for line in (*_host_lines(host), *_client_lines(clients)):
        typer.echo(printable(line))
    if (host is None or host.is_empty) and not any(of.change for of in clients):
        typer.echo("nothing to do")
        return
    _require_consent(yes, "Do this?")

    async def work(use: UseCases) -> None:
        from reconciler.usecases.client_registration import register_clients
        from reconciler.usecases.host_setup import carry_out_host_setup

        if host is not None:
            await carry_out_host_setup(use.runtime, host, use.progress)
        register_clients(account, clients, narrate)

    run_command(work, _AGAIN)
    typer.echo("done; `vmcluster setup --undo` restores the files")
    for plan in clients:
        if plan.trouble:
            typer.echo(printable(f"not done: {plan.client.name}: {plan.why}"))
    _tell_of_sudo(account, clients)
    if host is not None and host.files:
        typer.echo("next: `vmcluster doctor`, then `vmcluster apply lab`")


def _tell_of_sudo(account: "UserAccount", clients: "Sequence[ClientPlan]") -> None:
    from reconciler.usecases.client_registration import sudo_rule

    if (rule := sudo_rule(account)) is not None and clients:
        typer.echo("the clients start the server with sudo, which a rule in /etc/sudoers.d has to allow:")
        typer.echo(printable(f"  {rule}"))


async def _planned(
    use: UseCases, account: "UserAccount", image: str | None
) -> "tuple[HostSetupPlan | None, list[ClientPlan]]":
    from reconciler.usecases.client_registration import planned_registrations
    from reconciler.usecases.host_setup import plan_host_setup

    clients = planned_registrations(account)  # before anything runs beside it
    return None if image is None else await plan_host_setup(use.runtime, image), clients


def _undo(account: "UserAccount", *, yes: bool) -> None:
    noted = run_command(lambda use: _noted(use, account))
    if not noted:
        typer.echo("nothing to undo")
        return
    for entry in noted:
        what = "remove" if entry.copy_name is None else "restore"
        typer.echo(printable(f"{what} {entry.path}"))
    _require_consent(yes, "Do this?")
    undone = run_command(lambda use: _all_undone(use, account))
    for path in undone.restored:
        narrate(f"undone: {path}")
    for why in undone.left:
        narrate(f"left as it is: {why}")
    typer.echo("packages, directories, keys and images stay" if not undone.left else "not everything was undone")
    if undone.left:
        raise typer.Exit(FAILURE)


async def _noted(use: UseCases, account: "UserAccount") -> "Sequence[ChangedFile]":
    from reconciler.usecases.client_registration import noted_changes
    from reconciler.usecases.host_setup import host_journal

    return noted_changes(account, [host_journal(use.runtime.settings)])


async def _all_undone(use: UseCases, account: "UserAccount") -> "Undone":
    from reconciler.usecases.client_registration import undo_changes
    from reconciler.usecases.host_setup import host_journal

    return undo_changes(account, [host_journal(use.runtime.settings)])


def _require_consent(yes: bool, question: str) -> None:
    if yes:
        return
    if not can_be_asked():
        narrate("nothing was changed; pass --yes to do this without being asked")
        raise typer.Exit(FAILURE)
    require_a_yes(question)


def _host_lines(host: "HostSetupPlan | None") -> Iterator[str]:
    if host is None:
        return
    for check in host.checks:
        if check.verdict in _SYMBOLS and check not in host.repairs:
            yield f"{_SYMBOLS[check.verdict]} {check.name}: {check.message}"
            yield from remedy_lines(check)
    for command in host.packages.commands:
        yield f"{'run' if host.packages.runs_here else 'to be run by you, as root'}: {command}"
    for check in host.repairs:
        yield f"fix: {check.name}: {check.message}"
        yield from remedy_lines(check)
    for change in host.files:
        yield from _file_lines(change)
    if host.image is not None:
        yield f"{'build' if host.image == 'base' else 'pull'}: the image {host.image}"


def _file_lines(change: "FileChange") -> Iterator[str]:
    if all(line.startswith(b"#") for line in change.after.split(b"\n") if line):
        yield f"write: {change.path}: every setting with its default, as comments"
    else:
        yield f"write: {change.path}"
        yield change.diff.rstrip("\n")


def _client_lines(clients: "Sequence[ClientPlan]") -> Iterator[str]:
    if not clients:
        yield "no MCP client was found"
    for plan in clients:
        yield f"{'! ' if plan.trouble else ''}{plan.client.name}: {plan.why}"
        if plan.change is not None:
            yield plan.change.diff.rstrip("\n")
