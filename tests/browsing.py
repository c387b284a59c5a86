"""A real browser, and what a hand does in it. Pictures of what it showed are kept in build/page."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, FloatRect, Page, ViewportSize, async_playwright

PICTURES = Path(__file__).parents[1] / "build" / "page"
_SIZE: ViewportSize = {"width": 1280, "height": 800}


@asynccontextmanager
async def opened_browser() -> AsyncIterator[Browser]:
    """Debian's browser, or where there is none, the one that Playwright has fetched."""
    async with async_playwright() as playwright:
        there = shutil.which("chromium")
        browser = await playwright.chromium.launch(executable_path=there, args=["--no-sandbox"])  # tests run as root
        yield browser
        await browser.close()


@asynccontextmanager
async def clean_page(browser: Browser, *, dark: bool = False) -> AsyncIterator[Page]:
    """A page of a browser without a past, on which nothing may go wrong unseen."""
    context = await browser.new_context(viewport=_SIZE, color_scheme="dark" if dark else "light")
    page = await context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type in {"error", "warning"} else None)
    yield page
    await context.close()
    # A server may end before its page, or no longer let it in.
    assert [said for said in wrong if "net::ERR" not in said and "status of 401" not in said] == []


async def keep_picture(page: Page, name: str, *, height: int | None = None) -> Path:
    """Keep a picture for people to look at; with a `height`, of the upper part."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    size = page.viewport_size or _SIZE
    clip: FloatRect = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"]}
    file = PICTURES / f"{name}.png"
    await page.screenshot(path=file, clip=clip)
    return file


async def draw_line(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw over the graph, from one part of its width and height to another."""
    box = await page.locator("#graph").bounding_box()
    assert box
    (x1, y1), (x2, y2) = ((box["x"] + at[0] * box["width"], box["y"] + at[1] * box["height"]) for at in (start, end))
    await page.mouse.move(x1, y1)
    await page.mouse.down()
    await page.mouse.move((x1 + x2) / 2, (y1 + y2) / 2, steps=4)
    await page.mouse.move(x2, y2, steps=4)
    await page.mouse.up()
