"""A host's right to act on what a store assigns to it."""

from typing import Protocol


class Membership(Protocol):
    """Says in which term this process may act for its host.

    A term ends when the host's lease may have run out. What was decided in one term is not done in another: everything
    is read again first.
    """

    async def enter(self) -> int:
        """The term of now, so that what is read afterwards may be acted on; takes the host's lease if need be.

        Raises `StoreUnreachable`, or `Conflict` where another host has the same name.
        """
        ...

    def require(self, term: int) -> None:
        """Raise `HostFenced` unless the term goes on for long enough to begin an action."""
        ...

    async def close(self) -> None:
        """Stop to keep the lease alive; it runs out by itself."""
        ...


class SoleMember:
    """The membership of the one host of a store in a directory: one term without end."""

    async def enter(self) -> int:
        return 0

    def require(self, term: int) -> None:
        """The kernel's lock on the directory is enough."""

    async def close(self) -> None:
        """There is no lease."""
