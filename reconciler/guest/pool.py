"""The SSH pool: runs commands on guests and waits for their readiness; callers never handle connections."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import structlog

from reconciler.errors import ClusterError, InvalidArgument, SshError, SshTimeout
from reconciler.guest.address import GuestAddress
from reconciler.guest.command import OTHER_SHELLS, OnOutput
from reconciler.guest.pooled_connections import PooledConnections
from reconciler.guest.request import ExecRequest, NotStarted
from reconciler.model.results import ExecResult

if TYPE_CHECKING:
    import asyncssh

    from reconciler.guest.execution import Execution
    from reconciler.guest.ssh_connection import SshConnection

log = structlog.get_logger(__name__)

DEFAULT_OUTPUT_LIMIT_BYTES = 1024 * 1024
_STALL_S = 1.0  # a warm guest opens a channel in milliseconds, also under emulation
_STARTS = 4  # a dropped connection may be replaced by one that is dropped too, but not forever
_REFUSAL_SETTLES_S = 10.0
_REFUSED_RETRY_S = 0.5
_QUIET_S = 0.5
_QUIET_LOOKS = 20
"""How often a node may fall silent before nothing waits for it any longer."""

_READY_COMMAND = "[ -e /run/vmcluster/logins-kept ] || timeout 20 sync -f / || true"
"""sync(1) of coreutils and of busybox. The files that logins need were written by cloud-init moments ago and
stay in the page cache for up to 30 s: a power cut then leaves an empty host key and a mark that it was made (decision
0006). Our own image writes them to disk by itself and makes the file that is looked for. A disk that accepts no writes
does not keep a node from being reachable."""
_MAY_RUN = "the command may still be running there; `cluster_status` shows whether the node responds"
_SHORT_OUTPUT_BYTES = 4096


class SshPool:
    """Runs commands on guests over pooled connections. Belongs to one event loop; close it when done.

    A connection is made when it is first needed. One that has died is replaced without the caller noticing: a command
    whose channel could not be opened is started on a new connection, and a command that was started is never started
    twice.
    """

    def __init__(self) -> None:
        self._connections = PooledConnections()
        self._other_shells: set[GuestAddress] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection; running commands fail with `SshError`."""
        await self._connections.close()

    def drop(self, cluster: str, node: str) -> None:
        """Close all connections to a node at once: its power was cut, or it was reverted, stopped or restarted."""
        self._connections.drop(cluster, node)
        self._other_shells = {of for of in self._other_shells if (of.cluster, of.node) != (cluster, node)}

    def is_connected(self, address: GuestAddress) -> bool:
        """Whether a connection is open that worked when it was last used; nothing is sent."""
        return self._connections.idle(address) is not None

    async def run(
        self,
        address: GuestAddress,
        command: str,
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        output_limit_bytes: int = DEFAULT_OUTPUT_LIMIT_BYTES,
        on_stdout: OnOutput | None = None,
        on_stderr: OnOutput | None = None,
        own: bool = False,
    ) -> ExecResult:
        """Run one command line in the remote user's login shell and wait until it ends.

        With `own`, or if that shell is not a POSIX shell (fish, csh, …), `/bin/sh` runs it, and nothing that start-up
        files print is in the answer. A non-zero exit is a result; a command ended by signal N has exit code 128 + N.
        The time-out includes the login. If it passes while the command runs, its process group is killed, and the
        result has `timed_out`, exit code 124 and what was printed until then. Once the shell has ended and nothing more
        arrives for a moment, the result is returned, and any process that it left behind keeps running. Of each stream
        the first and the last of `output_limit_bytes` are kept. `on_stdout` and `on_stderr` receive a whole stream as
        it arrives, and none of it is kept.

        Raises `InvalidArgument`, `SshTimeout` (no login in time, or the node fell silent while the command ran) and
        `SshError` (refused, or the connection was lost while the command ran). Cancelling ends the command.
        """
        if timeout_s <= 0 or output_limit_bytes < 0:
            raise InvalidArgument("`timeout_s` must be positive and `output_limit_bytes` not negative")
        request = ExecRequest(command, env or {}, stdin, output_limit_bytes, on_stdout, on_stderr, own=own)
        return await self._run(address, request, timeout_s, min(timeout_s, address.connect_timeout_s))

    @asynccontextmanager
    async def channel(self, address: GuestAddress, timeout_s: float) -> "AsyncIterator[asyncssh.SSHClientConnection]":
        """A connection with room for one channel, for uses other than a short command; raises as `run` does."""
        now = asyncio.get_running_loop().time()
        deadline = now + min(timeout_s, address.connect_timeout_s)
        connection = await self._connections.acquire(address, deadline)
        try:
            yield connection.transport
        finally:
            self._connections.release(address, connection)

    async def run_all(
        self,
        addresses: Iterable[GuestAddress],
        command: str,
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        output_limit_bytes: int = DEFAULT_OUTPUT_LIMIT_BYTES,
        own: bool = False,
    ) -> dict[str, ExecResult | ClusterError]:
        """Run the same command on many nodes at once; returns each node's result or its error."""

        async def run_one(address: GuestAddress) -> ExecResult | ClusterError:
            try:
                return await self.run(
                    address,
                    command,
                    timeout_s=timeout_s,
                    env=env,
                    stdin=stdin,
                    output_limit_bytes=output_limit_bytes,
                    own=own,
                )
            except InvalidArgument:
                raise
            except ClusterError as error:
                return error

        targets = list(addresses)
        outcomes = await asyncio.gather(*map(run_one, targets))
        return {address.node: outcome for address, outcome in zip(targets, outcomes, strict=True)}

    async def set_clock(self, address: GuestAddress, *, timeout_s: float, again: bool = False) -> None:
        """Set the guest's clock to this host's, once per pooled connection unless `again`; also makes the node ready.

        The time is taken once the guest accepts commands, because a login may take longer than the clock may be off.
        Raises `SshTimeout`, and `SshError` if the clock was not set.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_s
        connection = await self._connections.ready(address, deadline)
        if connection.clock_set and not again:
            return
        command = f"date -u -s @{time.time():.3f} >/dev/null && {{ {_READY_COMMAND}; }}"
        await self._run_short(address, command, max(deadline - clock(), 0.01))
        connection.clock_set = connection.readied = True

    async def wait_until_reachable(self, address: GuestAddress, *, timeout_s: float) -> None:
        """Return as soon as the node accepts a login now and would accept one after a power cut.

        The connection stays pooled. What ensures the second part runs once per pooled connection. A refused login or a
        wrong host key is tolerated for ten seconds, because cloud-init may not have installed ours yet. Raises
        `SshTimeout` with the last cause, or the `SshError` that persisted.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_s
        refused_at: float | None = None
        refusal: SshError | None = None
        while True:
            remaining_s = deadline - clock()
            try:
                return await self._log_in(address, max(remaining_s, 0.01))
            except SshTimeout as late:
                if refusal is None:
                    raise
                raise _after(refusal, late) from late
            except SshError as error:
                refusal = error
                refused_at = refused_at or clock()
                now = clock()
                if now - refused_at > _REFUSAL_SETTLES_S or now + _REFUSED_RETRY_S > deadline:
                    raise
                log.debug("ssh_login_refused", node=address.node, cause=error.message)
            await asyncio.sleep(_REFUSED_RETRY_S)

    async def _log_in(self, address: GuestAddress, timeout_s: float) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_s
        connection = await self._connections.ready(address, deadline)
        if connection.readied:
            if await _answers(connection, min(_STALL_S, timeout_s)):
                return
            connection.suspect = True
        await self._run_short(address, _READY_COMMAND, max(deadline - clock(), 0.01))
        connection.readied = True

    async def _run_short(self, address: GuestAddress, command: str, timeout_s: float) -> None:
        """Run a command that ends at once and must succeed."""
        request = ExecRequest(command, {}, None, _SHORT_OUTPUT_BYTES, own=True)
        result = await self._run(address, request, timeout_s, timeout_s)
        if result.timed_out:
            raise SshTimeout(f"{address} accepted the login, but a command timed out: {command}", node=address.node)
        if result.exit_code != 0:
            cause = (result.stderr or result.stdout).strip()
            raise SshError(f"{address}: exit code {result.exit_code} from `{command}`: {cause}", node=address.node)

    async def _run(
        self, address: GuestAddress, request: ExecRequest, timeout_s: float, connect_timeout_s: float
    ) -> ExecResult:
        started = time.monotonic()
        now = asyncio.get_running_loop().time()
        deadline = now + timeout_s
        execution, timed_out = await self._carry_out(
            address, self._fit(address, request), now + connect_timeout_s, deadline
        )
        if not (timed_out or execution.began or request.own) and await self._has_other_shell(address, deadline):
            self._other_shells.add(address)
            execution, timed_out = await self._carry_out(address, self._fit(address, request), deadline, deadline)
        return execution.result(time.monotonic() - started, timed_out=timed_out, address=address)

    def _fit(self, address: GuestAddress, request: ExecRequest) -> ExecRequest:
        """The request in a form that the node's login shell accepts."""
        return replace(request, own=True) if address in self._other_shells else request

    async def _has_other_shell(self, address: GuestAddress, deadline: float) -> bool:
        """Whether the login shell, which ended before it ran anything of a command, has a different grammar."""
        left_s = max(deadline - asyncio.get_running_loop().time(), 0.01)
        request = ExecRequest('echo "${SHELL##*/}"', {}, None, _SHORT_OUTPUT_BYTES, own=True)
        answer = await self._run(address, request, left_s, left_s)
        return answer.stdout.strip() in OTHER_SHELLS

    async def _carry_out(
        self, address: GuestAddress, request: ExecRequest, connect_deadline: float, deadline: float
    ) -> "tuple[Execution, bool]":
        """Start a command and wait for its end; returns whether it had to be killed."""
        execution, connection = await self._start(address, request, connect_deadline)
        try:
            own = request.own and address not in self._other_shells
            return execution, not await self._ended(execution, connection, deadline, address, None if own else _MAY_RUN)
        finally:
            if execution.let_go:
                execution.ended.add_done_callback(lambda _: self._connections.release(address, connection))
            else:
                self._connections.release(address, connection)

    async def _ended(
        self,
        execution: "Execution",
        connection: "SshConnection",
        deadline: float,
        address: GuestAddress,
        if_it_may_run: str | None,
    ) -> bool:
        """Wait for the command to end, and kill it at the deadline; returns whether it ended by itself.

        `if_it_may_run` is the hint for a command that may not have been killed.
        """
        clock = asyncio.get_running_loop().time
        try:
            await asyncio.wait({execution.exited}, timeout=max(0.0, deadline - clock()))
            if execution.exited.done():
                await self._drain(execution, connection, deadline)
                return True
        except asyncio.CancelledError:
            await execution.end_group(connection)
            raise
        if not await execution.end_group(connection):
            connection.suspect = True
            raise SshTimeout(
                "the command timed out, and the node did not confirm that it was killed",
                node=address.node,
                hint=if_it_may_run,
            )
        return False

    async def _drain(self, execution: "Execution", connection: "SshConnection", deadline: float) -> None:
        """Collect what the shell has printed before it ended, and leave alone what it has started.

        The output is complete when sshd says so, or when nothing arrives although the node answers: it answers only
        after it has read what the shell printed.
        """
        clock = asyncio.get_running_loop().time
        quiet = 0
        while not execution.ended.done() and clock() < deadline and quiet < _QUIET_LOOKS:
            before = execution.received_bytes
            await asyncio.wait({execution.ended}, timeout=min(_QUIET_S, deadline - clock()))
            if execution.ended.done() or execution.received_bytes != before:
                quiet = 0
                continue
            answered = await _answers(connection, _QUIET_S)
            quiet = 0 if execution.received_bytes != before else _QUIET_LOOKS if answered else quiet + 1
        if not execution.ended.done():
            execution.leave_running()

    async def _start(
        self, address: GuestAddress, request: ExecRequest, deadline: float
    ) -> "tuple[Execution, SshConnection]":
        """Start the command exactly once, on a connection that answers; the caller must release it."""
        cause = ""
        for _ in range(_STARTS):
            connection = await self._connections.acquire(address, deadline)
            execution = _execution(request)
            try:
                await self._open(execution, connection, address, deadline)
            except NotStarted as error:
                cause = str(error)
                self._note_refusal(connection)
                self._connections.release(address, connection)
            except BaseException:
                if execution.requested.done():
                    await execution.end_group(connection)
                self._connections.release(address, connection)
                raise
            else:
                return execution, connection
        raise SshError(f"{address} does not open a session for a command: {cause}", node=address.node)

    async def _open(
        self, execution: "Execution", connection: "SshConnection", address: GuestAddress, deadline: float
    ) -> None:
        """Return once the command was requested. If a connection stalls, a new login races it; the first wins."""
        stall_s = max(0.0, min(_STALL_S, deadline - asyncio.get_running_loop().time()))
        opening = execution.open_on(connection)
        try:
            contenders: set[asyncio.Future[Any]] = {opening, execution.requested}
            await asyncio.wait(contenders, timeout=stall_s, return_when=asyncio.FIRST_COMPLETED)
            if not (opening.done() or execution.requested.done()):
                await self._race(execution, opening, connection, address, deadline)
        finally:
            execution.abandon()
        if not execution.requested.done():
            await opening

    async def _race(
        self,
        execution: "Execution",
        opening: asyncio.Task[None],
        connection: "SshConnection",
        address: GuestAddress,
        deadline: float,
    ) -> None:
        connection.suspect = True
        log.info("ssh_connection_stalls", node=address.node, stall_s=_STALL_S)
        login = asyncio.create_task(self._connections.ready(address, deadline))
        login.add_done_callback(lambda done: done.cancelled() or done.exception())  # marks the exception as seen
        contenders: set[asyncio.Future[Any]] = {opening, execution.requested, login}
        try:
            await asyncio.wait(contenders, return_when=asyncio.FIRST_COMPLETED)
        finally:
            login.cancel()
        if execution.requested.done():
            connection.suspect = False
        elif not opening.done():
            await login  # raises the reason why the login failed
            raise NotStarted("the connection no longer responds")

    @staticmethod
    def _note_refusal(connection: "SshConnection") -> None:
        """A live connection that opens no more channels is full: sshd's MaxSessions is lower than we assumed."""
        if not (connection.lost or connection.suspect):
            connection.session_limit = connection.running - 1


def _execution(request: ExecRequest) -> "Execution":
    from reconciler.guest.execution import Execution  # noqa: PLC0415  asyncssh: not before the first command

    return Execution(request)


async def _answers(connection: "SshConnection", timeout_s: float) -> bool:
    from reconciler.guest.execution import answers  # noqa: PLC0415  as above

    return await answers(connection, timeout_s)


def _after(refusal: SshError, late: SshTimeout) -> SshError:
    """The error for a node that first refused us and then accepted no connection at all.

    OpenSSH since 9.8 does that itself, for 15 s or more after a few refused logins (sshd_config(5),
    `PerSourcePenalties`).
    """
    return SshError(f"{refusal.message}; since then: {late.message}", node=refusal.node, hint=refusal.hint)
