"""A lab to look at, and a browser to look with."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.unit.frontends.web.shown_lab import ShownLab, shown_lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[ShownLab]:
    async with shown_lab(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Debian's browser, or where there is none, the one that Playwright has fetched."""
    async with async_playwright() as playwright:
        there = shutil.which("chromium")
        started = await playwright.chromium.launch(executable_path=there, args=["--no-sandbox"])  # tests run as root
        yield started
        await started.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page of a browser of its own, on which nothing may go wrong unseen."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    opened = await context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if said.type in {"error", "warning"} else None)
    yield opened
    await context.close()
    assert [said for said in wrong if "net::ERR" not in said] == [], "the door is closed before the page is"
