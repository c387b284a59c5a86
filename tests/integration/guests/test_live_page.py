"""The live page of real machines, beside the service that keeps them: what a person sees and does."""

import asyncio
from pathlib import Path
from urllib.parse import urljoin

from playwright.async_api import Page, expect

from reconciler.frontends.web.way_in import entry_to_running
from tests.browsing import clean_page, draw_line, keep_picture, opened_browser
from tests.integration.bed import SHARED_CLUSTER, Bed, Session
from tests.integration.watch.conftest import watching
from tests.waiting import BOOT_TIMEOUT_S, PATIENCE_S, eventually


def entry(state_dir: Path) -> str:
    found = entry_to_running(state_dir, SHARED_CLUSTER)
    assert found is not None
    return found


async def counted(page: Page, state_dir: Path) -> bool:
    """Whether the metrics behind the same door say that three nodes run."""
    headers = {"Authorization": f"Bearer {(state_dir / 'mcp-token').read_text().strip()}"}
    metrics = await page.request.get(urljoin(page.url, "/metrics"), headers=headers)
    return f'vmcluster_nodes{{cluster="{SHARED_CLUSTER}",state="running"}} 3.0' in await metrics.text()


async def healed(session: Session, sender: str, receiver: str) -> bool:
    """Whether one node reaches another: the page shows the desired links a moment before they are so."""
    done = await session.nodes.run(SHARED_CLUSTER, sender, f"ping -c1 -W2 {receiver}", timeout_s=PATIENCE_S)
    return done.exit_code == 0


async def cut(session: Session, sender: str, receiver: str) -> bool:
    return not await healed(session, sender, receiver)


async def test_a_cut_is_drawn_and_healed_and_a_node_is_crashed_and_comes_back(trio: Session, guest_bed: Bed) -> None:
    expect.set_options(timeout=PATIENCE_S * 1000)
    with watching(guest_bed, "--http", "127.0.0.1:0", "--allow-actions"):
        url = await asyncio.to_thread(entry, trio.runtime.settings.state_dir)
        async with opened_browser() as browser, clean_page(browser) as page:
            await page.goto(url)
            await expect(page.locator(".node.running")).to_have_count(3)
            await keep_picture(page, "real-open")
            await eventually(lambda: counted(page, trio.runtime.settings.state_dir))

            await page.get_by_role("button", name="Draw a cut").click()
            await draw_line(page, (0.1, 0.4), (0.9, 0.4))
            await page.get_by_role("dialog").get_by_label("Heals by itself").fill("600")
            await page.get_by_role("dialog").get_by_role("button", name="Cut", exact=True).click()
            await expect(page.get_by_role("listitem", name="n0 ↔ n1: cut, 9 min")).to_be_attached()
            await eventually(lambda: cut(trio, "n0", "n1"))
            assert not await cut(trio, "n1", "n2")
            await keep_picture(page, "real-cut")

            await page.get_by_role("button", name="Heal partition").click()
            await expect(page.get_by_role("listitem", name="n0 ↔ n1: cut")).to_have_count(0)
            await eventually(lambda: healed(trio, "n0", "n1"))

            await page.get_by_role("button", name="Snapshot…").click()
            await page.get_by_role("dialog").get_by_label("Name").fill("by-hand")
            await page.get_by_role("dialog").get_by_label("with memory").check()
            await page.get_by_role("dialog").get_by_role("button", name="Take").click()
            await page.get_by_role("button", name="Revert to by-hand").click()
            await expect(page.get_by_role("dialog")).to_contain_text("what is in its memory since snapshot by-hand")
            await keep_picture(page, "real-revert")
            await page.get_by_role("dialog").get_by_role("button", name="Revert").click()
            await expect(page.locator("#hint")).to_have_text("all nodes are as in by-hand")

            await page.get_by_role("button", name="n2, running", exact=True).click()
            await page.get_by_role("tab", name="Console: n2").click()
            await page.get_by_role("button", name="Crash…").click()
            await page.get_by_role("dialog").get_by_role("button", name="Crash").click()
            sick = page.get_by_role("button", name="n2, running, no SSH login")
            await expect(sick).to_be_visible()
            await keep_picture(page, "real-crashed")
            await expect(sick).to_have_count(0, timeout=BOOT_TIMEOUT_S * 1000)
            await trio.nodes.run(SHARED_CLUSTER, "n2", "echo back again >/dev/console", timeout_s=PATIENCE_S)
            await expect(page.get_by_role("log")).to_contain_text("back again")
            await expect(page.locator("#ready")).to_have_text("Ready")
            await keep_picture(page, "real-back")
