"""Links in a plan: who waits for them, what is set when, and how it reads."""

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.model.document import PULLED, ClusterDocument, NodeLinks, Power, PowerState, Unknown
from reconciler.model.links import HOST, Impairment, Link
from reconciler.model.plan import (
    ChangeKind,
    CutPower,
    HealLinks,
    Plan,
    PlugTap,
    Resume,
    SetLinks,
    Start,
)
from reconciler.model.stage import Stage
from reconciler.plan.planner import plan
from tests.simulation.worlds import as_wanted, compiled, running_record

RECORD = running_record("alpha", "beta", "gamma")
WANTED = compiled(RECORD)
REAL = as_wanted(RECORD)
CUT = Link(cut=True)
SLOW = Link(impairment=Impairment(delay_ms=80))


def linked(document: ClusterDocument, **links: NodeLinks) -> ClusterDocument:
    return document.model_copy(update={"links": links})


def powered(document: ClusterDocument, node: str, power: Power) -> ClusterDocument:
    return document.model_copy(update={"power": {**document.power, node: power}})


def off(document: ClusterDocument, *nodes: str) -> ClusterDocument:
    power = {node: Power(state=PowerState.OFF) if node in nodes else of for node, of in document.power.items()}
    taps = {node: of for node, of in document.taps.items() if node not in nodes}
    return document.model_copy(update={"power": power, "taps": taps})


def kinds(todo: Plan) -> list[tuple[str, str | None]]:
    return [(type(action).__name__, action.node) for stage in todo.stages() for action in stage]


def test_a_node_that_boots_under_an_impairment_stands_still_until_its_tap_has_it() -> None:
    wanted = linked(WANTED, alpha=NodeLinks(links={"beta": SLOW}))
    todo = plan(wanted, linked(off(REAL, "alpha", "gamma")))
    assert kinds(todo) == [("Start", "alpha"), ("Start", "gamma"), ("SetLinks", None), ("Resume", "alpha")]
    starts = {action.node: action for action in todo.actions if isinstance(action, Start)}
    assert (starts["alpha"].paused, starts["alpha"].resume_epoch) == (True, -1)
    assert (starts["gamma"].paused, starts["gamma"].resume_epoch) == (False, 0)


def test_an_impairment_of_a_machine_that_cannot_be_seen_is_left_alone() -> None:
    slow = NodeLinks(links={"beta": SLOW})
    unseen = Unknown(unknown="its state cannot be read", code=ErrorCode.LIBVIRT_UNAVAILABLE)
    observed = linked(REAL.model_copy(update={"power": {**REAL.power, "alpha": unseen}}), alpha=slow)
    assert not [of for of in plan(linked(WANTED, alpha=slow), observed).actions if isinstance(of, SetLinks)]


def test_a_node_whose_cuts_are_there_already_boots_at_once() -> None:
    cut = NodeLinks(links={"beta": CUT})
    assert kinds(plan(linked(WANTED, alpha=cut), linked(off(REAL, "alpha"), alpha=cut))) == [("Start", "alpha")]


def test_a_node_that_sends_waits_for_the_links_of_those_who_receive() -> None:
    wanted = linked(WANTED, alpha=NodeLinks(links={"beta": SLOW}))
    assert kinds(plan(wanted, off(REAL, "beta"))) == [("Start", "beta"), ("SetLinks", None), ("Resume", "beta")]


def test_a_node_waits_for_a_cut_of_its_own_to_be_healed_where_others_are_cut_off_otherwise() -> None:
    """The old fault cut the link, the new one pulls the other end's cable: nothing is left to do at this end."""
    cut = NodeLinks(links={"alpha": CUT})
    wanted = linked(WANTED, alpha=NodeLinks(down=True))
    assert kinds(plan(wanted, linked(off(REAL, "beta"), beta=cut))) == [
        ("Start", "beta"),
        ("SetLinks", None),
        ("Resume", "beta"),
    ]


def test_a_node_that_was_left_standing_runs_on_after_its_links() -> None:
    wanted = linked(WANTED, alpha=NodeLinks(links={"beta": SLOW}))
    stands = Power(state=PowerState.PAUSED, resume_epoch=-1)
    assert kinds(plan(wanted, powered(REAL, "alpha", stands))) == [("SetLinks", None), ("Resume", "alpha")]
    healed = powered(REAL, "alpha", stands)
    assert kinds(plan(WANTED, healed)) == [("Resume", "alpha")]


def test_a_node_that_somebody_has_paused_stays_so_under_faults_too() -> None:
    wanted = linked(WANTED, alpha=NodeLinks(links={"beta": SLOW}))
    todo = plan(wanted, powered(REAL, "alpha", Power(state=PowerState.PAUSED)))
    assert kinds(todo) == [("SetLinks", None)]
    assert [obstacle.code for obstacle in todo.obstacles] == [ErrorCode.GUEST_PAUSED]


def test_a_node_that_is_desired_paused_gets_its_links_and_is_not_let_run() -> None:
    wanted = linked(WANTED, alpha=NodeLinks(links={"beta": SLOW}))
    wanted = powered(wanted, "alpha", Power(state=PowerState.PAUSED))
    assert kinds(plan(wanted, off(REAL, "alpha"))) == [("Start", "alpha"), ("SetLinks", None)]


