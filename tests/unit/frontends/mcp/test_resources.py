"""Resources, prompts and completions, as a client sees them."""

import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    PromptReference,
    ResourceTemplateReference,
    TextContent,
    TextResourceContents,
)

from reconciler.frontends.mcp.cluster_server import ClusterServer
from reconciler.frontends.mcp.mode import Mode
from reconciler.model.choices import Toolset
from tests.unit.frontends.mcp.test_answers import stored


async def read(client: Client, uri: str) -> Any:
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    return json.loads(content.text)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_what_a_tool_answers_can_be_read(configuration: dict[str, str], mode: Any) -> None:
    await stored(configuration)
    async with Client(ClusterServer(), cache=None, mode=mode) as client:
        assert [str(of.uri) for of in (await client.list_resources()).resources] == ["vmcluster://clusters"]
        (summary,) = await read(client, "vmcluster://clusters")
        assert summary["cluster_name"] == "lab"
        assert await read(client, "vmcluster://clusters/lab/events") == []
        for uri, why in (
            ("vmcluster://clusters/lab/status", "LIBVIRT_UNAVAILABLE"),
            ("vmcluster://clusters/lab/graph.svg", "LIBVIRT_UNAVAILABLE"),
            ("vmcluster://clusters/none/faults", "CLUSTER_NOT_FOUND"),
            ("vmcluster://clusters/lab/console/none", "NODE_NOT_FOUND"),
            ("vmcluster://clusters/lab/nothing", "Unknown resource"),
            ("vmcluster://clusters//status", "Unknown resource"),
            ("vmcluster://clusters/lab/console/{node}", "NODE_NOT_FOUND"),
            ("file:///etc/passwd", "Unknown resource"),
        ):
            with pytest.raises(MCPError, match=why) as raised:
                await client.read_resource(uri)
            assert raised.value.error.code == (INTERNAL_ERROR if "UNAVAILABLE" in why else INVALID_PARAMS)


async def test_names_are_completed(configuration: dict[str, str]) -> None:
    await stored(configuration)
    async with Client(ClusterServer(), cache=None) as client:
        found = (await client.list_resource_templates()).resource_templates
        console = next(of.uri_template for of in found if of.name == "console")
        ref = ResourceTemplateReference(uri=console)
        said = await client.complete(ref, {"name": "cluster", "value": "l"})
        assert said.completion.values == ["lab"]
        said = await client.complete(ref, {"name": "node", "value": ""}, context_arguments={"cluster": "lab"})
        assert said.completion.values == ["alpha", "zeta"]
        (Path(configuration["VMCLUSTER_TOPOLOGY_DIR"]) / "of-mine.yaml").touch()
        prompt = PromptReference(name="bring_up")
        assert (await client.complete(prompt, {"name": "topology", "value": "of"})).completion.values == ["of-mine"]
        said = await client.complete(ref, {"name": "node", "value": "z"}, context_arguments={"cluster": "other"})
        assert said.completion.values == []


async def test_a_resource_goes_with_its_tool(configuration: dict[str, str]) -> None:
    async with Client(ClusterServer(Mode(toolsets=frozenset({Toolset.FAULT}))), cache=None) as client:
        found = (await client.list_resource_templates()).resource_templates
        assert {of.name for of in found} == {"status", "graph.svg", "faults"}
        with pytest.raises(Exception, match="Unknown resource"):
            await client.read_resource("vmcluster://clusters/lab/events")


async def test_prompts_name_only_tools_that_exist(configuration: dict[str, str]) -> None:
    async with Client(ClusterServer(), cache=None) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        prompts = (await client.list_prompts()).prompts
        assert {of.name for of in prompts} == {"bring_up", "reproduce", "bisect", "find_sick_node", "clean_up"}
        for prompt in prompts:
            assert prompt.description
            arguments = {of.name: f"<{of.name}>" for of in prompt.arguments or []}
            (message,) = (await client.get_prompt(prompt.name, arguments)).messages
            assert isinstance(message.content, TextContent)
            assert all(value in message.content.text for value in arguments.values())
            words = message.content.text.replace(",", " ").replace(".", " ").split()
            named = {word for word in words if word.startswith(("cluster_", "dmesg_", "artifact_", "snapshot_"))}
            assert named <= tools | {"snapshot_revert)"}
        with pytest.raises(Exception, match="argument is missing"):
            await client.get_prompt("bring_up", {})
