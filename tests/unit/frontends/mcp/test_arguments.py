"""Arguments that do not fit are answered in the envelope, with the argument's name and the remedy."""

from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from tests.unit.frontends.mcp.conftest import Agent


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("cluster_status", {}, ["'cluster_name' is missing", "Name of a defined cluster"]),
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
        ("cluster_list", {"all": True}, ["no argument 'all'", "it takes none"]),
        ("node_exec", {"cluster_name": "lab", "node_name": "a", "command": ""}, ["'command'", "Shell command line"]),
        ("node_exec", {"cluster_name": "lab", "node_name": "a", "command": "x", "env": {"A": 1}}, ["'env'", "string"]),
        (
            "node_exec_all",
            {"cluster_name": "lab", "command": "x", "nodes": "alpha"},
            ["'nodes'", "valid list", "every node"],
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
