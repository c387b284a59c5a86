"""The way in: a URL with a code that works once, in the fragment, which browsers never send and servers never log."""

import json
import webbrowser
from contextlib import AbstractContextManager, closing
from html import escape
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import quote, urlsplit

from reconciler.errors import ConfigurationInvalid
from reconciler.files.atomic import write_whole
from reconciler.files.locks import is_living, living_file
from reconciler.frontends.mcp.server_options import TOKEN_FILE

DOOR_FILE = "door.json"
"""In `state_dir`: where the page is served. Its server keeps it locked."""
_REDIRECT_FILE = "door.html"
_PATIENCE_S = 5.0
_MOST_BYTES = 4096


def entry_url(url: str, code: str, cluster: str) -> str:
    """The URL of a page with a code, at a cluster if one is named."""
    return f"{url}#code={code}{f'&cluster={quote(cluster)}' if cluster else ''}"


def announced(url: str, state_dir: Path) -> AbstractContextManager[None]:
    """Have `entry_to_running` find a page that this process serves during a block."""
    return living_file(state_dir / DOOR_FILE, json.dumps({"url": url}).encode())


def entry_to_running(state_dir: Path, cluster: str) -> str | None:
    """The URL that lets one browser in to the page that is served already; None if there is none that answers."""
    try:
        with (state_dir / DOOR_FILE).open("rb") as note:
            url = json.load(note)["url"]
            token = (state_dir / TOKEN_FILE).read_text().strip()
            with closing(HTTPConnection(urlsplit(url).netloc, timeout=_PATIENCE_S)) as connection:
                connection.connect()
                # Only now: while its server lives, nobody else is at that address. One that was killed left it to all.
                return entry_url(url, _code(connection, token), cluster) if is_living(note.fileno()) else None
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


def _code(connection: HTTPConnection, token: str) -> str:
    connection.request("POST", "/api/code", headers={"Authorization": f"Bearer {token}"})
    return str(json.loads(connection.getresponse().read(_MOST_BYTES))["code"])
