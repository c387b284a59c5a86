"""Plans as people read them, letter by letter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.error_codes import ErrorCode
from reconciler.frontends.cli.plan_text import plan_lines
from reconciler.model.plan import Disruption
from reconciler.model.status import Obstacle
from reconciler.records.plan_view import ActionView, ChangeName, MemoryFate, PlanSummary, PlanView

NOTHING = PlanSummary(create=0, update=0, delete=0, restarts=(), recreates=(), data_loss=())


def action(
    address: str, reason: str, change: ChangeName = "create", disruption: str = "none", name: str = "Act"
) -> ActionView:
    node = address.split("/")[1]
    return ActionView(
        address=address, action=name, change=change, node=node, reason=reason, disruption=Disruption(disruption)
    )


def view(*actions: ActionView, summary: PlanSummary = NOTHING, **more: object) -> PlanView:
    fields = {
        "cluster_name": "lab",
        "generation": 3,
        "plan_hash": "0123456789abcdef",
        "converged": False,
        "blocked": False,
        "obstacles": (),
        "waiting": (),
        "patch": (),
        "record_patch": (),
    }
    return PlanView.model_validate({**fields, "actions": actions, "summary": summary, **more})


def printed(view: PlanView, limit: int | None = None, agreed: tuple[str, ...] = ()) -> str:
    return "\n".join(text for text, _ in plan_lines(view, limit=limit, agreed=agreed))


def test_nothing_to_do_is_said_in_so_many_words() -> None:
    assert printed(view(converged=True)) == "cluster lab, generation 3\nnothing to do"


def test_a_rollback_names_the_generation_that_it_restores() -> None:
    assert printed(view(converged=True, back_to=1)).startswith("cluster lab, generation 3, back to generation 1\n")


def test_a_plan_shows_what_changes_why_and_what_it_costs() -> None:
    summary = PlanSummary(
        create=1, update=2, delete=1, restarts=("worker-0",), recreates=(), data_loss=("layer/worker-1/vdb",)
    )
    plan = view(
        action("power/worker-0", "memory_mb 512 -> 768", "update", "restart", "ShutDown"),
        action("network/clusternet", "not created yet"),
        action("domain/worker-0", "memory_mb 512 -> 768", "update", "restart"),
        action("layer/worker-1/vdb", "no longer desired", "delete", "data-loss"),
        summary=summary,
    )
    assert printed(plan) == (
        "cluster lab, generation 3\n"
        "\n"
        "  ~ power/worker-0      shut down: memory_mb 512 -> 768  [restart]\n"
        "  + network/clusternet  not created yet\n"
        "  ~ domain/worker-0     memory_mb 512 -> 768  [restart]\n"
        "  - layer/worker-1/vdb  no longer desired  [data-loss]\n"
        "\n"
        "Plan: 1 to create, 2 to change, 1 to delete; restarts: worker-0; data loss: layer/worker-1/vdb"
    )
    assert [color for _, color in plan_lines(plan)] == [None, None, "yellow", "green", "yellow", "red", None, None]


def test_a_node_that_stays_off_is_not_said_to_restart() -> None:
    summary = NOTHING.model_copy(update={"update": 2, "restarts": ("n0", "n1"), "turns_off": ("n1",)})
    plan = view(
        action("power/n0", "cpu", "update", "restart", "ShutDown"),
        action("power/n1", "desired off", "update", "restart", "ShutDown"),
        summary=summary,
    )
    assert printed(plan).splitlines()[2:] == [
        "  ~ power/n0  shut down: cpu  [restart]",
        "  ~ power/n1  shut down: desired off  [power off]",
        "",
        "Plan: 0 to create, 2 to change, 0 to delete; restarts: n0; turns off: n1; data loss: none",
    ]


@pytest.mark.parametrize(
    ("agreed", "said"),
    [
        ((), ["needs --allow-data-loss and --allow-restart"]),
        (("allow_restart",), ["approved by --allow-restart", "needs --allow-data-loss"]),
        (("allow_restart", "allow_data_loss"), ["approved by --allow-data-loss and --allow-restart"]),
        (("allow_data_loss",), ["approved by --allow-data-loss", "needs --allow-restart"]),
    ],
)
def test_a_plan_asks_only_for_what_nobody_has_agreed_to(agreed: tuple[str, ...], said: list[str]) -> None:
    costly = view(action("domain/n0", "cpu"), approvals=("allow_data_loss", "allow_restart"))
    assert printed(costly, agreed=agreed).splitlines()[-len(said) :] == said


def test_nodes_that_are_recreated_and_that_leave_are_named_apart() -> None:
    costs = PlanSummary(create=0, update=1, delete=1, restarts=(), recreates=("n0",), removes=("n1",), data_loss=())
    shown = printed(view(action("domain/n0", "recreated for ip 1 -> 2", "update", "recreate"), summary=costs))
    assert "recreated for ip 1 -> 2  [recreate]" in shown
    assert shown.endswith("recreates: n0; removes: n1; data loss: none")


def test_obstacles_are_listed_with_their_codes_and_nodes_on_their_way_down_are_named() -> None:
    obstacle = Obstacle(code=ErrorCode.CONFLICT, message="not ours", node="worker-0", terminal=True)
    assert printed(view(generation=0, obstacles=(obstacle,), waiting=("worker-1",))) == (
        "cluster lab, new\n"
        "\n"
        "  ! [CONFLICT] worker-0: not ours\n"
        "  … worker-1 is shutting down\n"
        "\n"
        "Plan: nothing can be done now"
    )


def test_a_change_of_the_record_alone_is_told() -> None:
    patch = {"op": "replace", "path": "/spec/nodes/n2/restart", "value": "on-crash"}
    changed = view(record_patch=(patch,), record_changes=("~ n2: restart always -> on-crash", "+ node n3"))
    told = "Plan: only the record changes: ~ n2: restart always -> on-crash; + node n3"
    assert printed(changed).endswith(told)


def test_the_files_of_disks_that_leave_are_said_to_be_kept() -> None:
    left = view(action("domain/n", "disks changed", "update"), kept_files=("/disks/data.qcow2",))
    line = "  = /disks/data.qcow2 is kept, but no node uses it; destroy --remove-overlays deletes it"
    assert line in printed(left).splitlines()


def test_a_short_plan_counts_what_it_leaves_out() -> None:
    actions = [action(f"seed/n{number}", "not created yet") for number in range(5)]
    lines = printed(view(*actions), limit=3).splitlines()
    assert lines[2:5] == [
        "  + seed/n0  not created yet",
        "  + seed/n1  not created yet",
        "  … and 3 more without a cost (`vmcluster plan` shows them)",
    ]
    assert "more" not in printed(view(*actions), limit=5)


def test_a_short_plan_never_leaves_out_what_has_a_price() -> None:
    free = [action(f"seed/n{number}", "not created yet") for number in range(5)]
    prices = ["restart", "recreate", "remove", "data-loss"]
    costly = [action(f"domain/{price}", "changed", "update", price) for price in prices]
    shown = printed(view(*free, *costly), limit=3)
    assert all(f"[{price}]" in shown for price in prices)
    assert "… and 5 more without a cost" in shown
    assert "more" not in printed(view(*costly), limit=3)


@given(
    actions=st.lists(st.tuples(st.sampled_from(Disruption), st.sampled_from([None, "kept", "lost"])), max_size=60),
    limit=st.integers(min_value=1, max_value=40),
)
def test_whatever_a_plan_is_a_short_one_shows_each_price_in_order_and_counts_the_rest(
    actions: list[tuple[Disruption, MemoryFate | None]], limit: int
) -> None:
    shown = [
        action(f"domain/n{number}", "why", "update", disruption).model_copy(update={"memory": fate})
        for number, (disruption, fate) in enumerate(actions)
    ]
    lines = printed(view(*shown), limit=limit).splitlines()
    numbers = [int(line.split()[1].removeprefix("domain/n")) for line in lines if "domain/n" in line]
    costly = {number for number, of in enumerate(actions) if of[0] is not Disruption.NONE or of[1] == "lost"}
    assert costly <= {*numbers}
    assert numbers == sorted(numbers)
    assert len(numbers) <= max(limit, len(costly))
    left_out = [int(line.split()[2]) for line in lines if "without a cost" in line]
    assert sum(left_out) + len(numbers) == len(actions)


def test_hostile_reasons_stay_on_their_line() -> None:
    hostile = view(action("domain/n", "role a -> \x1b[2J\nPlan: nothing"))
    assert "  + domain/n  role a -> \\x1b[2J\\nPlan: nothing" in printed(hostile).splitlines()
