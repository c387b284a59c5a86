"""A default answer holds what says something, and all that the contract promises."""

from datetime import UTC, datetime
from typing import Any

from reconciler.error_codes import ErrorCode
from reconciler.frontends.mcp import callable_tools
from reconciler.frontends.mcp.answer_limits import Extent
from reconciler.model.kernel_log import DmesgLine, DmesgResult, KernelEvent
from reconciler.model.results import ClusterStatus, DomainState, NodeStatus, ToolError, ToolResult
from reconciler.model.status import Condition, ConditionStatus, ConditionType

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def condition(kind: ConditionType, status: ConditionStatus) -> Condition:
    return Condition(type=kind, status=status, reason="R", last_transition=NOW)


def shown(result: Any, *, full: bool = False) -> Any:
    answer = ToolResult[Any](success=True, result=result)
    said = callable_tools.protocol_result(answer, "cluster_wait", {}, Extent(full=full)).structured_content
    assert said
    return said["result"]


def test_fields_that_are_null_or_empty_are_left_out_but_not_those_of_the_contract() -> None:
    node = NodeStatus(name="a", role="", ip="10.0.0.1", domain_state=DomainState.RUNNING, ssh_reachable=True)
    status = ClusterStatus(cluster_name="lab", network_active=True, nodes=(node,), generation=3)
    assert shown(status) == {
        "cluster_name": "lab",
        "network_active": True,
        "generation": 3,
        "observed_generation": 0,
        "nodes": [
            {
                "name": "a",
                "role": "",
                "ip": "10.0.0.1",
                "domain_state": "running",
                "ssh_reachable": True,
                "artifact_id_installed": None,
                "loaded_modules": [],
            }
        ],
    }
    everything = shown(status, full=True)
    assert everything["omitted"] == {}
    assert everything["nodes"][0].keys() == NodeStatus.model_fields.keys()


def test_of_conditions_only_ready_and_what_is_not_as_it_should_be_is_shown() -> None:
    good, bad = ConditionStatus.TRUE, ConditionStatus.FALSE
    conditions = (
        condition(ConditionType.DEFINED, good),
        condition(ConditionType.RUNNING, bad),
        condition(ConditionType.DRIFTED, bad),
        condition(ConditionType.FAULTS_APPLIED, ConditionStatus.UNKNOWN),
        condition(ConditionType.READY, good),
    )
    status = ClusterStatus(cluster_name="lab", network_active=True, nodes=(), conditions=conditions)
    assert [of["type"] for of in shown(status)["conditions"]] == ["Running", "FaultsApplied", "Ready"]
    drifted = status.model_copy(update={"conditions": (condition(ConditionType.DRIFTED, good),)})
    assert [of["type"] for of in shown(drifted)["conditions"]] == ["Drifted"]
    assert len(shown(status, full=True)["conditions"]) == 5


def test_an_events_trace_is_shown_on_request_only() -> None:
    trace = ("BUG: kernel NULL pointer dereference", "Call Trace:", "foo+0x1/0x2 [mod]")
    event = KernelEvent(kind="null_pointer", classified_as="oops", summary=trace[0], timestamp=1.0, lines=trace)
    lines = [("Linux version", "normal"), *((text, "oops") for text in trace), ("foo+0x1/0x2 [mod]", "normal")]
    log = DmesgResult(
        lines=[DmesgLine(timestamp=1.0, level=None, facility=None, text=text, classified_as=of) for text, of in lines],
        oops_detected=True,
        panic_detected=False,
        warning_count=0,
        error_count=1,
        events=(event,),
    )
    brief = shown({"n0": log})["n0"]
    assert [line["text"] for line in brief["lines"]] == ["Linux version", trace[0], trace[-1]]
    assert brief["omitted"] == {"trace_lines": 2}
    assert len(shown({"n0": log}, full=True)["n0"]["lines"]) == len(lines)
    (said,) = brief["events"]
    assert said["lines"] == []
    assert said["omitted"] == {"lines": 3}
    assert shown({"n0": log}, full=True)["n0"]["events"][0]["lines"] == list(trace)


def test_an_error_keeps_its_fields_and_names_the_next_call() -> None:
    answer = ToolResult[None](
        success=False, error=ToolError(code=ErrorCode.SSH_TIMEOUT, message="no login", recoverable=True)
    )
    said = callable_tools.protocol_result(answer, "cluster_start", {"cluster_name": 'l"b'}).structured_content
    assert said == {
        "success": False,
        "result": None,
        "error": {"code": "SSH_TIMEOUT", "message": "no login", "node": None, "recoverable": True},
        "next": 'cluster_start(cluster_name="l\\"b", ssh_timeout_s=300) to wait longer',
    }
