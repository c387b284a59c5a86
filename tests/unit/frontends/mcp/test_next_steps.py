"""The next step names tools that exist, with arguments that they have."""

import re
from typing import Any

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.frontends.mcp.listed_tools import listed_tools
from reconciler.frontends.mcp.next_steps import _AFTER, next_step
from reconciler.frontends.mcp.tools import TOOLS
from tests.unit.frontends.mcp.test_answer_limits import plenty_of

KNOWN = {"cluster_name": "lab", "node_name": "n0", "snapshot_name": "s", "artifact_id": "abcdef", "topology": "lab"}


def check(step: str) -> None:
    """Every call in a step is one that the server takes."""
    calls = re.findall(r"(\w+)\(([^()]*)\)", step)
    for tool, arguments in calls:
        names = set(re.findall(r"(\w+)=", re.sub(r'"[^"]*"', "", arguments)))
        assert names <= listed_tools()[tool].input_schema["properties"].keys(), step
        assert "{" not in step


@pytest.mark.parametrize("definition", TOOLS, ids=lambda definition: definition.name)
def test_after_every_tool_comes_a_call_that_there_is(definition: Any) -> None:
    answer, _ = plenty_of(definition)
    step = next_step(definition.name, KNOWN, answer.model_dump(mode="json"))
    assert step
    check(step)


@pytest.mark.parametrize("code", ErrorCode)
def test_after_every_error_comes_a_call_that_there_is(code: ErrorCode) -> None:
    error = {"code": code.value, "message": "", "node": "n1", "recoverable": False}
    step = next_step("cluster_status", {"cluster_name": "lab"}, {"result": None, "error": error})
    assert step
    check(step)


def test_the_table_names_only_tools() -> None:
    assert _AFTER.keys() <= listed_tools().keys()


def test_a_tool_that_is_switched_off_is_no_next_step() -> None:
    off = [{"name": "n0", "domain_state": "shut off", "ssh_reachable": False}]
    answer = {"result": {"cluster_name": "lab", "nodes": off}, "error": None}
    offered = {"cluster_list", "cluster_status"}
    assert next_step("cluster_status", {}, answer, offered) == 'cluster_status(cluster_name="lab")'
    assert next_step("cluster_list", {}, {"result": [], "error": None}, offered) == "cluster_list()"


@pytest.mark.parametrize(
    ("nodes", "step"),
    [
        ([("running", True)], 'node_exec(cluster_name="lab", node_name="n0", command="uname -r")'),
        ([("running", True), ("paused", False)], 'cluster_start(cluster_name="lab")'),
        ([("shut off", False)], 'cluster_start(cluster_name="lab")'),
        (
            [("running", True), ("crashed", False)],
            'dmesg_collect(cluster_name="lab"), then node_crash(cluster_name="lab", node="n1") to reboot it',
        ),
    ],
)
def test_after_a_status_comes_what_its_nodes_need(nodes: list[tuple[str, bool]], step: str) -> None:
    said = [{"name": f"n{i}", "domain_state": of, "ssh_reachable": up} for i, (of, up) in enumerate(nodes)]
    result = {"cluster_name": "lab", "nodes": said}
    assert next_step("cluster_status", {}, {"result": result, "error": None}) == step
