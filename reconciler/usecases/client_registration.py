"""Tells MCP clients of the server, in their own configuration files, with the rights of their user."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.client_setup.accounts import UserAccount, acting_as
from reconciler.client_setup.changed_files import ChangedFile, ChangeJournal
from reconciler.client_setup.registration import ClientPlan, plan_registrations
from reconciler.errors import ClusterError, Conflict
from reconciler.programs import find_program
from reconciler.progress import Report

_PROGRAM = "vmcluster-mcp"
_ROOT_UID = 0


@dataclass(frozen=True, slots=True)
class Undone:
    """How undoing went: what came back, and what was left, with the reason."""

    restored: tuple[Path, ...]
    left: tuple[str, ...]


def server_command(account: UserAccount) -> list[str]:
    """How a client of that user starts the server: with sudo(8), if root sets up the host for them."""
    beside = Path(sys.executable).with_name(_PROGRAM)
    program = str(beside) if beside.exists() else find_program(_PROGRAM)
    command = [program] if program else [sys.executable, "-P", "-m", "reconciler"]
    as_root = os.geteuid() == _ROOT_UID and account.uid != _ROOT_UID
    return ["sudo", "-n", *command] if as_root else command


def sudo_rule(account: UserAccount) -> str | None:
    """The rule of sudoers(5) that clients of that user need to start the server; None if they need none."""
    sudo, *command = server_command(account)
    return f"{account.name} ALL=(root) NOPASSWD: {' '.join(command[1:])}" if sudo == "sudo" else None


def planned_registrations(account: UserAccount) -> list[ClientPlan]:
    """What to do for each client of a user that was found. Blocking.

    The environment is that user's only if this process runs as that user.
    """
    environ = os.environ if account.uid == os.geteuid() else {}
    command = server_command(account)  # which depends on who sets up the host
    with acting_as(account):
        return list(plan_registrations(account.home, environ, command))


def register_clients(account: UserAccount, plans: Sequence[ClientPlan], report: Report) -> None:
    """Carry out what was planned. Blocking.

    Raises `Conflict` naming the files that could not be written; the others are.
    """
    failures = []
    with acting_as(account):
        journal = client_journal(account)
        for plan in plans:
            if plan.change is None:
                continue
            try:
                journal.apply(plan.change)
            except ClusterError as error:
                failures.append(f"{plan.client.name}: {error}")
            else:
                report(f"{plan.client.name}: wrote {plan.path}")
    if failures:
        raise Conflict("\n".join(failures))


def undo_changes(account: UserAccount, journals: Sequence[ChangeJournal]) -> Undone:
    """Restore what was changed, the newest first, but for what somebody has changed since. Blocking.

    The journal of a user's own files is read, and they are written, as that user.
    """
    with acting_as(account):
        own = _undone(client_journal(account))
    others = [_undone(journal) for journal in journals if journal.is_readable]
    return Undone(
        tuple(path for of in (own, *others) for path in of.restored),
        tuple(why for of in (own, *others) for why in of.left),
    )


def noted_changes(account: UserAccount, journals: Sequence[ChangeJournal]) -> list[ChangedFile]:
    """What would be undone, the newest first. Blocking."""
    with acting_as(account):
        own = client_journal(account).entries()
    return [
        entry for entries in (own, *(of.entries() for of in journals if of.is_readable)) for entry in reversed(entries)
    ]


def client_journal(account: UserAccount) -> ChangeJournal:
    """The changes to the files of a user."""
    return ChangeJournal(account.home / ".local" / "state" / "vmcluster" / "setup")


def _undone(journal: ChangeJournal) -> Undone:
    restored, left = [], []
    for entry in reversed(journal.entries()):
        try:
            journal.undo(entry)
        except ClusterError as error:
            left.append(str(error))
        else:
            restored.append(entry.path)
    return Undone(tuple(restored), tuple(left))
