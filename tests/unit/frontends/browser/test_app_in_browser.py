"""The App in a real browser, in a sandboxed frame of a page that is its host, from a real server over HTTP."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextResourceContents
from playwright.async_api import Frame, Page, expect

from reconciler.frontends.mcp.lab_app import APP_URI
from tests.browsing import keep_picture
from tests.unit.frontends.mcp.test_lab_app import SHOWS_APPS
from tests.unit.frontends.web.shown_lab import CLUSTER, ShownLab
from tests.unit.frontends.web.test_door import client_of, token_of
from tests.unit.frontends.web.test_page_in_browser import HOSTILE, LEFT
from tests.waiting import PATIENCE_S, eventually

pytestmark = [pytest.mark.long, pytest.mark.processes]

CHAT = (Path(__file__).parent / "chat.html").read_text()
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "media-src 'self' data:; connect-src 'none'"
)
"""What a host enforces where a view names no domains."""
PASSES_CALLS = {"hostCapabilities": {"serverTools": {}}, "hostContext": {"theme": "light"}}
STATUS = {"cluster_name": CLUSTER}
OUT_OF_SIGHT = """
new Promise((gone) => new IntersectionObserver(([of]) => of.isIntersecting || gone()).observe(document.documentElement))
  .then(() => parent.postMessage({ method: "ui/notifications/size-changed", params: { height: 777 } }, "*"))
"""
"""Waits until the view has been told, and leaves a trace behind all that it has asked until then."""


@pytest.fixture(autouse=True)
def patience() -> None:
    expect.set_options(timeout=PATIENCE_S * 1000)


@asynccontextmanager
async def agent_of(lab: ShownLab) -> AsyncIterator[Client]:
    """An agent whose client shows Apps."""
    async with lab.door(allow_actions=True) as door, client_of(door, token_of(lab)) as http:
        transport = streamable_http_client(f"{door.url}mcp", http_client=http)
        async with Client(transport, cache=None, extensions=[SHOWS_APPS]) as agent:
            yield agent


def sent(result: CallToolResult) -> Any:
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)


class Chat:
    """A host that shows the App for one call of a tool, and passes on what the App asks."""

    def __init__(self, page: Page, agent: Client) -> None:
        self._page = page
        self._agent = agent
        self._under_way = 0
        self.calls: list[str] = []

    @asynccontextmanager
    async def show(self, arguments: dict[str, Any], result: CallToolResult, answer: Any) -> AsyncIterator[Frame]:
        """The frame of the App."""
        (content,) = (await self._agent.read_resource(APP_URI)).contents
        assert isinstance(content, TextResourceContents)
        headers = {"Content-Security-Policy": POLICY, "Content-Type": content.mime_type or ""}
        said = json.dumps({"arguments": arguments, "result": sent(result), "answer": answer}).replace("</", "<\\/")
        chat = f"{CHAT}<script>const chat = {said}</script>"
        await self._page.expose_function("mcp", self._pass_on)
        await self._page.route("http://view.test/", lambda route: route.fulfill(body=content.text, headers=headers))
        await self._page.route("http://chat.test/", lambda route: route.fulfill(body=chat))
        await self._page.goto("http://chat.test/")
        frame = self._page.frame(url="http://view.test/")
        assert frame
        yield frame
        await self._page.goto("about:blank")
        await eventually(lambda: self._under_way == 0)

    async def _pass_on(self, params: dict[str, Any]) -> Any:
        self.calls.append(params["name"])
        self._under_way += 1
        try:
            return sent(await self._agent.call_tool(params["name"], params["arguments"]))
        finally:
            self._under_way -= 1


async def test_a_cut_is_shown_in_the_chat_with_the_time_that_is_left(lab: ShownLab, page: Page) -> None:
    await lab.define()
    cut = {"cluster_name": CLUSTER, "partition_a": ["alpha"], "partition_b": ["beta", "gamma"], "duration_s": 59}
    async with agent_of(lab) as agent:
        chat, answer = Chat(page, agent), await agent.call_tool("net_partition", cut)
        async with chat.show(cut, answer, PASSES_CALLS) as frame:
            await expect(frame.locator(".node")).to_have_count(3)
            await expect(frame.get_by_role("listitem", name="alpha ↔ beta: cut")).to_have_attribute("aria-label", LEFT)
            await expect(frame.locator("#faults")).to_contain_text(LEFT)
            await expect(frame.locator("#conditions")).to_contain_text("Ready")
            await frame.get_by_role("button", name="beta, running").click()
            await expect(frame.locator("#node-body")).to_contain_text("192.168.77.11")
            await expect(page.locator("iframe")).not_to_have_css("height", "80px")
            await keep_picture(page, "app")

            await agent.call_tool("net_heal_all", STATUS)
            await expect(frame.get_by_role("listitem", name="alpha ↔ beta: cut")).to_have_count(0)
            assert set(chat.calls) == {"cluster_status"}


async def test_what_guests_and_topologies_say_stays_text_in_a_chat(lab: ShownLab, page: Page) -> None:
    record = await lab.define()
    hostile = record.spec.nodes["beta"].model_copy(update={"role": HOSTILE})
    spec = record.spec.model_copy(update={"nodes": {**record.spec.nodes, "beta": hostile}})
    changed = record.model_copy(update={"spec": spec})
    await lab.runtime.store.put(changed, expected_generation=record.generation, actor="test")
    passes_no_calls = {"hostCapabilities": {}, "hostContext": {"theme": "dark"}}
    async with agent_of(lab) as agent:
        chat, answer = Chat(page, agent), await agent.call_tool("cluster_status", STATUS)
        async with chat.show(STATUS, answer, passes_no_calls) as frame:
            await expect(frame.locator("[data-node=beta] title")).to_contain_text("<script>")
            await expect(frame.locator("#hint")).to_contain_text("cluster_status")
            await expect(frame.locator("html")).to_have_css("color-scheme", "dark")
            assert await frame.locator("img").count() == 0
            assert await frame.title() not in {"1", "2"}
            assert chat.calls == []
            await keep_picture(page, "app-dark")


async def test_a_view_that_nobody_sees_asks_for_nothing(lab: ShownLab, page: Page) -> None:
    await lab.define()
    async with agent_of(lab) as agent:
        await page.clock.install()
        chat, answer = Chat(page, agent), await agent.call_tool("cluster_status", STATUS)
        async with chat.show(STATUS, answer, PASSES_CALLS) as frame:
            await expect(frame.locator(".node")).to_have_count(3)
            await page.evaluate("scrollTo(0, 2500)")
            await frame.evaluate(OUT_OF_SIGHT)
            await expect(page.locator("iframe")).to_have_css("height", "777px")
            before = len(chat.calls)
            await page.clock.run_for(60_000)
            assert len(chat.calls) == before
            await page.evaluate("scrollTo(0, 0)")
            await eventually(lambda: len(chat.calls) > before)


async def test_a_cluster_that_there_is_not_is_said_to_be_gone_in_a_chat(lab: ShownLab, page: Page) -> None:
    record = await lab.define()
    async with agent_of(lab) as agent:
        chat, answer = Chat(page, agent), await agent.call_tool("cluster_status", STATUS)
        async with chat.show(STATUS, answer, PASSES_CALLS) as frame:
            await expect(frame.locator(".node")).to_have_count(3)
            await lab.runtime.store.remove(CLUSTER, expected_generation=record.generation, actor="test")
            await expect(frame.locator("#trouble")).to_contain_text("no cluster")
            await expect(frame.locator(".node")).to_have_count(0)
