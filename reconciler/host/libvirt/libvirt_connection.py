"""The connection to libvirtd: blocking calls run on a thread pool; a lost connection is reopened.

libvirt-python is thread-safe and releases the interpreter lock during calls. A connection dies when libvirtd restarts;
the domains do not, so the next call opens a new one and everything is simply observed again.

If libvirtd hangs, no call returns. Queries have a time limit. Actions may legitimately take minutes, and continue as
long as libvirtd responds to other calls.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import libvirt

from reconciler.errors import ClusterError, LibvirtUnavailable, OperationFailed
from reconciler.host.host_events import HostEvent, Listener
from reconciler.host.libvirt.libvirt_events import ensure_event_loop, register_listener
from reconciler.host.libvirt.threads import DaemonThreads
from reconciler.host.shared_observation import SharedObservation

T = TypeVar("T")
P = ParamSpec("P")

_THREADS = 8

_PROBE_INTERVAL_S = 5.0
_SETTLE_INTERVAL_S = 0.05

_LOST = frozenset(
    {
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_INTERNAL_ERROR,
        libvirt.VIR_ERR_SYSTEM_ERROR,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE,
    }
)

_REMEDIES = {
    # of iptables, about the chains that libvirt makes when it starts
    "No chain/target/match by that name": "somebody has flushed the firewall and libvirt's own chains with it: restart "
    "libvirtd, which makes them",
    "cannot acquire state change lock": "libvirt is still working on this machine; if that does not end, it has lost "
    "track of it: stop libvirtd, delete the machine's XML file in /run/libvirt/qemu, and start libvirtd again",
}
"""By a part of libvirt's message."""


ANSWER_TIMEOUT_S = 15.0
"""Lists and definitions take milliseconds; a machine that is starting blocks queries about itself for a few seconds."""


class LibvirtSilent(LibvirtUnavailable):
    """libvirtd is running and does not respond."""


@dataclass(slots=True)
class _OpenConnection:
    """An open connection and the number of calls on it.

    libvirt frees a connection that is closed while a thread is still in a call on it, so the last call closes it.
    """

    handle: Any
    calls: int = 0
    given_up: bool = False
    counting: threading.Lock = field(default_factory=threading.Lock)

    def run(self, function: Callable[[Any], T]) -> T:
        """Run one call."""
        with self.counting:
            self.calls += 1
        try:
            return function(self.handle)
        finally:
            with self.counting:
                self.calls -= 1
                closes = self.given_up and self.calls == 0
            if closes:
                self._close()

    def give_up(self) -> None:
        """Close it as soon as no call uses it."""
        with self.counting:
            closes, self.given_up = self.calls == 0 and not self.given_up, True
        if closes:
            self._close()

    def _close(self) -> None:
        try:
            self.handle.close()
        except libvirt.libvirtError:
            return  # a lost connection cannot be closed; it is freed with its last reference


class _Connected(Protocol):
    connection: "LibvirtConnection"


