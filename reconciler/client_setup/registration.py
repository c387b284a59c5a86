"""Which clients a user has, and what each needs to know the server. Reads only."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.client_setup.changed_files import FileChange, current_content
from reconciler.client_setup.mcp_clients import CLIENTS, McpClient
from reconciler.errors import ClusterError

_ENCODING = "utf-8"


@dataclass(frozen=True, slots=True)
class ClientPlan:
    """A client that was found: its file, and the change that registers the server there, or why there is none."""

    client: McpClient
    path: Path
    change: FileChange | None
    why: str
    trouble: bool = False


def plan_registrations(home: Path, environ: Mapping[str, str], command: Sequence[str]) -> Iterator[ClientPlan]:
    """What to do for each client of a user, in whose environment some may be elsewhere. Blocking."""
    planned: dict[str, McpClient] = {}
    for client in CLIENTS:
        moved = environ.get(client.variable, "")
        directory = Path(moved) if moved.startswith("/") else home / client.directory
        path = directory / client.file
        if not (path.exists() or path.is_symlink() or (directory / client.sign).is_dir()):
            continue
        before = planned.setdefault(os.path.realpath(path), client)
        if before is client:
            yield _plan(client, path, command)
        else:
            yield ClientPlan(client, path, None, f"uses the file of {before.name}")


def _plan(client: McpClient, path: Path, command: Sequence[str]) -> ClientPlan:
    try:
        before = current_content(path)
        text = (before or b"").decode(_ENCODING)
        there = client.present(text)
        if there is not None:
            return ClientPlan(client, path, None, _already(client, there, command))
        after = client.registered(text, command).encode(_ENCODING)
        return ClientPlan(client, path, FileChange(path, before, after), "the server will be added")
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    except ValueError as error:
        why = str(error)
    except ClusterError as error:
        return ClientPlan(client, path, None, error.message, trouble=True)
    return ClientPlan(client, path, None, f"{path} is left as it is: {why}", trouble=True)


def _already(client: McpClient, there: object, command: Sequence[str]) -> str:
    if there == client.entry(command):
        return "knows the server already"
    return f"has an entry `vmcluster` that is kept; this server is `{shlex.join(command)}`"
