"""The lab and the browser of the page's tests."""

from tests.unit.frontends.web.conftest import browser, lab, page

__all__ = ["browser", "lab", "page"]
