"""The next step names tools that exist, with arguments that they have."""

import re
from typing import Any

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.frontends.mcp.listed_tools import listed_tools
from reconciler.frontends.mcp.next_steps import _AFTER, naming_switched_off, next_step
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


def test_a_message_says_which_of_the_tools_it_names_are_switched_off() -> None:
    message = "it is off (`cluster_start` boots it, `node_exec` runs what you like)"
    assert (
        naming_switched_off(message, {"node_exec"})
        == f"{message}; switched off on this server: cluster_start: ask your user"
    )
    assert naming_switched_off(message, listed_tools()) == message
    assert naming_switched_off(message, None) == message


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


def said(tool: str, result: Any, **arguments: Any) -> str:
    return next_step(tool, {"cluster_name": "lab", **arguments}, {"result": result, "error": None})


def test_nodes_that_accept_no_login_are_waited_for_though_nobody_knows_how_their_kernels_are() -> None:
    unknown = [{"type": "KernelHealthy", "status": "Unknown"}]
    node = {"name": "n0", "domain_state": "running", "ssh_reachable": False, "conditions": unknown}
    assert said("cluster_status", {"nodes": [node]}) == 'cluster_start(cluster_name="lab")'
    sick = {**node, "conditions": [{"type": "KernelHealthy", "status": "False"}]}
    assert said("cluster_status", {"nodes": [sick]}) == 'dmesg_collect(cluster_name="lab")'


def test_a_tree_without_snapshots_is_followed_by_taking_one() -> None:
    assert said("snapshot_tree", {"snapshots": []}).startswith('snapshot_create(cluster_name="lab"')
    assert said("snapshot_tree", {"snapshots": [{"snapshot_name": "s"}]}).endswith('snapshot_name="s")')


def test_a_link_that_is_not_as_its_faults_say_is_explained_next() -> None:
    link = {"sender": "a", "receiver": "b", "verdict": "confirmed"}
    assert said("fault_verify", {"links": [link]}).startswith("net_heal_all(")
    wrong = {**link, "verdict": "mismatch"}
    assert said("fault_verify", {"links": [link, wrong]}) == (
        'fault_explain(cluster_name="lab", sender="a", receiver="b")'
    )


@pytest.mark.parametrize(
    ("tool", "arguments", "step"),
    [
        ("cluster_apply", {"topology": "lab"}, 'cluster_plan(topology="lab")'),
        ("cluster_define", {"topology_name": "lab"}, 'cluster_plan(topology="lab")'),
        ("cluster_apply", {"topology": None, "topology_yaml": "a: b"}, "cluster_plan(topology_yaml=…)"),
        ("cluster_rollback", {}, 'cluster_rollback_plan(cluster_name="lab")'),
        ("cluster_stop", {}, "ask your user"),
    ],
)
def test_before_a_user_is_asked_the_plan_shows_what_it_costs(tool: str, arguments: dict[str, Any], step: str) -> None:
    error = {"code": "APPROVAL_REQUIRED", "message": "", "node": None, "recoverable": True}
    found = next_step(tool, {"cluster_name": "lab", **arguments}, {"result": None, "error": error})
    assert found.removesuffix(" shows what to ask your user") == step


def test_a_plan_of_a_topology_as_text_is_applied_as_text() -> None:
    plan = {"converged": False, "blocked": False, "plan_hash": "0a"}
    arguments = {"topology": None, "topology_yaml": "a: {b: c}"}
    assert said("cluster_plan", plan, **arguments) == 'cluster_apply(topology_yaml=…, plan_hash="0a")'
