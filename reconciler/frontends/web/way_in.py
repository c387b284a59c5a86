"""The way in: a URL with a code that works once, in the fragment, which browsers never send and servers never log."""

import json
import webbrowser
from contextlib import closing
from html import escape
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import quote, urlsplit

from reconciler.errors import ConfigurationInvalid
from reconciler.files.atomic import write_whole
from reconciler.frontends.mcp.server_options import TOKEN_FILE

DOOR_FILE = "door.json"
"""In `state_dir`: where the page is served."""
_REDIRECT_FILE = "door.html"
_PATIENCE_S = 5.0
_MOST_BYTES = 4096


def entry_url(url: str, code: str, cluster: str) -> str:
    """The URL of a page with a code, at a cluster if one is named."""
    return f"{url}#code={code}{f'&cluster={quote(cluster)}' if cluster else ''}"


def entry_to_running(state_dir: Path, cluster: str) -> str | None:
    """The URL that lets one browser in to the page that is served already; None if there is none that answers."""
    try:
        url = json.loads((state_dir / DOOR_FILE).read_bytes())["url"]
        token = (state_dir / TOKEN_FILE).read_text().strip()
        return entry_url(url, _code(urlsplit(url).netloc, token), cluster)
    except PermissionError as error:
        why = f"{error.filename} cannot be read: {error.strerror}"
        raise ConfigurationInvalid(why, hint="run this as root") from error
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return None


def open_in_browser(url: str, state_dir: Path) -> None:
    """Open a URL in the user's browser, by way of a file: the arguments of a process are for all users to read."""
    file = state_dir / _REDIRECT_FILE
    write_whole(file, f'<!doctype html><meta http-equiv="refresh" content="0; url={escape(url)}">\n'.encode())
    webbrowser.open(file.absolute().as_uri())


def _code(authority: str, token: str) -> str:
    with closing(HTTPConnection(authority, timeout=_PATIENCE_S)) as connection:
        connection.request("POST", "/api/code", headers={"Authorization": f"Bearer {token}"})
        said = json.loads(connection.getresponse().read(_MOST_BYTES))
    return str(said["code"])
