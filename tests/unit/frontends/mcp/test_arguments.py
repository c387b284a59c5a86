"""Arguments that do not fit are answered in the envelope, with the argument's name and the remedy."""

from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from reconciler.frontends.mcp.callable_tools import DEFINITIONS, callable_tool
from tests.unit.frontends.mcp.conftest import Agent


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("cluster_status", {}, ["'cluster_name' is missing", "The cluster"]),
        ("cluster_status", {"cluster_name": ""}, ["'cluster_name'", "at least 1 character"]),
        ("cluster_status", {"cluster_name": 7}, ["'cluster_name'", "valid string", "not 7"]),
        (
            "cluster_start",
            {"cluster_name": "lab", "ssh_timeout_s": 0},
            ["'ssh_timeout_s'", "greater than 0", "Seconds"],
        ),
        ("cluster_start", {"cluster_name": "lab", "ssh_timeout_s": 1e9}, ["'ssh_timeout_s'", "86400"]),
        ("cluster_start", {"cluster_name": "lab", "wait_for_ssh": "maybe"}, ["'wait_for_ssh'", "boolean", "'maybe'"]),
        ("cluster_stop", {"cluster_name": "lab", "mode": "gently"}, ["'mode'", "'shutdown' or 'destroy'", "'gently'"]),
        ("cluster_stop", {"cluster_name": "lab", "timeout": 5}, ["no argument 'timeout'", "did you mean 'timeout_s'?"]),
        ("cluster_start", {"cluster": "lab"}, ["no argument 'cluster', did you mean 'cluster_name'?", "it takes"]),
        ("cluster_status", {"cluster_name": "lab", "xyz": 1}, ["no argument 'xyz' (it takes cluster_name, "]),
        ("cluster_start", {"cluster_name": "lab", "ssh_timeout_s": True}, ["'ssh_timeout_s'", "number, not True"]),
        ("node_console", {"cluster_name": "lab", "node_name": "a", "tail": False}, ["'tail'", "number, not False"]),
        ("node_exec", {"cluster_name": "lab", "node_name": "a", "command": None}, ["'command' is missing"]),
        ("node_exec", {"cluster_name": "lab", "node_name": "a", "command": {"a": 1}}, ["'command'", "valid string"]),
        ("node_exec", {"cluster_name": "lab", "node_name": "a", "command": ""}, ["'command'", "Shell command line"]),
        ("node_exec", {"cluster_name": "lab", "node_name": "a", "command": "x", "env": {"A": []}}, ["'env'", "string"]),
        ("node_exec", {"cluster_name": "lab", "node_name": "a", "command": "x", "env": "A=1"}, ["'env'", "dictionary"]),
        (
            "node_exec_all",
            {"cluster_name": "lab", "command": "x", "nodes": {"a": 1}},
            ["'nodes'", "list", "every node"],
        ),
        ("node_exec_all", {"cluster_name": "lab", "command": "x", "nodes": [1]}, ["'nodes'", "valid string"]),
        ("snapshot_create", {"cluster_name": "lab"}, ["'snapshot_name' is missing", "Name of a snapshot"]),
        (
            "snapshot_revert",
            {"cluster_name": "lab", "snapshot_name": "a", "restart_after": "perhaps"},
            ["'restart_after'", "boolean"],
        ),
    ],
)
async def test_a_refusal_names_the_argument_and_what_it_should_be(
    tool: str, arguments: dict[str, Any], words: list[str], agent: Agent
) -> None:
    envelope = await agent.call(tool, **arguments)
    assert envelope["error"]["code"] == "INVALID_ARGUMENT"
    assert envelope["result"] is None
    for word in words:
        assert word in envelope["error"]["message"]
    assert "pydantic" not in envelope["error"]["message"]


async def test_every_problem_of_a_call_is_named_at_once(agent: Agent) -> None:
    envelope = await agent.call("cluster_start", ssh_timeout_s="soon", force=True)
    for name in ("cluster_name", "ssh_timeout_s", "force"):
        assert f"'{name}'" in envelope["error"]["message"]


async def test_a_long_value_is_not_repeated_whole(agent: Agent) -> None:
    envelope = await agent.call("cluster_stop", cluster_name="lab", mode="x" * 10_000)
    assert len(envelope["error"]["message"]) < 500


async def test_a_tool_that_does_not_exist_is_a_protocol_error(agent: Agent) -> None:
    with pytest.raises(MCPError, match="Unknown tool: cluster_explode"):
        await agent.client.call_tool("cluster_explode", {})


