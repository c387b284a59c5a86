"""The page in a real browser: how soon a cluster is seen, and how smoothly a large one is shown while it changes."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page

from reconciler.frontends.web.door import OpenDoor
from reconciler.model.document import PowerState
from tests.bench.figure import Figure, median_figure
from tests.browsing import clean_page, opened_browser
from tests.unit.frontends.web.shown_lab import ShownLab, shown_lab

FEW, MANY = 30, 300
TIMES = 7
CHANGES = 20
_BETWEEN_CHANGES_S = 0.2
_PATIENCE_MS = 60_000.0
_SEEN = "() => performance.getEntriesByName('first-sight').length > 0"
_SEEN_MS = "() => performance.getEntriesByName('first-sight')[0].startTime"
_COUNT_FRAMES = """() => {
  window.frames_ms = [];
  let before = null;
  const next = (now) => {
    if (before !== null) window.frames_ms.push(now - before);
    before = now;
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
}"""


async def measure() -> Sequence[Figure]:
    """All figures, of clusters on a host that is only said to be there."""
    async with opened_browser() as browser:
        return [await _first_sight(browser), await _smoothness(browser)]


@asynccontextmanager
async def _opened(nodes: int) -> AsyncIterator[tuple[ShownLab, OpenDoor]]:
    with tempfile.TemporaryDirectory() as directory:
        async with shown_lab(Path(directory)) as lab, lab.door() as door:
            await lab.define(*(f"n{number}" for number in range(nodes)))
            yield lab, door


async def _see(page: Page, door: OpenDoor) -> float:
    """Open the page; how many seconds it took until the cluster was drawn."""
    await page.goto(door.entry())
    await page.wait_for_function(_SEEN, timeout=_PATIENCE_MS)
    return float(await page.evaluate(_SEEN_MS)) / 1000


async def _first_sight(browser: Browser) -> Figure:
    samples = []
    async with _opened(FEW) as (_, door):
        for _ in range(TIMES):
            async with clean_page(browser) as page:
                samples.append(await _see(page, door))
    return median_figure(f"page of {FEW} nodes until they are seen", samples, limit=0.2)


async def _smoothness(browser: Browser) -> Figure:
    """How long a frame is shown while nodes turn off; a browser shows 60 in a second at the most."""
    async with _opened(MANY) as (lab, door), clean_page(browser) as page:
        await _see(page, door)
        await page.evaluate(_COUNT_FRAMES)
        for number in range(CHANGES):
            lab.turn(f"n{number}", PowerState.OFF)
            await asyncio.sleep(_BETWEEN_CHANGES_S)
        frames_ms: list[float] = await page.evaluate("window.frames_ms")
    name = f"frame of the page of {MANY} nodes while they change"
    return median_figure(name, [of / 1000 for of in frames_ms], limit=1 / 30)
