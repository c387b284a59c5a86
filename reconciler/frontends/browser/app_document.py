"""The view of a cluster as one document, for a chat: hosts of MCP Apps permit inline scripts, and no other file."""

import re
from functools import cache
from pathlib import Path

from reconciler.frontends.browser.joined_script import joined_script

_APP = Path(__file__).with_name("app")
_STYLE = re.compile(r'<link rel="stylesheet" href="(.+)">')
_SCRIPT = re.compile(r'<script type="module" src="(.+)"></script>')


@cache
def app_document() -> str:
    """The document: the page's own modules and style sheet, inline."""
    page = (_APP / "app.html").read_bytes().decode()
    page = _STYLE.sub(lambda link: f"<style>\n{(_APP / link[1]).read_bytes().decode()}</style>", page)
    return _SCRIPT.sub(lambda script: f'<script type="module">\n{joined_script(_APP / script[1])}</script>', page)
