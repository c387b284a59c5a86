"""An act that several hosts carry out together, or none of them does.

Each host says how far it has come, and goes on when all have come as far. One decision ends it: *agreed*, after which
every host finishes forward, whatever happens to it in between; or *called off*, after which every host undoes its part.
Any host may call it off until it is agreed.
"""

from enum import IntEnum
from typing import Protocol

from reconciler.errors import OperationFailed


class Phase(IntEnum):
    """How far a host has come."""

    PREPARED = 1
    PAUSED = 2
    SWITCHED = 3


PREPARED_S = 60.0
"""How long hosts wait for each other before anything is touched: one of them may still start its nodes."""


class CalledOff(OperationFailed):
    """Another host could not do its part, or did not answer in time: what was done here is undone."""

    terminal = True  # the caller is told at once: nodes do not stand still again and again


class Meeting(Protocol):
    """One host's place in such an act."""

    @property
    def shared(self) -> bool:
        """Whether there are other hosts."""
        ...

    async def begin(self) -> bool:
        """Take part; False where it was agreed already, so that this host has to finish forward."""
        ...

    async def reach(self, phase: Phase, *, limit_s: float) -> None:
        """Say that this host has come so far, and return when all have. Raises `CalledOff` if one does not."""
        ...

    async def agree(self) -> None:
        """Decide that it is done, once all hosts have reached the last phase. Raises `CalledOff`."""
        ...

    async def call_off(self, why: str) -> bool:
        """Decide that it is not done; False where it was agreed already."""
        ...


class SoleMeeting:
    """The act of a single host: nobody to wait for, and nothing to decide."""

    shared = False

    async def begin(self) -> bool:
        return True

    async def reach(self, phase: Phase, *, limit_s: float) -> None:
        """Nobody else has to come so far."""

    async def agree(self) -> None:
        """Nobody disagrees."""

    async def call_off(self, why: str) -> bool:
        return True
