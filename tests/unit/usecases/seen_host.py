"""A host that is seen and not touched, below the real use cases, controller, rounds, store and lease."""

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.act.context import ActContext
from reconciler.act.outcome import Outcome
from reconciler.controller import looks
from reconciler.controller import round as rounds
from reconciler.model.document import ClusterDocument
from reconciler.model.plan import Plan
from reconciler.model.record import ClusterRecord, ClusterSpec
from reconciler.model.topology import VirtType
from reconciler.plan import planner
from reconciler.records import record_changes
from reconciler.usecases import clusters
from tests.simulation.worlds import CLUSTER, NODES, as_wanted, cluster_spec, node_spec

EMULATED = {"virt_type": VirtType.QEMU}
SPEC = cluster_spec({name: node_spec(index).model_copy(update=EMULATED) for index, name in enumerate(NODES[:2])})


class SeenHost:
    """What each look at the host finds. Carrying out a plan makes everything as wanted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks = 0
        self.plans: list[Plan] = []
        self.done: list[Plan] = []
        self.record = record_changes.with_spec(None, CLUSTER, SPEC)
        self.find: Callable[[], ClusterDocument] = lambda: as_wanted(self.record)

        async def observe(*_: Any) -> ClusterDocument:
            self.looks += 1
            return self.find()

        def counted(*arguments: Any) -> Plan:
            self.plans.append(planner.plan(*arguments))
            return self.plans[-1]

        async def carry_out(todo: Plan, context: ActContext) -> list[Outcome]:
            self.done.append(todo)
            seen = self.find()
            self.find = lambda: _as_done(context.record, seen)
            return [Outcome(action, 0.0) for action in todo.actions]

        async def possible(*_: object) -> list[str]:
            return []

        async def load(*_: object) -> tuple[str, ClusterSpec]:
            return CLUSTER, SPEC

        monkeypatch.setattr(looks, "observe_cluster", observe)
        monkeypatch.setattr(looks, "plan", counted)
        monkeypatch.setattr(rounds, "plan", counted)
        monkeypatch.setattr(rounds, "carry_out", carry_out)
        monkeypatch.setattr(looks, "revert_obstacles", possible)  # which reads the files of a snapshot
        monkeypatch.setattr(clusters, "load_for_host", load)

    def forget(self) -> None:
        """Count from here on."""
        self.looks = 0
        self.plans.clear()
        self.done.clear()


def _as_done(record: ClusterRecord, before: ClusterDocument) -> ClusterDocument:
    """As the record wants it, with the snapshots that are there already as they were taken."""
    there = as_wanted(record, before)
    taken = {name: before.snapshots.get(name, of) for name, of in there.snapshots.items()}
    return there.model_copy(update={"snapshots": taken})
