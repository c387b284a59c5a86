"""The table of tools in the documentation, made from the tools themselves."""

import json
from typing import Any, get_args, get_type_hints

from reconciler.frontends.mcp.protocol import offered_tools
from reconciler.frontends.mcp.tools import TOOLS, ToolDefinition


def render_tool_table() -> str:
    """A Markdown table: each tool with its parameters and defaults, what it does, and what it answers."""
    tools = offered_tools()
    rows = [
        f"| `{_signature(tool.name, tool.parameters)}` | {_summary(tool.description)} | `{_answer(definition)}` |"
        for definition, tool in zip(TOOLS, tools.values(), strict=True)
    ]
    return "\n".join(["| tool | does | answers |", "|---|---|---|", *rows]) + "\n"


def _signature(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", []))
    parameters = [
        key if key in required else f"{key}={json.dumps(parameter['default'])}"
        for key, parameter in schema["properties"].items()
    ]
    return f"{name}({', '.join(parameters)})"


def _summary(description: str) -> str:
    return " ".join(description.split("\n\n", maxsplit=1)[0].split()).replace("|", "\\|")


def _answer(definition: ToolDefinition) -> str:
    (result,) = get_type_hints(definition.function)["return"].__pydantic_generic_metadata__["args"]
    inner = [of.__name__ for of in get_args(result)]
    return f"{result.__name__}[{', '.join(inner)}]" if inner else str(result.__name__)
