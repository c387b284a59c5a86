"""Writes the list of tools that the server reads: `python -m reconciler.frontends.mcp.tool_list [--check] [DIRECTORY]`.

A test compares it with the tools, and so does `make check`.
"""

import json
import sys
from typing import get_type_hints

from mcp_types import ListToolsResult, Tool

from reconciler.desired.schemas import generate
from reconciler.frontends.mcp.callable_tools import callable_tool, description_of
from reconciler.frontends.mcp.listed_tools import FILE
from reconciler.frontends.mcp.tool_schemas import answer_schemas
from reconciler.frontends.mcp.tools import TOOLS


def tool_list() -> ListToolsResult:
    """All tools, in the order in which clients list them."""
    answers = answer_schemas(get_type_hints(definition.function)["return"] for definition in TOOLS)
    return ListToolsResult(
        tools=[
            Tool(
                name=of.name,
                title=of.title,
                description=description_of(of),
                input_schema=callable_tool(of.name).parameters,
                output_schema=answer,
                annotations=of.annotations,
            )
            for of, answer in zip(TOOLS, answers, strict=True)
        ]
    )


def list_text() -> str:
    """The list as file contents."""
    listed = tool_list().model_dump(mode="json", by_alias=True, exclude_unset=True)
    return json.dumps(listed, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(generate({FILE.name: list_text()}, FILE.parent, sys.argv[1:]))
