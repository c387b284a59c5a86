"""The files of the page, as a browser fetches them."""

from collections.abc import Mapping
from pathlib import Path

from reconciler.frontends.browser.joined_script import joined_script

_STATIC = Path(__file__).with_name("static")


def page_index() -> bytes:
    """The document, which names the other files below `/static/`."""
    return (_STATIC / "index.html").read_bytes()


def page_files() -> Mapping[str, bytes]:
    """All other files by name. Joined into one script, the modules take one request instead of one each."""
    script = joined_script(_STATIC / "main.js").encode()
    return {"main.js": script, **{name: (_STATIC / name).read_bytes() for name in ("page.css", "icon.svg")}}
