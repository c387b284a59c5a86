"""A lab to look at, and a browser to look with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from tests.browsing import clean_page, opened_browser
from tests.unit.frontends.web.shown_lab import ShownLab, shown_lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[ShownLab]:
    async with shown_lab(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with opened_browser() as opened:
        yield opened


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    async with clean_page(browser) as opened:
        yield opened
