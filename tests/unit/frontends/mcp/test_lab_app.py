"""The App, as a client that shows it gets it, and how it stays away from others."""

from typing import Any

import pytest
from mcp import Client
from mcp.client import advertise
from mcp.client.stdio import StdioServerParameters
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from mcp_types import TextResourceContents

from reconciler.frontends.mcp.lab_app import APP_URI
from reconciler.frontends.mcp.listed_tools import listed_tools
from tests.unit.frontends.mcp.test_tools import LONGEST_LIST_BYTES

SHOWS_APPS = advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})
OTHERS = [None, [advertise(EXTENSION_ID)], [advertise(EXTENSION_ID, {"mimeTypes": ["text/uri-list"]})]]

pytestmark = pytest.mark.processes


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


@pytest.mark.parametrize("extensions", OTHERS)
async def test_a_client_that_shows_no_apps_is_told_of_none(spawned: StdioServerParameters, extensions: Any) -> None:
    async with Client(spawned, cache=None, extensions=extensions) as client:
        assert (await client.list_tools()).tools == list(listed_tools().values())
        assert [str(of.uri) for of in (await client.list_resources()).resources] == ["vmcluster://clusters"]
