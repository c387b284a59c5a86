"""The page in a real browser while clusters, nodes, connections and sessions change: it is never about the last one."""

import asyncio
import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, Route, expect

from reconciler.frontends.web import page_app
from reconciler.model.document import PowerState
from tests.browsing import draw_line
from tests.unit.frontends.web.shown_lab import CLUSTER, ShownLab
from tests.unit.frontends.web.wire import laid_wire
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.long, pytest.mark.processes]

HELLO = {"hello": {"actions": True, "now": 1}}
DONE = {"result": "done", "error": None}


@pytest.fixture(autouse=True)
def patience() -> None:
    expect.set_options(timeout=PATIENCE_S * 1000)


def feed_of(events: dict[str, Any]) -> str:
    """Events as a server sends them."""
    return "".join(f"event: {kind}\ndata: {json.dumps(of)}\n\n" for kind, of in events.items())


async def test_an_answer_is_to_the_question_that_it_was_given_to(lab: ShownLab, page: Page) -> None:
    await lab.define(snapshots=("base",))
    counted, done = asyncio.Event(), []

    async def count(route: Route) -> None:
        await counted.wait()
        await route.fulfill(json={"result": {"nodes": {}}, "error": None})

    async def act(route: Route) -> None:
        done.append(urlsplit(route.request.url).path)
        await route.fulfill(json=DONE)

    await page.route("**/losses", count)
    await page.route("**/actions/*", act)
    async with lab.door(allow_actions=True) as door:
        await page.goto(door.entry())
        await page.get_by_role("button", name="beta, running").click()
        revert = page.get_by_role("button", name="Revert to base")
        await revert.click()
        await expect(revert).to_be_disabled()
        await page.get_by_role("button", name="Crash…").click()
        counted.set()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_have_accessible_name("Revert lab to base?")
        await expect(revert).to_be_enabled()
        await dialog.get_by_role("button", name="Revert").click()
        await expect(page.locator("#hint")).to_have_text("done")
        assert done == ["/api/clusters/lab/actions/revert"]
        await expect(dialog).to_have_count(0)
        await page.get_by_role("button", name="Crash…").click()
        await expect(dialog).to_have_accessible_name("Crash beta of lab?")


async def test_of_another_cluster_nothing_is_shown_or_offered_until_it_is_known(lab: ShownLab, page: Page) -> None:
    await lab.define(snapshots=("base",))
    await lab.define(cluster="other")
    async with lab.door(allow_actions=True) as door:
        await page.goto(door.entry(CLUSTER))
        await page.get_by_role("button", name="beta, running").click()
        await page.get_by_role("tab", name="Plan").click()
        await expect(page.locator("#panel-plan")).to_contain_text("Look again")
        await expect(page.locator("#snapshots")).to_contain_text("base")

        await page.route("**/api/feed?*", lambda route: route.fulfill(body=feed_of(HELLO)))
        await page.route("**/plan", lambda route: None)
        await page.locator("#clusters").select_option("other")
        await expect(page.locator(".node")).to_have_count(0)
        await expect(page.locator("#node")).to_be_hidden()
        for shown in ("#snapshots", "#conditions", "#faults", "#ready", "#panel-plan"):
            await expect(page.locator(shown)).to_be_empty()
        await expect(page.locator("#toolbar button:enabled")).to_have_count(0)

        await page.unroute("**/api/feed?*")
        await page.get_by_role("button", name="beta, running").click()
        await page.get_by_role("button", name="Crash…").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_have_accessible_name("Crash beta of other?")
        async with page.expect_request("**/api/clusters/other/actions/crash"):
            await dialog.get_by_role("button", name="Crash").click()


