"""The MCP clients that can be told of the server: where each keeps its configuration, and in which form. Pure.

Sources: the documentation of each client, in 2026. Claude Code keeps servers for all of a user's projects in
`~/.claude.json`, VS Code in `mcp.json` of the user's profile, Cursor in `~/.cursor/mcp.json`, Codex in
`~/.codex/config.toml`, Gemini CLI in `~/.gemini/settings.json`, and Claude Desktop in its configuration directory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from reconciler.client_setup.json_entries import json_data, with_json_entry
from reconciler.client_setup.toml_entries import toml_data, with_toml_entry

SERVER_NAME = "vmcluster"


class ConfigurationFormat(StrEnum):
    """How a configuration is written."""

    JSON = "json"
    TOML = "toml"


@dataclass(frozen=True, slots=True)
class McpClient:
    """A client: its file, below a directory in the home directory, or in another one that a variable names.

    `sign` is what shows that the client is used, below the same directory. `container` is the key below which servers
    are, and `typed` says that an entry names its transport.
    """

    name: str
    directory: PurePosixPath
    variable: str
    file: PurePosixPath
    sign: PurePosixPath
    container: str = "mcpServers"
    format: ConfigurationFormat = ConfigurationFormat.JSON
    typed: bool = False

    def entry(self, command: Sequence[str]) -> Mapping[str, Any]:
        """The entry of a server that is started by a command."""
        program, *arguments = command
        kind = {"type": "stdio"} if self.typed else {}
        return {**kind, "command": program, "args": arguments}

    def present(self, text: str) -> Any:
        """The entry of our server in a configuration; None if there is none. Raises `ValueError` if it is broken."""
        data = json_data(text) if self.format is ConfigurationFormat.JSON else toml_data(text)
        servers = data.get(self.container)
        return servers.get(SERVER_NAME) if isinstance(servers, dict) else None

    def registered(self, text: str, command: Sequence[str]) -> str:
        """The configuration with our server. Raises `ValueError` if it is broken, or leaves no room for it."""
        add = with_json_entry if self.format is ConfigurationFormat.JSON else with_toml_entry
        return add(text, self.container, SERVER_NAME, self.entry(command))


def _client(name: str, directory: str, variable: str, file: str, sign: str, **how: Any) -> McpClient:
    return McpClient(name, PurePosixPath(directory), variable, PurePosixPath(file), PurePosixPath(sign), **how)


_XDG = (".config", "XDG_CONFIG_HOME")

CLIENTS: Sequence[McpClient] = (
    _client("Claude Code", "", "CLAUDE_CONFIG_DIR", ".claude.json", ".claude", typed=True),
    _client("Claude Desktop", *_XDG, "Claude/claude_desktop_config.json", "Claude"),
    _client("VS Code", *_XDG, "Code/User/mcp.json", "Code/User", container="servers", typed=True),
    _client(
        "VS Code Insiders",
        *_XDG,
        "Code - Insiders/User/mcp.json",
        "Code - Insiders/User",
        container="servers",
        typed=True,
    ),
    _client("Cursor", "", "", ".cursor/mcp.json", ".cursor"),
    _client(
        "Codex", ".codex", "CODEX_HOME", "config.toml", "", container="mcp_servers", format=ConfigurationFormat.TOML
    ),
    _client("Gemini CLI", "", "", ".gemini/settings.json", ".gemini"),
)
