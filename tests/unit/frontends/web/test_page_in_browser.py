"""The page in a real browser: what is seen, and what is done by hand."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from reconciler.model.document import PowerState
from tests.browsing import draw_line, keep_picture
from tests.unit.frontends.web.shown_lab import CLUSTER, ShownLab
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.long, pytest.mark.processes]

LEFT = re.compile(r"[1-5]\d s left")
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
        await expect(page).to_have_title(re.compile("^lab .*- vmcluster$|^lab - vmcluster$"))
        lab.print_on_console("alpha", "and it goes on\n")
        await expect(page.get_by_role("log")).to_contain_text("and it goes on")
        await keep_picture(page, "hostile")


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