def test_a_power_cycle_takes_the_tap_and_all_that_was_on_it() -> None:
    there = NodeLinks(links={"beta": SLOW})
    cycled = powered(linked(WANTED, alpha=there), "alpha", Power(state=PowerState.RUNNING, boot_epoch=1))
    todo = plan(cycled, linked(REAL, alpha=there))
    assert kinds(todo) == [("CutPower", "alpha"), ("Start", "alpha"), ("SetLinks", None), ("Resume", "alpha")]


def test_a_node_whose_start_is_withheld_keeps_the_links_of_its_tap_up_to_date() -> None:
    there = NodeLinks(links={"beta": SLOW})
    wanted = powered(linked(WANTED, alpha=there), "alpha", Power(state=PowerState.RUNNING, boot_epoch=1))
    unreadable = Unknown(unknown="not made by us", code=ErrorCode.CONFLICT, terminal=True)
    blocked = REAL.model_copy(update={"seeds": {**REAL.seeds, "alpha": unreadable}})
    assert plan(wanted, linked(blocked, alpha=there)).actions == ()
    assert kinds(plan(wanted, blocked)) == [("SetLinks", None)]
    assert plan(wanted, off(blocked, "alpha")).actions == ()


def test_what_nobody_wants_is_healed_before_anything_is_taken_away() -> None:
    left = NodeLinks(links={"<vmc-gone>": CUT})
    todo = plan(ClusterDocument(), linked(REAL, alpha=left))
    (heal,) = (action for action in todo.actions if isinstance(action, HealLinks))
    assert next(todo.stages()) == (heal,)
    assert heal.changes["alpha"].change is ChangeKind.DELETE
    assert heal.changes["alpha"].reason == "hears <vmc-gone> again"
    assert HealLinks.stage < CutPower.stage < Start.stage < SetLinks.stage < Resume.stage
    assert HealLinks.stage > Stage.PREPARE


def test_a_plan_reads_as_what_becomes_of_the_packets_and_why() -> None:
    both = CUT.model_copy(update={"impairment": Impairment(loss_pct=5)})
    wanted = linked(
        WANTED,
        alpha=NodeLinks(links={"beta": CUT, "gamma": CUT}, causes={"beta": ("p-1",), "gamma": ("p-1",)}),
        beta=NodeLinks(links={"alpha": SLOW}, causes={"alpha": ("i-2", "i-3")}),
        gamma=NodeLinks(links={"alpha": both}, down=True, causes={"alpha": ("p-4",), PULLED: ("d-5",)}),
    )
    (action,) = plan(wanted, linked(REAL, beta=NodeLinks(links={"gamma": CUT}))).actions
    assert isinstance(action, SetLinks)
    assert {node: (of.change, of.reason) for node, of in action.changes.items()} == {
        "alpha": (ChangeKind.CREATE, "cut from beta, gamma (p-1)"),
        "beta": (ChangeKind.UPDATE, "from alpha: delays by 80 ms (i-2, i-3); hears gamma again"),
        "gamma": (
            ChangeKind.CREATE,
            "its cable is pulled (d-5); cut from alpha, and when that is healed loses 5 % (p-4)",
        ),
    }
    assert action.reason.startswith("alpha: cut from beta, gamma (p-1); beta: ")


def test_the_reason_of_many_changes_is_short() -> None:
    many = {f"n{i}": NodeLinks(links={f"m{j}": CUT for j in range(30)}) for i in range(30)}
    (action,) = plan(linked(WANTED, **many), REAL).actions
    assert action.reason.endswith("and 27 more nodes")
    assert len(action.reason) < 300


@pytest.mark.parametrize("code", [ErrorCode.HOST_COMMAND_FAILED, ErrorCode.HOST_CAPABILITY_MISSING])
def test_where_links_cannot_be_seen_none_is_set_and_nobody_runs_who_waits_for_them(code: ErrorCode) -> None:
    unseen = REAL.model_copy(update={"links": {HOST: Unknown(unknown="nft is broken", code=code)}})
    wanted = linked(WANTED, alpha=NodeLinks(links={"beta": SLOW}))
    todo = plan(wanted, off(unseen, "alpha", "beta", "gamma"))
    assert kinds(todo) == [("Start", "gamma")]
    assert [obstacle.code for obstacle in todo.obstacles] == [code]


def test_who_may_not_look_at_links_and_wants_none_is_not_hindered() -> None:
    def seen(*, unprivileged: bool) -> Plan:
        unseen = Unknown(unknown="no nft", code=ErrorCode.HOST_CAPABILITY_MISSING, unprivileged=unprivileged)
        return plan(WANTED, REAL.model_copy(update={"links": {HOST: unseen}}))

    assert seen(unprivileged=True) == Plan()
    hindered = seen(unprivileged=False)
    assert [obstacle.code for obstacle in hindered.obstacles] == [ErrorCode.HOST_CAPABILITY_MISSING]


def test_a_tap_is_plugged_in_again_without_putting_up_a_pulled_cable() -> None:
    wanted = linked(WANTED, alpha=NodeLinks(down=True))
    unplugged = {node: tap.model_copy(update={"bridge": None}) for node, tap in REAL.taps.items()}
    observed = linked(REAL.model_copy(update={"taps": unplugged}), alpha=NodeLinks(down=True))
    plugs = {action.node: action.up for action in plan(wanted, observed).actions if isinstance(action, PlugTap)}
    assert plugs == {"alpha": False, "beta": True, "gamma": True}
