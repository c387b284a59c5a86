"""A round loop on a simulated host, in simulated time: whatever happens and whatever it is not told, it gets there."""

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from reconciler.act.context import ActContext
from reconciler.act.runner import carry_out
from reconciler.controller.faults_without_store import RememberedFaults
from reconciler.controller.retries import Retries
from reconciler.controller.round import Rounds
from reconciler.controller.round_results import RoundResult
from reconciler.daemon.round_loop import RoundLoop
from reconciler.model.plan import Action, Plan
from reconciler.model.record import ClusterRecord
from reconciler.plan.planner import plan
from reconciler.store.host_lease import HostLease
from tests.simulation.acting import Disturbance, bare_context
from tests.simulation.host import SimulatedHost
from tests.simulation.test_convergence import assert_explained
from tests.simulation.worlds import CLUSTER, compiled, hosts, records

HOST = HostLease("qemu+unix:///system?socket=/nonexistent", Path("/nonexistent"))
"""Without a libvirt there is nothing to take turns at."""

RESYNC_S = 30.0
LONGEST_S = 20 * RESYNC_S


class SimulatedTime(asyncio.SelectorEventLoop):
    """An event loop in which nobody waits: where nothing is to do, it is at once as late as the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        selector: Any = cast("Any", self)._selector
        look = selector.select

        def select(timeout_s: float | None = None) -> Any:
            self._now_s += timeout_s or 0.0
            return look(0)

        selector.select = select

    def time(self) -> float:
        return self._now_s


class SimulatedRounds:
    """Rounds with the real planner, the real runner and the real memory of failures."""

    def __init__(self, host: SimulatedHost, record: ClusterRecord, chance: Random) -> None:
        self.host = host
        self.record = record
        self.remembered = RememberedFaults()
        self.refusals = 0.0
        self.defects: list[AssertionError] = []
        self._chance = chance

    async def run(self, _cluster: str, retries: Retries) -> RoundResult:
        """One round; what must never be asked of the host is kept, as a round loop outlives its rounds' defects."""
        try:
            return await self._run(retries)
        except AssertionError as defect:
            self.defects.append(defect)
            raise

    async def _run(self, retries: Retries) -> RoundResult:
        self.host.time_passes()
        wanted = self.plan()
        retries.begin(self.record.generation, 0)
        todo = replace(wanted, actions=retries.allowed(wanted))
        outcomes = await carry_out(todo, bare_context(self.record), self._perform)
        retries.note(outcomes)
        return RoundResult(self.record.generation, wanted, tuple(outcomes))

    def plan(self) -> Plan:
        """What a round that began now would find to do."""
        self.host.record = self.record
        observed = self.host.observe()
        return plan(compiled(self.record, observed), observed)

    async def _perform(self, action: Action, _context: ActContext) -> None:
        Disturbance(self._chance, refusals=self.refusals).refuse(action)
        for _effect in self.host.perform(action):
            pass


class Keeping(RuleBasedStateMachine):
    """Damage, refusals, changes of the record and lost events; in the end, peace and resyncs."""

    @initialize(data=st.data(), seed=st.integers(0, 2**32))
    def begin(self, data: st.DataObject, seed: int) -> None:
        self.loop = SimulatedTime()
        self.chance = Random(seed)
        record = data.draw(records())
        self.rounds = SimulatedRounds(SimulatedHost(data.draw(hosts(record)), self.chance), record, self.chance)
        self.round_loop = RoundLoop(CLUSTER, cast("Rounds", self.rounds), HOST, self.chance)
        self.round_loop._retries = Retries(self.chance, self.loop.time)
        self.task = self.loop.create_task(self.round_loop.run())

    @rule(data=st.data(), told=st.booleans())
    def something_else_is_found(self, data: st.DataObject, told: bool) -> None:
        self.rounds.host = SimulatedHost(data.draw(hosts(self.rounds.record)), self.chance)
        self._tell(told)

    @rule(data=st.data(), told=st.booleans())
    def something_else_is_wanted(self, data: st.DataObject, told: bool) -> None:
        generation = self.rounds.record.generation + 1
        self.rounds.record = data.draw(records()).model_copy(update={"generation": generation})
        self._tell(told, changed=True)

    @rule(refusals=st.sampled_from([0.0, 0.3, 1.0]))
    def the_host_refuses(self, refusals: float) -> None:
        self.rounds.refusals = refusals

    @rule(duration_s=st.sampled_from([0.01, 1.0, 100.0]))
    def time_goes_by(self, duration_s: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(duration_s))

    def _tell(self, told: bool, *, changed: bool = False) -> None:
        if told:
            self.round_loop.wake(changed=changed)
            self.loop.run_until_complete(asyncio.sleep(0.01))

    def teardown(self) -> None:
        """In peace, a resync now and then is enough: all is as wanted, or an obstacle says why it is not."""
        if not hasattr(self, "task"):
            return
        try:
            self.rounds.refusals = 0.0
            self._wait_for_the_end()
            assert not self.rounds.defects, self.rounds.defects
            assert_explained(self.rounds.host, self.rounds.record, self.rounds.plan())
        finally:
            self.task.cancel()
            self.loop.run_until_complete(asyncio.gather(self.task, return_exceptions=True))
            self.loop.close()

    def _wait_for_the_end(self) -> None:
        until_s = self.loop.time() + LONGEST_S
        while (todo := self.rounds.plan()).actions or todo.waiting:
            assert self.loop.time() < until_s, f"yet to do after {LONGEST_S:g} s: {todo}"
            self.round_loop.wake()
            self.loop.run_until_complete(asyncio.sleep(RESYNC_S))


TestKeeping = Keeping.TestCase
TestKeeping.settings = settings(max_examples=12, stateful_step_count=10, deadline=None)
