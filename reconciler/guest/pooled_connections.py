"""The pooled connections: made when first needed, shared, and replaced when they no longer answer."""

import asyncio
from typing import TYPE_CHECKING

from reconciler.errors import SshTimeout
from reconciler.guest.address import GuestAddress
from reconciler.guest.request import Unreachable

if TYPE_CHECKING:
    from reconciler.guest.ssh_connection import SshConnection

_FIRST_RETRY_S = 0.05
_LONGEST_RETRY_S = 0.5


class NoLogin(SshTimeout):
    """The node accepted no login at all in time, unlike a node that was logged in to and fell silent later."""


class PooledConnections:
    """At most one idle connection per node, and more only while commands fill the existing ones.

    Times called `deadline` are on the clock of the running event loop.
    """

    def __init__(self) -> None:
        self._open: dict[GuestAddress, list[SshConnection]] = {}
        self._dialing: dict[GuestAddress, asyncio.Task[SshConnection]] = {}

    async def acquire(self, address: GuestAddress, deadline: float) -> "SshConnection":
        """Return a connection with room for a command; give it back with `release`."""
        connection = await self.ready(address, deadline)
        connection.running += 1
        return connection

    def release(self, address: GuestAddress, connection: "SshConnection") -> None:
        """Note that a command has ended; closes a connection that is no longer needed."""
        connection.running -= 1
        spare = any(other is not connection and other.usable for other in self._open.get(address, ()))
        if connection.running == 0 and spare:
            self._discard(address, connection)

    async def ready(self, address: GuestAddress, deadline: float) -> "SshConnection":
        """Wait until there is a usable connection, logging in as often as necessary.

        Raises `NoLogin` with the last cause, and `SshError` if the node refuses us.
        """
        delay_s = _FIRST_RETRY_S
        cause = "no answer yet"
        while not (connection := self.idle(address)):
            try:
                await self.attempt(address, deadline)
                continue
            except Unreachable as error:
                cause = str(error)
            if asyncio.get_running_loop().time() + delay_s > deadline:
                raise NoLogin(
                    f"no SSH login to {address} in time; last error: {cause}",
                    node=address.node,
                    hint="`node_console` shows what it does",
                )
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _LONGEST_RETRY_S)
        return connection

    def idle(self, address: GuestAddress) -> "SshConnection | None":
        """An existing usable connection, or None."""
        return next((connection for connection in self._open.get(address, ()) if connection.usable), None)

    async def attempt(self, address: GuestAddress, deadline: float) -> None:
        """Log in once, shared by all callers that want the same; raises `Unreachable` or `SshError`."""
        task = self._dialing.get(address) or self._dial(address)
        timeout_s = max(0.0, deadline - asyncio.get_running_loop().time())
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            raise Unreachable("the last attempt has not been answered yet")
        if task.cancelled():
            raise Unreachable("the login was aborted because the node's power state changed")
        if error := task.exception():
            raise error

    def drop(self, cluster: str, node: str) -> None:
        """Close every connection to a node at once; commands running on them fail as lost."""
        for address in [*self._open, *self._dialing]:
            if (address.cluster, address.node) == (cluster, node):
                self._drop_address(address)

    async def close(self) -> None:
        """Close everything and wait until it is closed."""
        open_now = [connection for pooled in self._open.values() for connection in pooled]
        dialing = list(self._dialing.values())
        for address in [*self._open, *self._dialing]:
            self._drop_address(address)
        await asyncio.gather(*dialing, *(one.transport.wait_closed() for one in open_now), return_exceptions=True)

    def _dial(self, address: GuestAddress) -> "asyncio.Task[SshConnection]":
        from reconciler.guest.ssh_connection import dial  # noqa: PLC0415  asyncssh: not before the first login

        task = asyncio.create_task(dial(address), name=f"ssh login {address.node}")
        self._dialing[address] = task
        task.add_done_callback(lambda done: self._dialed(address, done))
        return task

    def _dialed(self, address: GuestAddress, task: "asyncio.Task[SshConnection]") -> None:
        if self._dialing.get(address) is task:
            del self._dialing[address]
        if task.cancelled() or task.exception():  # reading the exception also marks it as seen
            return
        for connection in [*self._open.get(address, ())]:
            if connection.lost or (connection.running == 0 and not connection.usable):
                self._discard(address, connection)
        self._open.setdefault(address, []).append(task.result())

    def _drop_address(self, address: GuestAddress) -> None:
        if task := self._dialing.pop(address, None):
            task.cancel()
        for connection in self._open.pop(address, ()):
            connection.abort()

    def _discard(self, address: GuestAddress, connection: "SshConnection") -> None:
        connection.abort()
        if connection in (pooled := self._open.get(address, [])):
            pooled.remove(connection)