async def test_what_a_feed_still_had_to_say_is_not_heard_of_the_next_cluster(lab: ShownLab, page: Page) -> None:
    await lab.define()
    news = {"number": 10**6, "at": 1, "kind": "DriftFound", "subject": "old", "message": "news", "node": "", "host": ""}
    clusters = [{"name": CLUSTER, "destroyed": False}]
    body = feed_of({**HELLO, "clusters": clusters, "events": {"missed": 0, "items": [news]}})
    await page.route("**/api/feed?cluster=old*", lambda route: route.fulfill(body=body))
    async with lab.door(allow_actions=True) as door:
        await page.goto(door.entry("old"))
        await expect(page.locator(".node")).to_have_count(3)
        await page.get_by_role("button", name="Draw a cut").click()
        await draw_line(page, (0.1, 0.4), (0.9, 0.4))
        await page.get_by_role("dialog").get_by_role("button", name="Cut", exact=True).click()
        await expect(page.locator("#events")).to_contain_text("Fault Injected")
        await expect(page.locator("#events")).not_to_contain_text("news")


async def test_earlier_lines_of_one_node_are_not_shown_as_those_of_the_next(lab: ShownLab, page: Page) -> None:
    await lab.define()
    lab.print_on_console("alpha", "of alpha\n")
    lab.print_on_console("beta", "of beta\n")
    read = asyncio.Event()

    async def read_late(route: Route) -> None:
        await read.wait()
        await route.continue_()

    await page.route("**/nodes/alpha/console", read_late)
    async with lab.door() as door:
        await page.goto(f"{door.entry(CLUSTER)}&node=alpha&tab=console")
        log = page.get_by_role("log")
        await expect(log).to_have_text("of alpha")
        await page.get_by_role("button", name="Earlier lines").click()
        await page.get_by_role("button", name="beta, running").click()
        await expect(log).to_have_text("of beta")
        async with page.expect_response("**/nodes/alpha/console") as answer:
            read.set()
        await (await answer.value).finished()
        lab.print_on_console("beta", "more\n")
        await expect(log).to_have_text(re.compile("^of beta\\s*more$"))


async def test_a_connection_that_died_in_silence_is_said_to_be_lost_and_replaced(lab: ShownLab, page: Page) -> None:
    await lab.define()
    await page.clock.install()
    async with lab.door() as door, laid_wire(door.url) as wire:
        await page.goto(door.entry().replace(door.url, wire.url))
        await expect(page.locator("#connection")).to_have_text("live")
        await expect(page.get_by_role("button", name="beta, running")).to_be_visible()
        wire.die()
        lab.turn("beta", PowerState.OFF)
        await page.clock.fast_forward(40_000)
        await expect(page.locator("#connection")).to_have_text("connection lost, trying again")
        await wire.replace()
        await expect(page.locator("#connection")).to_have_text("live")
        await expect(page.get_by_role("button", name="beta, shut off")).to_be_visible()


async def test_signing_out_in_one_tab_is_signing_out_in_all(
    lab: ShownLab, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_app, "_SILENCE_S", 0.05)
    await lab.define()
    async with lab.door() as door:
        await page.goto(door.entry())
        other = await page.context.new_page()
        await other.goto(door.url)
        await expect(other.locator(".node")).to_have_count(3)
        await page.get_by_role("button", name="Sign out").click()
        await expect(other.get_by_label("Token")).to_be_focused()


async def test_a_browser_that_is_no_longer_let_in_is_asked_for_the_token_whatever_it_does(
    lab: ShownLab, page: Page
) -> None:
    await lab.define()
    async with lab.door(allow_actions=True) as door:
        await page.goto(door.entry())
        await page.get_by_role("button", name="beta, running").click()
        await page.get_by_role("button", name="Crash…").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        door.access.end_session(await page.evaluate("localStorage.getItem('vmcluster-session')"))
        await page.get_by_role("dialog").get_by_role("button", name="Crash").click()
        await expect(page.get_by_label("Token")).to_be_focused()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.get_by_label("Token").fill((lab.runtime.settings.state_dir / "mcp-token").read_text().strip())
        await page.keyboard.press("Enter")
        await expect(page.locator("#connection")).to_have_text("live")
