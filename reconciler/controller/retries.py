"""Repeated failures in a watched cluster, by node, and when each is retried."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from random import Random

from reconciler.act.outcome import Outcome
from reconciler.controller.backoff import growing_delay_s
from reconciler.controller.conditions import obstacle_of
from reconciler.errors import Conflict
from reconciler.model.links import touched_nodes
from reconciler.model.plan import Action, FlattenLayer, HealLinks, Plan, SetLinks, ShutDown
from reconciler.model.status import Obstacle

LONGEST_DELAY_S = 60.0
FREE_REPAIRS = 3
"""How often the same repair of a node is repeated without delay; after that it evidently does not last."""

SETTLED_S = 60.0
"""A repair that has lasted this long is no longer counted."""

_FIRST_DELAY_S = 0.5


class _Whole(Enum):
    """Failures of a cluster as a whole; a failure of links holds back only nodes that have some."""

    CLUSTER = auto()
    LINKS = auto()


_Held = str | _Whole
"""A node, or what belongs to no node."""


@dataclass(slots=True)
class _Trouble:
    """One holder's failures in a row; held back until `until_s` of the clock."""

    count: int
    until_s: float
    obstacle: Obstacle


@dataclass(slots=True)
class _Repair:
    """How often in a row the same action was done to a node, and when last."""

    count: int
    last_s: float


class Retries:
    """The failures that one cluster's rounds remember; a change of the record, or a request, clears them."""

    def __init__(self, chance: Random, clock: Callable[[], float] = time.monotonic) -> None:
        self._chance = chance
        self._clock = clock
        self._troubles: dict[_Held, _Trouble] = {}
        self._upkeep: dict[_Held, _Trouble] = {}
        self._repairs: dict[tuple[str | None, type[Action]], _Repair] = {}
        self._wanted = (0, 0)

    def begin(self, generation: int, request: int) -> None:
        """Start a round on the current record; a new request does not wait for old failures."""
        if self._wanted != (generation, request):
            self._troubles.clear()
            self._upkeep.clear()
            self._repairs.clear()
        self._wanted = (generation, request)

    def put_off(self) -> dict[str, Obstacle]:
        """Why the upkeep of nodes has failed recently; nothing else waits for it."""
        now_s = self._clock()
        return {node: of.obstacle for node, of in self._upkeep.items() if isinstance(node, str) and of.until_s > now_s}

    def allowed(self, plan: Plan) -> tuple[Action, ...]:
        """The actions that need not wait. Nodes that are reverted together are treated as one."""
        held = self._held()
        if plan.all_or_nothing and any(_holder(action) in held for action in plan.actions):
            return ()
        if _Whole.LINKS in held:  # no node may boot if its links could not be set
            held |= {node for action in plan.actions for node in _linked(action)}
        return tuple(action for action in plan.actions if not held & {_holder(action), _Whole.CLUSTER})

    def note(self, outcomes: Iterable[Outcome]) -> None:
        """Remember how actions went."""
        ended = list(outcomes)
        failed = {outcome.action.node for outcome in ended if outcome.error is not None}
        for outcome in ended:
            if outcome.error is not None:
                self._hold(outcome.action, obstacle_of(outcome.error))
        done = {(of.action.node, type(of.action)): of.action for of in ended if of.action.node not in failed}
        for action in done.values():  # what one round does several times, as for several disks, counts once
            self._note_success(action)

    def obstacles(self, plan: Plan) -> tuple[Obstacle, ...]:
        """Why actions of the plan are held back: failures of their nodes, or of the cluster, which hold back all."""
        due = {_holder(action) for action in plan.actions} | ({_Whole.CLUSTER} if plan.actions else set())
        return tuple(trouble.obstacle for holder, trouble in self._troubles_now().items() if holder in due)

    def due_in_s(self) -> float | None:
        """The time until the next node may be retried; None if none is held back."""
        until = [trouble.until_s for trouble in self._troubles_now().values()]
        return max(0.0, min(until) - self._clock()) if until else None

    def _troubles_now(self) -> dict[_Held, _Trouble]:
        now_s = self._clock()
        return {holder: trouble for holder, trouble in self._troubles.items() if trouble.until_s > now_s}

    def _held(self) -> set[_Held]:
        return set(self._troubles_now())

    def _note_success(self, action: Action) -> None:
        now_s = self._clock()
        key = (action.node, type(action))
        last = self._repairs.get(key)
        lasted = last is None or now_s - last.last_s > SETTLED_S + growing_delay_s(last.count, LONGEST_DELAY_S)
        count = 1 if last is None or lasted else last.count + 1
        self._repairs[key] = _Repair(count, now_s)
        if isinstance(action, FlattenLayer):
            self._upkeep.pop(_holder(action), None)
        elif count > FREE_REPAIRS and not isinstance(action, ShutDown):
            self._hold(action, _undone(action, count))
        elif lasted:
            self._troubles.pop(_holder(action), None)

    def _hold(self, action: Action, obstacle: Obstacle) -> None:
        troubles = self._upkeep if isinstance(action, FlattenLayer) else self._troubles
        before = troubles.get(_holder(action))
        count = before.count + 1 if before else 1
        delay_s = growing_delay_s(count, LONGEST_DELAY_S, self._chance, _FIRST_DELAY_S)
        again = datetime.now(UTC) + timedelta(seconds=delay_s)
        said = f"{obstacle.message} (failed {count} times in a row; next try at {again:%H:%M:%S} UTC)"
        explained = obstacle if count == 1 or obstacle.under_way else obstacle.model_copy(update={"message": said})
        troubles[_holder(action)] = _Trouble(count, self._clock() + delay_s, explained)


def _holder(action: Action) -> _Held:
    if isinstance(action, SetLinks | HealLinks):
        return _Whole.LINKS
    return _Whole.CLUSTER if action.node is None else action.node


def _linked(action: Action) -> frozenset[str]:
    return frozenset({*action.changes, *touched_nodes(action.links)}) if isinstance(action, SetLinks) else frozenset()


def _undone(action: Action, count: int) -> Obstacle:
    error = Conflict(
        f"{type(action).__name__} was repeated {count} times and did not last",
        node=action.node,
        hint="the node shuts down by itself, or another program undoes it: see its console and `cluster_events`",
    )
    return obstacle_of(error).model_copy(update={"terminal": False})
