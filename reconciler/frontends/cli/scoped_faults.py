"""A fault for as long as a command runs: injected before it, healed after it, however it ends."""

import os
import shlex
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from reconciler.frontends.cli.commands import PlainCommand
from reconciler.frontends.cli.output import narrate
from reconciler.frontends.cli.session import CommandEnding, run_command
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from types import FrameType

    from reconciler.model.faults import NetFaultHandle

HELD_COMMAND_HELP = (
    "Keep the fault while this command runs, and heal it when the command ends, also on Ctrl-C and SIGTERM. All "
    "remaining words are the command. Exits with its exit code."
)

_OPTION = "--while"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOT_FOUND = 127  # as in every shell
_NOT_RUN = 126
_SIGNALLED = 128


class HoldingCommand(PlainCommand):
    """A command whose `--while` takes all remaining words, as env(1) and timeout(1) do."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if _OPTION in args:
            place = args.index(_OPTION)
            words = args[place + 1 :]
            words = words[1:] if words[:1] == ["--"] else words
            if not words:
                raise typer.BadParameter("name the command to run", param_hint=_OPTION)
            args = [*args[:place], _OPTION, shlex.join(words)]
        return super().parse_args(ctx, args)


def words_of(held: str) -> list[str]:
    """The command's words; a single word with spaces is split like a command line, without running a shell."""
    words = shlex.split(held)
    try:
        return shlex.split(words[0]) if len(words) == 1 else words
    except ValueError as error:
        raise typer.BadParameter(f"{words[0]!r}: {error}", param_hint=_OPTION) from None


def hold(
    inject: "Callable[[UseCases], Awaitable[tuple[NetFaultHandle, int]]]",
    cluster: str,
    words: Sequence[str],
    how_to_end: CommandEnding,
) -> int:
    """Run a command under a fault, and return its exit code; 128 + N where signal N ended it.

    `inject` answers with the fault and a file descriptor that keeps it active.

    The fault is healed whatever happens to the command or to this process: if this process is killed, a separate
    process notices and heals.
    """

    with _deferred() as received:
        fault, lifeline = run_command(inject, how_to_end)
        narrate(f"{fault.handle_id} is active while this runs: {shlex.join(words)}")
        try:
            code = _run(words, received)
        finally:
            run_command(lambda use: use.faults.heal(cluster, fault.handle_id), how_to_end)
            os.close(lifeline)
        narrate(f"{fault.handle_id} is healed")
    return code


def _run(words: Sequence[str], received: list[int]) -> int:
    """Run a command in the foreground, and forward signals that only this process received."""
    awaited = {*_ENDING, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    try:
        if received:
            return _SIGNALLED + received[0]
        process = os.posix_spawnp(words[0], list(words), os.environ, setsigmask=before)
        return _wait(process, awaited)
    except OSError as error:
        narrate(f"error: {words[0]} cannot be run: {error.strerror}")
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_RUN
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(process: int, awaited: set[signal.Signals]) -> int:
    while True:
        came = signal.sigwaitinfo(awaited)
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else _SIGNALLED - code
        # Signals from the terminal (si_code > 0, sigaction(2)) have reached the command too: it is in our process
        # group.
        if came.si_signo != signal.SIGCHLD and came.si_code <= 0:
            os.kill(process, came.si_signo)


@contextmanager
def _deferred() -> Iterator[list[int]]:
    """Record signals instead of being killed by them, so that the fault is healed."""
    received: list[int] = []

    def remember(number: int, _frame: "FrameType | None") -> None:
        received.append(number)

    before = {number: signal.signal(number, remember) for number in _ENDING}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
