"""The page in a real browser: what is seen, and what is done by hand."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, Route, expect

from reconciler.errors import OperationFailed, StoreUnavailable
from reconciler.frontends.web import page_app
from reconciler.model.document import PowerState
from reconciler.model.kernel_log import ConsoleResult, DmesgResult, KernelEvent
from reconciler.model.results import ClusterSummary
from reconciler.model.screenshot import Screenshot
from reconciler.usecases.consoles import Consoles
from reconciler.usecases.inspection import Inspection
from reconciler.usecases.kernel_logs import KernelLogs
from tests.browsing import draw_line, keep_picture
from tests.unit.frontends.web.shown_lab import CLUSTER, ShownLab
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.long, pytest.mark.processes]

LEFT = re.compile(r"[1-5]\d s left")
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000020000000108020000007b40e8dd0000"
    "000d49444154789c63f8cfc000440008fe01ffc69e79f70000000049454e44ae426082"
)
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>\x1b[31m&amp;'


@pytest.fixture(autouse=True)
def patience() -> None:
    expect.set_options(timeout=PATIENCE_S * 1000)


async def test_a_partition_is_drawn_seen_and_healed_and_a_crashed_node_comes_back(lab: ShownLab, page: Page) -> None:
    await lab.define()
    async with lab.door(allow_actions=True) as door:
        await page.goto(door.entry())
        await expect(page.locator(".node")).to_have_count(3)
        assert "code" not in page.url

        await page.get_by_role("button", name="Draw a cut").click()
        await draw_line(page, (0.1, 0.4), (0.9, 0.4))
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_label("alpha: left")).to_be_checked()
        await expect(dialog.get_by_label("beta: right")).to_be_checked()
        await dialog.get_by_role("button", name="Cut", exact=True).click()
        cut = page.get_by_role("listitem", name="alpha ↔ beta: cut")
        await expect(cut).to_have_attribute("aria-label", LEFT)
        await expect(page.locator("#faults")).to_contain_text("partition-1")
        await expect(page.locator("#events")).to_contain_text("Fault Injected")
        await keep_picture(page, "cut")

        await page.get_by_role("button", name="Heal partition-1").click()
        await expect(page.locator("#hint")).to_have_text("1 fault was healed")
        await expect(page.get_by_role("listitem", name="alpha ↔ beta: cut")).to_have_count(0)

        lab.boot.clear()
        await page.get_by_role("button", name="beta, running").click()
        await page.get_by_role("button", name="Crash…").click()
        await page.get_by_role("dialog").get_by_role("button", name="Crash").click()
        await expect(page.get_by_role("button", name="beta, shut off")).to_be_visible()
        await keep_picture(page, "crashed")
        lab.boot.set()
        await expect(page.get_by_role("button", name="beta, running")).to_be_visible()
        await keep_picture(page, "back")


async def test_that_there_is_no_cluster_yet_is_a_hint_and_no_trouble(lab: ShownLab, page: Page) -> None:
    async with lab.door() as door:
        await page.goto(door.entry())
        await expect(page.locator("#hint")).to_contain_text("`vmcluster apply TOPOLOGY` makes one")
        await expect(page.get_by_role("alert").filter(visible=True)).to_have_count(0)
        await keep_picture(page, "empty")
        await lab.define()
        await expect(page.locator(".node")).to_have_count(3)
        await expect(page.locator("#hint")).to_have_text("")


async def test_what_guests_and_topologies_say_stays_text(lab: ShownLab, page: Page) -> None:
    record = await lab.define()
    lab.print_on_console("alpha", f"{HOSTILE}\n")
    spec = record.spec.nodes["beta"].model_copy(update={"role": HOSTILE})
    nodes = {**record.spec.nodes, "beta": spec}
    changed = record.model_copy(update={"spec": record.spec.model_copy(update={"nodes": nodes})})
    await lab.runtime.store.put(changed, expected_generation=record.generation, actor="test")
    async with lab.door() as door:
        await page.goto(door.entry(CLUSTER))
        await page.get_by_role("button", name="alpha, running").click()
        await page.get_by_role("tab", name="Console: alpha").click()
        await expect(page.get_by_role("log")).to_contain_text('<img src=x onerror="document.title=1">')
        await expect(page.locator("[data-node=beta] title")).to_contain_text("<script>")
        assert await page.locator("img").count() == 0
        await expect(page).to_have_title(re.compile(r"^lab\b.* - vmcluster$"))
        lab.print_on_console("alpha", "and it goes on\n")
        await expect(page.get_by_role("log")).to_contain_text("and it goes on")
        await keep_picture(page, "hostile")


async def test_the_screen_the_kernel_log_and_earlier_lines_of_a_node_are_shown(
    lab: ShownLab, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await lab.define()
    with_screen = record.spec.nodes["alpha"].model_copy(update={"video": True})
    spec = record.spec.model_copy(update={"nodes": {**record.spec.nodes, "alpha": with_screen}})
    changed = record.model_copy(update={"spec": spec})
    await lab.runtime.store.put(changed, expected_generation=record.generation, actor="test")
    lab.print_on_console("alpha", "".join(f"line {number}\n" for number in range(3000)))

    async def taken(*_: object) -> Screenshot:
        size = {"width": 2, "height": 1, "screen_width": 2, "screen_height": 1, "size_bytes": len(PNG)}
        return Screenshot(node_name="alpha", taken_at=datetime.now(UTC), png=PNG, **size)

    async def collected(*_: object, **__: object) -> dict[str, DmesgResult]:
        event = KernelEvent(kind="oops", classified_as="oops", summary=HOSTILE, timestamp=1.0, lines=(HOSTILE, "more"))
        counts = {"warning_count": 0, "error_count": 1}
        return {"alpha": DmesgResult(lines=(), oops_detected=True, panic_detected=False, events=(event,), **counts)}

    monkeypatch.setattr(page_app, "screenshot_of", taken)
    monkeypatch.setattr(KernelLogs, "collect", collected)
    async with lab.door() as door:
        await page.goto(door.entry(CLUSTER))
        await page.get_by_role("button", name="alpha, running").click()
        await page.get_by_role("tab", name="Screen: alpha").click()
        await expect(page.get_by_role("img", name="The screen of alpha")).to_have_js_property("naturalWidth", 2)
        await page.get_by_role("tab", name="Kernel log: alpha").click()
        await page.locator("summary").click()
        await expect(page.locator("#panel-kernel pre").first).to_contain_text("more")
        await page.get_by_role("tab", name="Console: alpha").click()
        await expect(page.get_by_role("log")).to_contain_text("line 2999")
        await expect(page.get_by_role("log")).not_to_contain_text("line 1999")
        await page.get_by_role("button", name="Earlier lines").click()
        await expect(page.get_by_role("log")).to_contain_text("line 0")


async def test_without_permission_the_page_offers_nothing_that_changes_a_cluster(lab: ShownLab, page: Page) -> None:
    await lab.define()
    async with lab.door() as door:
        await page.goto(door.entry())
        await page.get_by_role("button", name="beta, running").click()
        await expect(page.locator("#node-body")).to_contain_text("192.168.77.11")
        await expect(page.locator("#toolbar button, #node-body button")).to_have_count(0)


async def test_the_page_is_used_without_a_mouse(lab: ShownLab, page: Page) -> None:
    await lab.define()
    async with lab.door() as door:
        await page.goto(door.entry())
        await page.get_by_role("button", name="alpha, running").focus()
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("Enter")
        await expect(page.locator("#node-title")).to_have_text("beta")
        lab.turn("gamma", PowerState.OFF)
        await expect(page.locator("#said")).to_have_text("gamma is shut off")
        await page.get_by_role("tab", name="Events").focus()
        await page.keyboard.press("ArrowRight")
        await expect(page.get_by_role("tab", name="Console: beta")).to_be_focused()


async def test_events_can_be_read_on_a_narrow_screen(lab: ShownLab, page: Page) -> None:
    await lab.define()
    await page.set_viewport_size({"width": 400, "height": 800})
    async with lab.door(allow_actions=True) as door:
        await page.goto(door.entry())
        await page.get_by_role("button", name="Draw a cut").click()
        await draw_line(page, (0.1, 0.4), (0.9, 0.4))
        await page.get_by_role("dialog").get_by_role("button", name="Cut", exact=True).click()
        event = page.locator("#events li").first
        await expect(event).to_be_visible()
        assert await event.locator("> :last-child").evaluate("of => of.getClientRects()[0].width") > 100


async def test_the_first_look_takes_one_feed_whether_a_cluster_is_named_or_not(lab: ShownLab, page: Page) -> None:
    await lab.define()
    feeds: list[str] = []
    page.on("request", lambda of: feeds.append(of.url) if re.search("/api/(feed|session)", of.url) else None)
    async with lab.door() as door:
        for cluster in (None, CLUSTER):
            feeds.clear()
            await page.goto("about:blank")  # or the page would stay
            await page.goto(door.entry(cluster) if cluster else door.entry())
            await expect(page.get_by_role("button", name="beta, running")).to_be_visible()
            await expect(page.locator("#clusters")).to_have_value(CLUSTER)
            assert urlsplit(page.url).fragment == f"cluster={CLUSTER}&tab=events"
            assert [urlsplit(of).path for of in feeds] == ["/api/session"]


async def test_a_name_is_typed_over_the_suggested_one(lab: ShownLab, page: Page) -> None:
    await lab.define()
    async with lab.door(allow_actions=True) as door:
        await page.goto(door.entry())
        await page.get_by_role("button", name="Snapshot…").click()
        name = page.get_by_role("dialog").get_by_label("Name")
        await expect(name).to_be_focused()
        await page.keyboard.type("before")
        await expect(name).to_have_value("before")
        await expect(name).to_have_attribute("title", re.compile("^Letters, digits"))


async def test_nothing_is_done_to_a_cluster_of_which_nothing_is_known_yet(lab: ShownLab, page: Page) -> None:
    await lab.define()
    greeting = 'event: hello\ndata: {"actions": true, "now": 1}\n\n'

    async def enter_only(route: Route) -> None:
        await route.continue_(post_data={"secret": (route.request.post_data_json or {})["secret"]})

    await page.route("**/api/session", enter_only)
    await page.route("**/api/feed?*", lambda route: route.fulfill(body=greeting))
    async with lab.door(allow_actions=True) as door:
        await page.goto(door.entry())
        for action in ("Start all", "Snapshot…", "Draw a cut", "Partition…", "Heal all"):
            await expect(page.get_by_role("button", name=action)).to_be_disabled()
        await page.unroute("**/api/feed?*")
        await page.get_by_role("button", name="Partition…").click()
        await expect(page.get_by_role("dialog").get_by_label("alpha: untouched")).to_be_checked()


async def test_trouble_is_shown_until_what_told_of_it_works_again(
    lab: ShownLab, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.define()
    broken = {"list": True, "console": True}

    async def list_clusters(of: Inspection) -> list[ClusterSummary]:
        if broken["list"]:
            raise StoreUnavailable("no list")
        return await listed(of)

    async def show_console(of: Consoles, *which: str, **how: Any) -> ConsoleResult:
        if broken["console"]:
            raise OperationFailed("no console")
        return await shown(of, *which, **how)

    async def follow_console(of: Consoles, *which: str) -> AsyncIterator[str]:
        if broken["console"]:
            raise OperationFailed("no console")
        async for line in followed(of, *which):
            yield line

    listed, shown, followed = Inspection.clusters, Consoles.show, Consoles.follow
    monkeypatch.setattr(Inspection, "clusters", list_clusters)
    monkeypatch.setattr(Consoles, "show", show_console)
    monkeypatch.setattr(Consoles, "follow", follow_console)
    lab.print_on_console("alpha", "up\n")
    async with lab.door() as door:
        await page.goto(f"{door.entry(CLUSTER)}&node=alpha&tab=console")
        trouble = page.get_by_role("alert").filter(visible=True)
        await expect(trouble).to_contain_text("no list")
        await expect(trouble).to_contain_text("no console")
        broken["list"] = False
        await expect(trouble).not_to_contain_text("no list")
        await expect(trouble).to_contain_text("no console")
        broken["console"] = False
        await expect(page.get_by_role("log")).to_have_text("up")
        await expect(trouble).to_have_count(0)


async def test_who_is_not_let_in_is_asked_for_the_token(lab: ShownLab, page: Page) -> None:
    await lab.define()
    async with lab.door() as door:
        await page.goto(door.url)
        await expect(page.get_by_label("Token")).to_be_focused()
        await page.get_by_label("Token").fill((lab.runtime.settings.state_dir / "mcp-token").read_text().strip())
        await page.keyboard.press("Enter")
        await expect(page.locator(".node")).to_have_count(3)
        await page.reload()
        await expect(page.locator(".node")).to_have_count(3)
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("Token")).to_be_focused()
        await page.reload()
        await expect(page.get_by_label("Token")).to_be_focused()


async def test_other_tabs_are_let_in_and_signed_out_at_once(
    lab: ShownLab, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_app, "_SILENCE_S", 3600.0)  # the server tells nobody meanwhile
    await lab.define()
    async with lab.door() as door:
        others = [await page.context.new_page() for _ in range(2)]
        for tab in others:
            await tab.goto(door.url)
            await expect(tab.get_by_label("Token")).to_be_visible()
        await page.goto(door.entry())
        for tab in (page, *others):
            await expect(tab.locator(".node")).to_have_count(3)
        await page.get_by_role("button", name="Sign out").click()
        for tab in (page, *others):
            await expect(tab.get_by_label("Token")).to_be_visible()


async def test_the_picture_in_the_manual_is_what_the_page_shows(lab: ShownLab, page: Page) -> None:
    await lab.define()
    await page.set_viewport_size({"width": 930, "height": 590})
    async with lab.door(allow_actions=True) as door:
        await page.goto(door.entry())
        await page.get_by_role("button", name="Draw a cut").click()
        await draw_line(page, (0.1, 0.4), (0.9, 0.4))
        await page.get_by_role("dialog").get_by_role("button", name="Cut", exact=True).click()
        await expect(page.locator("#faults")).to_contain_text(LEFT)
        await expect(page.locator("#ready")).to_have_text("Ready")
        taken = await keep_picture(page, "manual", height=362)
    in_manual = Path(__file__).parents[4] / "specs" / "manual" / "page.png"
    assert size_of(taken) == size_of(in_manual), f"look at {taken}, and put it in place of {in_manual}"
    assert in_manual.stat().st_size < 60_000


def size_of(picture: Path) -> bytes:
    """Width and height, as the header of a PNG has them."""
    return picture.read_bytes()[16:24]