def taken(tool: str, **arguments: Any) -> dict[str, Any]:
    """The arguments as the tool gets them."""
    required = {"cluster_name": "lab", "node_name": "a", "command": "x", "source_node": "a", "source_path": "/s"}
    parameters = callable_tool(tool).parameters["properties"]
    given = {name: value for name, value in required.items() if name in parameters}
    valid: dict[str, Any] = callable_tool(tool).fn_metadata.validate_arguments({**given, **arguments})
    return valid


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", "null", "true", "7", '"x"', " {}\r\n", "\u2028\0\ufeff", ""])
def test_text_arrives_as_it_was_sent_whatever_it_looks_like(text: str) -> None:
    assert taken("node_exec", stdin=text)["stdin"] == text
    assert taken("node_exec", env={"A": text})["env"] == {"A": text}
    assert taken("artifact_register", kernel_version=text)["kernel_version"] == text
    assert taken("dmesg_collect", since_marker=text)["since_marker"] == text
    if text:
        assert taken("node_exec", command=text)["command"] == text


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("n0", ["n0"]),
        ("n0,n1", ["n0", "n1"]),
        (" n0 , n1,", ["n0", "n1"]),
        ('["n0", "n1"]', ["n0", "n1"]),
        ("", []),
        ("all", ["all"]),
        (["n0"], ["n0"]),
        ([], []),
    ],
)
def test_nodes_are_named_by_a_list_or_with_commas(sent: Any, meant: list[str]) -> None:
    for tool in ("node_exec_all", "dmesg_collect", "node_push"):
        extra = {"dest_path": "/d"} if tool == "node_push" else {}
        assert taken(tool, nodes=sent, **extra)["nodes"] == meant
    sides = {"partition_a": sent, "partition_b": [], "groups": [sent], "grudge": {"a": sent}}
    partition = taken("net_partition", **sides)
    assert (partition["partition_a"], partition["groups"], partition["grudge"]) == (meant, [meant], {"a": meant})


@pytest.mark.parametrize(("sent", "meant"), [("n0", "n0"), ("n0,n1", ["n0", "n1"]), ("all", "all"), (["n0"], ["n0"])])
def test_the_target_of_an_impairment_is_one_node_or_several(sent: Any, meant: Any) -> None:
    assert taken("net_impair", target_node=sent)["target_node"] == meant


def test_what_a_client_wrote_as_json_text_is_taken_where_no_text_can_be_meant() -> None:
    sides = {"partition_a": "[]", "partition_b": "", "groups": '[["a"], "b,c"]', "grudge": '{"a": ["b"]}'}
    partition = taken("net_partition", **sides)
    assert (partition["groups"], partition["grudge"]) == ([["a"], ["b", "c"]], {"a": ["b"]})
    assert taken("node_exec", env='{"A": 1}')["env"] == {"A": "1"}


def test_numbers_and_truth_values_become_words() -> None:
    words = {"A": 1, "B": True, "C": 1.5, "D": False, "E": "x", "F": 10**4000}
    assert taken("node_exec", env=words)["env"] == {
        "A": "1",
        "B": "true",
        "C": "1.5",
        "D": "false",
        "E": "x",
        "F": str(10**4000),
    }
    assert taken("artifact_register", metadata={"run": 7})["metadata"] == {"run": "7"}


def test_null_means_the_default_wherever_there_is_one() -> None:
    for name in DEFINITIONS:
        tool = callable_tool(name)
        needed = tool.parameters.get("required", [])
        optional = {key: of.get("default") for key, of in tool.parameters["properties"].items() if key not in needed}
        required = {key: _sample(tool.parameters["properties"][key]) for key in needed}
        given = tool.fn_metadata.validate_arguments({**required, **dict.fromkeys(optional)})
        assert {key: given[key] for key in optional} == optional, name


def test_an_empty_text_means_the_default_of_what_is_no_text() -> None:
    given = taken("cluster_start", ssh_timeout_s="", wait_for_ssh="")
    assert (given["ssh_timeout_s"], given["wait_for_ssh"]) == (120, True)
    assert taken("cluster_stop", mode="")["mode"] == "shutdown"
    assert taken("node_exec", env="", timeout_s="", stdin="") == {**taken("node_exec"), "stdin": ""}
    assert taken("artifact_register", metadata="", kernel_version="")["kernel_version"] == ""


def _sample(parameter: dict[str, Any]) -> Any:
    return "sample" if parameter.get("type") == "string" else []


@pytest.mark.parametrize("tool", ["cluster_list", "artifact_list"])
async def test_a_tool_that_needs_no_argument_ignores_what_a_client_makes_up(tool: str, agent: Agent) -> None:
    for arguments in ({"random_string": "x"}, {"_": None}, {"all": True, "args": []}):
        assert (await agent.call(tool, **arguments))["success"]


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        ("node_exec", {"cluster_name": "lab", "node": "a", "command": "true"}, "CLUSTER_NOT_FOUND"),
        ("node_crash", {"cluster_name": "lab", "node_name": "a"}, "CLUSTER_NOT_FOUND"),
        ("cluster_start", {"cluster_name": "lab", "timeout_s": 5}, "CLUSTER_NOT_FOUND"),
        ("net_heal", {"cluster_name": "lab", "handle_id": "f-1"}, "CLUSTER_NOT_FOUND"),
        ("cluster_define", {"topology": "lab"}, "TOPOLOGY_NOT_FOUND"),
        ("cluster_plan", {"topology_name": "lab"}, "TOPOLOGY_NOT_FOUND"),
        ("cluster_plan", {}, "INVALID_ARGUMENT"),
        ("node_crash", {"cluster_name": "lab", "node": "a", "node_name": "b"}, "INVALID_ARGUMENT"),
    ],
)
async def test_an_argument_may_have_either_of_its_two_names(
    tool: str, arguments: dict[str, Any], code: str, agent: Agent
) -> None:
    assert (await agent.call(tool, **arguments))["error"]["code"] == code
