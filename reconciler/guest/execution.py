"""Runs one command on one connection: opens a channel, requests the command, collects its output, and can kill it."""

import asyncio
import signal

import asyncssh

from reconciler.errors import SshError
from reconciler.guest.address import GuestAddress
from reconciler.guest.command import MarkedStream, begin_mark, group_mark, render_kill
from reconciler.guest.request import ExecRequest, NotStarted, unstarted
from reconciler.guest.ssh_connection import SshConnection
from reconciler.model.results import ExecResult

TIMED_OUT_EXIT_CODE = 124  # as timeout(1) of coreutils
_SIGNAL_EXIT_BASE = 128  # as every shell
_KILL_S = 3.0
_DRAIN_S = 0.5


class _Abandoned(Exception):
    """Raised into asyncssh after the channel is opened and before the exec request, which is then never sent."""


class Execution(asyncssh.SSHClientSession[bytes]):
    """One run of a request. `requested` is set at the moment when the exec request is sent."""

    def __init__(self, request: ExecRequest) -> None:
        loop = asyncio.get_running_loop()
        self._request = request
        limit, token, own = request.output_limit_bytes, request.token, request.own
        self._stdout = MarkedStream(limit, begin_mark(token) if own else None, request.on_stdout, drop_before=True)
        self._stderr = MarkedStream(limit, group_mark(token), request.on_stderr, drop_before=own, quoted=request.quoted)
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._exit_code: int | None = None
        self._abandoned = False
        self._severed = False
        self._left_running = False
        self.requested: asyncio.Future[None] = loop.create_future()
        self.grouped: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.let_go = False
        self.received_bytes = 0

    def open_on(self, connection: SshConnection) -> asyncio.Task[None]:
        """Open the channel and request the command; the task ends when the command was accepted or refused."""
        task = asyncio.create_task(self._open(connection))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # marks the exception as seen
        return task

    async def _open(self, connection: SshConnection) -> None:
        try:
            await connection.transport.create_session(lambda: self, self._request.script, encoding=None)
        except (_Abandoned, OSError, asyncssh.Error) as error:
            if self.requested.done():
                _settle(self.ended)
            raise NotStarted(str(error) or type(error).__name__) from error

    def abandon(self) -> None:
        """Make sure that a command not requested yet never will be."""
        self._abandoned = True

    # Called by asyncssh.

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan
        if self._abandoned:
            chan.abort()
            raise _Abandoned
        _settle(self.requested)

    def session_started(self) -> None:
        assert self._channel is not None
        if self._request.stdin:
            self._channel.write(self._request.stdin)
        self._channel.write_eof()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if self.let_go:
            return
        self.received_bytes += len(data)
        (self._stdout if datatype is None else self._stderr).feed(data)
        if self._stderr.found:
            _settle(self.grouped)

    def exit_status_received(self, status: int) -> None:
        self._exit_code = status
        _settle(self.exited)

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self._exit_code = _SIGNAL_EXIT_BASE + _signal_number(signal)
        _settle(self.exited)

    def connection_lost(self, exc: Exception | None) -> None:
        self._severed = exc is not None or self._exit_code is None
        if self.began:  # anything that another shell prints instead is not the answer
            self._flush()
        _settle(self.grouped)
        _settle(self.exited)
        _settle(self.ended)

    # Called by the pool.

    @property
    def began(self) -> bool:
        """Whether the shell has printed its group, and so has reached the command."""
        return self._stderr.found is not None

    async def end_group(self, connection: SshConnection) -> bool:
        """Kill the command's processes; returns whether the node has confirmed it.

        Waits until the shell has printed its group, kills through a second channel, and closes the first.
        """
        await asyncio.wait({self.grouped}, timeout=_KILL_S)
        killed = not self.ended.done() and await self._kill(connection)
        await asyncio.wait({self.ended}, timeout=_DRAIN_S)  # a process that left the group may hold the channel
        confirmed = killed or (self.ended.done() and not self._severed)
        if self._channel is not None and not self.ended.done():
            self._left_running = True
            self._channel.abort()
        self._flush()
        return confirmed

    def leave_running(self) -> None:
        """Take no more output from processes that the shell has left behind.

        The channel stays open, because closing it would end them; sshd reads what they print as long as the connection
        lasts.
        """
        self._flush()
        self.let_go = True

    def _flush(self) -> None:
        self._stdout.flush()
        self._stderr.flush()

    async def _kill(self, connection: SshConnection) -> bool:
        if self._stderr.found is None:
            assert self._channel is not None
            self._channel.kill()  # not a POSIX shell; sshd honours this for a login that is not root's
            return False
        killer = Execution(ExecRequest(render_kill(int(self._stderr.found[1])), {}, None, 0, own=True))
        killer.open_on(connection)
        await asyncio.wait({killer.ended, self.ended}, timeout=_KILL_S, return_when=asyncio.FIRST_COMPLETED)
        killer.abandon()
        return killer._exit_code == 0

    def result(self, duration_s: float, *, timed_out: bool, address: GuestAddress) -> ExecResult:
        """The command's result; raises `SshError` if it is not known how the command ended."""
        self._flush()
        if self._exit_code is None and not timed_out:
            raise SshError(
                f"the connection to {address} was lost while the command ran; it is not known whether it finished",
                node=address.node,
                hint="check what the command has done before you run it again",
            )
        if self._request.own and not self._stdout.found and not timed_out:
            raise unstarted(address, self._exit_code, self._stderr.output.text() or self._stdout.output.text())
        out, err = self._stdout.output, self._stderr.output
        return ExecResult(
            exit_code=TIMED_OUT_EXIT_CODE if timed_out or self._exit_code is None else self._exit_code,
            stdout=out.text(),
            stderr=err.text(),
            duration_s=duration_s,
            timed_out=timed_out,
            left_running=self._left_running,
            stdout_truncated=out.truncated,
            stderr_truncated=err.truncated,
            stdout_omitted_bytes=out.omitted_bytes,
            stderr_omitted_bytes=err.omitted_bytes,
            stdout_replaced=out.replaced,
            stderr_replaced=err.replaced,
        )


class _Probe(asyncssh.SSHClientSession[bytes]):
    """Opens a channel and closes it: a round trip to the guest's sshd that starts no process."""

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        chan.abort()
        raise _Abandoned


async def answers(connection: SshConnection, timeout_s: float) -> bool:
    """Whether the other side of the connection opens a channel in time."""
    task = asyncio.ensure_future(connection.transport.create_session(_Probe, "true", encoding=None))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait({task}, timeout=timeout_s)
    return task.done() and isinstance(task.exception(), _Abandoned)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _signal_number(name: str) -> int:
    try:
        return signal.Signals[f"SIG{name}"].value
    except KeyError:
        return 0  # a name that only this guest knows, such as RFC 4254's `xyz@example.com`