def on_connection(
    function: Callable[Concatenate[Any, str, P], T],
) -> Callable[Concatenate[_Connected, str, P], Coroutine[Any, Any, T]]:
    """A method of a driver, from a function that acts on a cluster, given an open connection and the cluster's name."""

    @wraps(function)
    async def method(driver: _Connected, cluster: str, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await driver.connection.call(cluster, lambda handle: function(handle, cluster, *args, **kwargs))

    return method


class LibvirtConnection:
    """One connection to a libvirt URI, shared by all threads of the pool."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._line: _OpenConnection | None = None
        self._listeners: tuple[Listener, ...] = ()
        self._told: tuple[Listener, ...] = ()
        self._opening = threading.Lock()
        self._threads = DaemonThreads(_THREADS, "libvirt")
        self._silent = False
        self._given_up: dict[str, set[Future[Any]]] = {}
        self._prober = DaemonThreads(1, "libvirt-probe")
        self._probe = SharedObservation(self._require_answer)
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # errors are raised; nothing to stderr

    async def call(self, cluster: str, function: Callable[[Any], T]) -> T:
        """Run `function(virConnect)`, which acts on a cluster, on the pool.

        Raises `LibvirtUnavailable` if libvirtd does not respond and `OperationFailed` if it refuses. If the connection
        was lost since the last call, the call is repeated once on a new one. Raises `LibvirtSilent` if libvirtd hangs;
        the call may still be carried out afterwards: `settle` waits for its end.
        """
        given_up = threading.Event()
        future = self._threads.submit(self._call, function, given_up)
        answer = asyncio.wrap_future(future)
        try:
            while not (await asyncio.wait([answer], timeout=_PROBE_INTERVAL_S))[0]:
                await self._probe()
            return answer.result()
        finally:
            answer.cancel()
            given_up.set()
            if not future.done() and not future.cancel():
                self._given_up.setdefault(cluster, set()).add(future)

    async def ask(self, function: Callable[[Any], T]) -> T:
        """As `call`, for a query that is answered at once. Raises `LibvirtSilent` if it is not: libvirtd hangs."""
        async with self._in_time():
            return await asyncio.wrap_future(self._threads.submit(self._call, function, threading.Event()))

    async def settle(self, cluster: str) -> None:
        """Wait until no abandoned call of a cluster is running, so that later observations stay valid.

        Raises `LibvirtSilent` if that takes longer than an answer may.
        """
        async with self._in_time():
            while any(not future.done() for future in self._given_up.get(cluster, ())):
                await asyncio.sleep(_SETTLE_INTERVAL_S)
        self._given_up.pop(cluster, None)

    async def follow(self, listener: Listener) -> None:
        """Notify `listener` of what happens on the host, on this connection and on those that replace it.

        Raises `LibvirtUnavailable` if libvirtd is not running; the listener is registered once libvirtd is back.
        """
        ensure_event_loop()
        self._listeners += (listener,)
        await self.ask(lambda handle: handle.isAlive())

    def close(self) -> None:
        """Close the connection; if libvirt does not respond, the connection ends with the process."""
        if not self._silent:
            with self._opening:
                self._discard()
        self._threads.shutdown()
        self._prober.shutdown()

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                yield
        except TimeoutError:
            self._silent = True
            raise LibvirtSilent(
                f"libvirt at {self._uri} has not answered for {ANSWER_TIMEOUT_S:g} s",
                hint="check libvirtd (is it stopped, or the host overloaded?), and restart it if it hangs: "
                "running machines are not affected",
            ) from None

    async def _require_answer(self) -> None:
        """Open another connection: each serves only a few calls at a time (`max_client_requests`, libvirtd.conf)."""
        async with self._in_time():
            await asyncio.wrap_future(self._prober.submit(self._knock))

    def _knock(self) -> None:
        with suppress(libvirt.libvirtError):  # an error is an answer, too
            libvirt.open(self._uri).close()

    def _call(self, function: Callable[[Any], T], given_up: threading.Event) -> T:
        line = self._open()
        try:
            answer = line.run(function)
            self._silent = False
            return answer
        except libvirt.libvirtError as error:
            if given_up.is_set() or not self._was_lost(line, error):
                raise as_cluster_error(error) from error
        self._forget(line)
        try:
            return self._open().run(function)
        except libvirt.libvirtError as error:
            raise as_cluster_error(error) from error

    def _open(self) -> _OpenConnection:
        with self._opening:
            if self._told != self._listeners:
                self._discard()  # listeners are registered on a connection when it is opened
            if self._line is None:
                self._told = self._listeners
                self._line = _OpenConnection(self._connect())
            return self._line

    def _connect(self) -> Any:
        try:
            handle = libvirt.open(self._uri)
            if self._listeners:
                register_listener(handle, self._tell)
            return handle
        except libvirt.libvirtError as error:
            raise LibvirtUnavailable(
                f"no answer from libvirt at {self._uri}: {error.get_error_message()}",
                hint="start it (`systemctl start libvirtd`, or `virtlogd -d && libvirtd -d` without a service manager)"
                "; `host_doctor` says more",
            ) from error

    def _tell(self, event: HostEvent) -> None:
        for listener in self._listeners:
            listener(event)

    def _was_lost(self, line: _OpenConnection, error: libvirt.libvirtError) -> bool:
        if error.get_error_code() not in _LOST:
            return False
        try:
            return not line.run(lambda handle: handle.isAlive()) or line.run(lambda handle: handle.getLibVersion()) == 0
        except libvirt.libvirtError:
            return True

    def _forget(self, line: _OpenConnection) -> None:
        with self._opening:
            if self._line is line:
                self._discard()

    def _discard(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.give_up()


def as_cluster_error(error: libvirt.libvirtError, *, node: str | None = None) -> ClusterError:
    """Convert a refusal by libvirt to one of our errors."""
    if error.get_error_code() in {libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_INVALID_CONN, libvirt.VIR_ERR_RPC}:
        return LibvirtUnavailable(f"the connection to libvirt was lost: {error.get_error_message()}", node=node)
    message = error.get_error_message()
    hint = next((remedy for words, remedy in _REMEDIES.items() if words in message), None)
    return OperationFailed(f"libvirt refused: {message}", node=node, hint=hint)
