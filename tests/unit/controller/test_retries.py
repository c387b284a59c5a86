"""What keeps failing is tried ever more rarely, node by node."""

from itertools import pairwise
from pathlib import Path
from random import Random

from reconciler.act.outcome import Outcome
from reconciler.controller.retries import FREE_REPAIRS, LONGEST_DELAY_S, SETTLED_S, Retries
from reconciler.errors import OperationFailed, StillUnderWay
from reconciler.model.links import Inbound
from reconciler.model.plan import Action, FlattenLayer, Plan, SetLinks, ShutDown, Start, StartNetwork


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def start(node: str) -> Start:
    return Start(node=node, paused=False, resume_epoch=0, reason="is off")


def failed(action: Action) -> Outcome:
    return Outcome(action, 0.1, OperationFailed("refused", node=action.node))


def done(action: Action) -> Outcome:
    return Outcome(action, 0.1)


PLAN = Plan(actions=(start("alpha"), start("beta")))


def test_a_node_that_failed_waits_and_the_others_do_not() -> None:
    retries = Retries(Random(1), Clock())
    retries.note([failed(start("alpha"))])
    assert retries.allowed(PLAN) == (start("beta"),)
    (obstacle,) = retries.obstacles(PLAN)
    assert obstacle.node == "alpha"


def test_each_failure_doubles_the_wait_up_to_a_longest_one() -> None:
    clock = Clock()
    retries = Retries(Random(1), clock)
    waits = []
    for _ in range(12):
        retries.note([failed(start("alpha"))])
        due_s = retries.due_in_s()
        assert due_s is not None
        waits.append(due_s)
        clock.now_s += due_s + 0.01
    assert all(later > earlier for earlier, later in pairwise(waits[:7]))
    assert LONGEST_DELAY_S * 0.8 <= waits[-1] <= LONGEST_DELAY_S * 1.2
    assert "failed 12 times in a row" in retries._troubles["alpha"].obstacle.message


def test_what_is_under_way_has_not_failed_however_often_it_is_looked_for() -> None:
    retries = Retries(Random(1), Clock())
    for _ in range(3):
        retries.note([Outcome(start("alpha"), 0.1, StillUnderWay("building template 1", node="alpha"))])
    (obstacle,) = retries.obstacles(PLAN)
    assert (obstacle.message, obstacle.under_way) == ("node alpha: building template 1", True)


def test_a_repair_that_does_not_last_is_free_a_few_times_and_then_waited_with() -> None:
    clock = Clock()
    retries = Retries(Random(1), clock)
    for _ in range(FREE_REPAIRS):
        retries.note([done(start("alpha"))])
        assert retries.allowed(PLAN) == PLAN.actions
        clock.now_s += 1
    retries.note([done(start("alpha"))])
    assert retries.allowed(PLAN) == (start("beta"),)
    (obstacle,) = retries.obstacles(PLAN)
    assert "did not last" in obstacle.message


def test_a_repair_that_has_lasted_is_no_longer_counted() -> None:
    clock = Clock()
    retries = Retries(Random(1), clock)
    for _ in range(3 * FREE_REPAIRS):
        retries.note([done(start("alpha"))])
        assert retries.allowed(PLAN) == PLAN.actions
        clock.now_s += 2 * SETTLED_S


def test_asking_a_node_to_shut_down_is_no_repair_that_does_not_last() -> None:
    retries = Retries(Random(1), Clock())
    for _ in range(3 * FREE_REPAIRS):
        retries.note([done(ShutDown(node="alpha", reason="desired off"))])
    assert retries.due_in_s() is None


def test_a_failure_of_the_whole_cluster_holds_every_node_and_is_said_for_any() -> None:
    retries = Retries(Random(1), Clock())
    retries.note([failed(StartNetwork(name="net", reason="is stopped"))])
    assert retries.allowed(PLAN) == ()
    assert len(retries.obstacles(PLAN)) == 1
    assert retries.obstacles(Plan()) == ()


def test_links_that_cannot_be_set_hold_back_the_nodes_that_have_some_and_no_others() -> None:
    links = SetLinks(node=None, links={"alpha": Inbound()}, changes={}, reason="alpha: cut from beta")
    retries = Retries(Random(1), Clock())
    retries.note([failed(links)])
    plan = Plan(actions=(start("alpha"), start("gamma"), links))
    assert retries.allowed(plan) == (start("gamma"),)
    assert len(retries.obstacles(plan)) == 1
    assert not retries.obstacles(PLAN)


def test_a_change_of_the_record_and_a_request_wipe_the_memory_clean() -> None:
    for wanted in ((2, 0), (1, 1)):
        retries = Retries(Random(1), Clock())
        retries.begin(1, 0)
        retries.note([failed(start("alpha"))])
        retries.begin(1, 0)
        assert retries.allowed(PLAN) == (start("beta"),)
        retries.begin(*wanted)
        assert retries.allowed(PLAN) == PLAN.actions


def test_nodes_that_are_put_back_together_wait_together() -> None:
    retries = Retries(Random(1), Clock())
    retries.note([failed(start("alpha"))])
    assert retries.allowed(Plan(actions=PLAN.actions, all_or_nothing=True)) == ()


def test_upkeep_that_failed_is_put_off_and_nothing_else_waits_for_it() -> None:
    clock = Clock()
    retries = Retries(Random(1), clock)
    upkeep = FlattenLayer(node="alpha", target="vda", path=Path("/l"), base=Path("/b"), lowest=None, reason="long")
    retries.note([failed(upkeep)])
    assert retries.put_off().keys() == {"alpha"}
    assert retries.allowed(PLAN) == PLAN.actions
    assert retries.obstacles(PLAN) == ()
    assert retries.due_in_s() is None
    clock.now_s += LONGEST_DELAY_S
    assert retries.put_off() == {}
