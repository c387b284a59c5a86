"""A controller on a simulated host: rounds with the real planner and the real runner, disturbed where asked."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from reconciler.act.context import ActContext
from reconciler.act.outcome import Outcome
from reconciler.act.runner import carry_out
from reconciler.errors import OperationFailed
from reconciler.model.plan import Action, Plan
from reconciler.model.record import ClusterRecord
from reconciler.plan.planner import plan
from tests.simulation.host import SimulatedHost
from tests.simulation.worlds import compiled

_UNUSED: Any = None
"""Drivers of the real host, which no simulated executor reaches for."""


class KilledError(BaseException):
    """The process that acts is killed here."""


class Disturbance:
    """Where a round is killed and which of its actions the host refuses."""

    def __init__(self, chance: Random, *, refusals: float = 0.0, killed_after: int | None = None) -> None:
        self._chance = chance
        self._refusals = refusals
        self._steps_left = killed_after

    def step(self, _name: str = "") -> None:
        """One more boundary is reached. A dead process does nothing more, in any of its tasks."""
        if self._steps_left is None:
            return
        if self._steps_left <= 0:
            raise KilledError
        self._steps_left -= 1

    def refuse(self, action: Action) -> None:
        """The host may refuse an action for a cause of its own."""
        if self._chance.random() < self._refusals:
            raise OperationFailed("refused by chance", node=action.node)


def run_round(
    host: SimulatedHost, record: ClusterRecord, disturbance: Disturbance, made: frozenset[int] = frozenset()
) -> tuple[Plan, list[Outcome]]:
    """Observe, compile, plan and act once; a killed round has no outcomes."""
    host.record = record
    observed = host.observe()
    todo = plan(compiled(record, observed, made), observed, consent=frozenset(record.consent))
    try:
        return todo, asyncio.run(_act(host, record, todo, disturbance))
    except KilledError:
        return todo, []


async def _act(host: SimulatedHost, record: ClusterRecord, todo: Plan, disturbance: Disturbance) -> list[Outcome]:
    async def perform(action: Action, _context: ActContext) -> None:
        disturbance.refuse(action)
        for _effect in host.perform(action):
            disturbance.step()

    return await carry_out(todo, bare_context(record, disturbance.step), perform)


def bare_context(
    record: ClusterRecord,
    checkpoint: Callable[[str], None] = lambda _name: None,
    on_outcome: Callable[[Outcome], None] = lambda _outcome: None,
) -> ActContext:
    """What the runner itself needs of a context."""
    return ActContext(
        record=record,
        origin=None,
        libvirt=_UNUSED,
        layers=_UNUSED,
        links=_UNUSED,
        ssh=_UNUSED,
        templates=_UNUSED,
        seeds={},
        address_of=_UNUSED,
        checkpoint=checkpoint,
        on_outcome=on_outcome,
        recorded_uses=_UNUSED,
    )
