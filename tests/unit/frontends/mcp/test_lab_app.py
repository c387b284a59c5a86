"""The App, as a client that shows it gets it, and how it stays away from others."""

from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client import advertise
from mcp.client.stdio import StdioServerParameters
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from mcp_types import TextResourceContents

from reconciler.frontends.mcp.cluster_server import ClusterServer
from reconciler.frontends.mcp.lab_app import APP_URI
from reconciler.frontends.mcp.listed_tools import listed_tools
from reconciler.frontends.mcp.tool_usecases import ToolService
from tests.unit.frontends.mcp.test_answers import stored
from tests.unit.frontends.mcp.test_tools import LONGEST_LIST_BYTES
from tests.unit.frontends.web.shown_lab import CLUSTER, THREE, shown_lab

SHOWS_APPS = advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})
OTHERS = [None, [advertise(EXTENSION_ID)], [advertise(EXTENSION_ID, {"mimeTypes": ["text/uri-list"]})]]


@pytest.mark.processes
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_that_shows_apps_finds_and_reads_the_document(spawned: StdioServerParameters, mode: Any) -> None:
    async with Client(spawned, cache=None, mode=mode, extensions=[SHOWS_APPS]) as client:
        listed = await client.list_tools()
        shown = {tool.name: tool.meta for tool in listed.tools if tool.meta}
        assert shown["cluster_status"] == {"ui": {"resourceUri": APP_URI}}
        assert set(shown) == {"cluster_status", "cluster_apply", "net_partition", "net_impair"}
        assert len(listed.model_dump_json(by_alias=True, exclude_none=True).encode()) < LONGEST_LIST_BYTES
        assert APP_URI in [str(of.uri) for of in (await client.list_resources()).resources]
        (content,) = (await client.read_resource(APP_URI)).contents
        assert isinstance(content, TextResourceContents)
        assert content.mime_type == APP_MIME_TYPE
        assert content.meta == {"ui": {"prefersBorder": True}}
        assert content.text.startswith("<!doctype html>")


@pytest.mark.processes
@pytest.mark.parametrize("extensions", OTHERS)
async def test_a_client_that_shows_no_apps_is_told_of_none(spawned: StdioServerParameters, extensions: Any) -> None:
    async with Client(spawned, cache=None, extensions=extensions) as client:
        assert (await client.list_tools()).tools == list(listed_tools().values())
        assert [str(of.uri) for of in (await client.list_resources()).resources] == ["vmcluster://clusters"]


async def test_what_is_drawn_comes_beside_an_answer_that_is_the_same_for_all(tmp_path: Path) -> None:
    async with shown_lab(tmp_path) as lab:
        await lab.define()
        server = ClusterServer(host=ToolService(lab.runtime))
        async with Client(server, cache=None) as other, Client(server, cache=None, extensions=[SHOWS_APPS]) as client:
            told = await other.call_tool("cluster_status", {"cluster_name": CLUSTER})
            shown = await client.call_tool("cluster_status", {"cluster_name": CLUSTER})
            assert "vmcluster/view" not in (told.meta or {})
            assert shown.meta
            view = shown.meta["vmcluster/view"]
            assert [(of["name"], of["state"]) for of in view["nodes"]] == [(name, "running") for name in THREE]
            assert (shown.content, shown.structured_content) == (told.content, told.structured_content)
            listed = await client.call_tool("cluster_list", {})
            assert "vmcluster/view" not in (listed.meta or {})


async def test_a_cluster_is_drawn_while_libvirt_is_away_with_the_reason(configuration: dict[str, str]) -> None:
    await stored(configuration)
    async with Client(ClusterServer(), cache=None, extensions=[SHOWS_APPS]) as client:
        answer = await client.call_tool("cluster_status", {"cluster_name": "lab"})
        assert answer.is_error
        assert answer.meta
        view = answer.meta["vmcluster/view"]
        assert {of["state"] for of in view["nodes"]} == {"unknown"}
        assert "libvirt" in view["trouble"]
        gone = await client.call_tool("cluster_status", {"cluster_name": "none"})
        assert "vmcluster/view" not in (gone.meta or {})
