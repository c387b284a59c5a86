"""What is wrong with the arguments of a call, in words that name each argument and its remedy."""

from collections.abc import Iterator, Mapping
from typing import Any

from mcp.server.mcpserver.tools import Tool
from pydantic import ValidationError

from reconciler.errors import InvalidArgument

_SHOWN_LENGTH = 60


def refusal(tool: Tool, arguments: dict[str, Any]) -> InvalidArgument | None:
    """Why these arguments cannot be taken, with every problem at once; None where they can.

    An argument that the tool does not have is a problem too: nothing is accepted and ignored.
    """
    parameters: dict[str, dict[str, Any]] = tool.parameters["properties"]
    unknown = [name for name in arguments if name not in parameters]
    wrong = dict(_wrong(tool, arguments))
    problems = [f"the tool has no argument {_shown(name)}" for name in unknown] + list(wrong.values())
    if not problems:
        return None
    takes = [f"it takes {', '.join(parameters) or 'none'}"] if unknown else []
    remedies = takes + [_remedy(name, parameters[name]) for name in wrong]
    return InvalidArgument("; ".join(problems), hint="; ".join(remedies))


def _wrong(tool: Tool, arguments: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each argument that does not fit, with the words for it; the first word on one is the one about its type."""
    try:
        tool.fn_metadata.validate_arguments(arguments)
    except ValidationError as error:
        for found in reversed(error.errors(include_url=False, include_context=False)):
            name = str(found["loc"][0])
            yield name, _problem(name, found)


def _problem(name: str, found: Mapping[str, Any]) -> str:
    if found["type"] == "missing":
        return f"argument {name!r} is missing"
    words = str(found["msg"]).removeprefix("Input ")
    return f"argument {name!r} {words[:1].lower()}{words[1:]}, not {_shown(found['input'])}"


def _remedy(name: str, parameter: Mapping[str, Any]) -> str:
    default = f" Default: {parameter['default']!r}." if parameter.get("default") is not None else ""
    return f"{name}: {parameter['description']}{default}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"
