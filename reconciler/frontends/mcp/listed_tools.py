"""The tools as clients list them, read from a file that is generated with the package.

To make the list takes every tool and the models of every argument and answer, a third of a server's start. A client
that lists tools calls few of them.
"""

from functools import cache
from pathlib import Path

from mcp_types import ListToolsResult, Tool

FILE = Path(__file__).with_name("tools.json")


@cache
def listed_tools() -> dict[str, Tool]:
    """The tools by name, in the order in which clients list them; the same ones for every server of this process."""
    return {tool.name: tool for tool in ListToolsResult.model_validate_json(FILE.read_bytes()).tools}
