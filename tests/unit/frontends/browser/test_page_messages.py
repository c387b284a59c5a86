"""What the page is told."""

import json
import time
from datetime import UTC, datetime, timedelta

from reconciler.faults.validate import partition_fault
from reconciler.frontends.browser.page_messages import (
    encoded,
    kernel_message,
    losses_message,
    plan_message,
    view_message,
)
from reconciler.model.document import PowerState
from reconciler.model.faults import Halves, PartitionRequest
from reconciler.model.kernel_log import DmesgLine, DmesgResult, KernelEvent
from reconciler.model.record import ClusterRecord
from reconciler.usecases.live_view import LiveCluster, pending_plan
from reconciler.usecases.revert_losses import NodeLoss, RevertLosses
from tests.unit.frontends.web.shown_lab import CLUSTER, ShownLab


def loud(text: str) -> str:
    return text.upper()


async def cut_for_a_minute(lab: ShownLab, record: ClusterRecord, names: list[str]) -> None:
    """Write down that the nodes are to be cut into two halves."""
    now = datetime.now(UTC)
    request, until = PartitionRequest(shape=Halves()), now + timedelta(minutes=1)
    fault = partition_fault(request, names, handle_id="partition-1", created_at=now, expires_at=until)
    cut = record.model_copy(update={"faults": {"partition-1": fault}})
    await lab.runtime.store.put(cut, expected_generation=record.generation, actor="test")


def test_bytes_that_are_no_text_are_json_in_one_line() -> None:
    content = encoded({"name": "a\udc80\n</script>"})
    assert content.count(b"\n") == 0
    assert content.isascii()
    assert json.loads(content) == {"name": "a\udc80\n</script>"}


async def test_two_looks_at_what_stays_are_the_same_message(lab: ShownLab) -> None:
    await cut_for_a_minute(lab, await lab.define(), ["alpha", "beta", "gamma"])
    live = LiveCluster(lab.runtime, CLUSTER)
    first = encoded(view_message(await live.look(), str))
    assert await live.look() is await live.look()
    second = encoded(view_message(await LiveCluster(lab.runtime, CLUSTER).look(), str))
    assert first == second
    assert json.loads(first)["settled"] is False
    assert 0 < json.loads(first)["edges"][0]["ends_at"] - time.time() <= 60.1  # it is rounded


async def test_what_a_node_answered_is_not_said_of_it_in_another_state(lab: ShownLab) -> None:
    await lab.define()
    lab.silent.add("beta")
    live = LiveCluster(lab.runtime, CLUSTER)
    assert [of.problem for of in (await live.look()).graph.nodes] == ["", "", ""]
    await live.ask_nodes()
    assert [of.problem for of in (await live.look()).graph.nodes] == ["", "no SSH login", ""]
    lab.turn("beta", PowerState.OFF)
    assert [of.problem for of in (await live.look()).graph.nodes] == ["", "", ""]


async def test_three_hundred_nodes_in_two_halves_are_a_message_of_bounded_size(lab: ShownLab) -> None:
    names = [f"node-{number}" for number in range(300)]
    await cut_for_a_minute(lab, await lab.define(*names), names)
    message = view_message(await LiveCluster(lab.runtime, CLUSTER).look(), str)
    assert len(message["edges"]) == 400
    assert message["left_out"] == "22100 more links have faults"
    assert len(encoded(message)) < 200_000


async def test_a_plan_says_what_is_pending_and_why(lab: ShownLab) -> None:
    await lab.define()
    assert plan_message(await pending_plan(lab.runtime, CLUSTER), loud)["converged"]
    lab.turn("alpha", PowerState.OFF)
    plan = plan_message(await pending_plan(lab.runtime, CLUSTER), loud)
    assert [(of["address"], of["action"], of["change"]) for of in plan["actions"]] == [
        ("power/alpha", "Start", "update")
    ]
    assert plan["actions"][0]["reason"].startswith("DESIRED RUNNING")


def test_a_kernels_report_keeps_its_lines_as_they_are() -> None:
    line = DmesgLine(timestamp=1.5, level="err", facility="kern", text="<b>BUG</b>", classified_as="oops")
    event = KernelEvent(kind="oops", classified_as="oops", summary="<b>BUG</b>", timestamp=1.5, lines=("<b>BUG</b>",))
    log = DmesgResult(
        lines=(line,), oops_detected=True, panic_detected=False, warning_count=0, error_count=1, events=(event,)
    )
    told = kernel_message(log, loud)
    assert told["lines"] == [{"at": 1.5, "level": "err", "text": "<b>BUG</b>"}]
    assert told["events"] == [{"kind": "oops", "summary": "<b>BUG</b>", "at": 1.5, "lines": ("<b>BUG</b>",)}]


def test_losses_of_which_nothing_is_known_say_so() -> None:
    unknown = NodeLoss(memory=None, written_bytes=None, kept_by=None, kept_until=None)
    losses = RevertLosses(cluster_name="lab", snapshot_name="one", created_at=None, per_node={"alpha": unknown})
    assert losses_message(losses) == {
        "taken_at": None,
        "nodes": {"alpha": {"memory": None, "written_bytes": None, "kept_by": None}},
    }
