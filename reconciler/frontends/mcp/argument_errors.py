"""Explains what is wrong with the arguments of a call, with each argument's name and remedy."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from reprlib import Repr
from typing import Any

from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import FuncMetadata
from pydantic import BaseModel, ValidationError

from reconciler.errors import InvalidArgument
from reconciler.frontends.mcp.stdio_messages import is_text

_SHOWN_LENGTH = 60
_MOST_SHOWN = 20
_SPELLINGS = (
    ("node", "node_name"),
    ("topology", "topology_name"),
    ("timeout_s", "ssh_timeout_s"),
    ("fault_handle", "handle_id"),
)
"""Names of one and the same argument: a tool has one of them, and takes either."""


class ArgumentsAsSent(FuncMetadata):
    """A tool's arguments as the client sent them.

    The SDK parses text as JSON if a parameter may be something other than text, such as null: the standard input `{"a":
    1}` arrived as a mapping, and `null` as nothing. Here each parameter's type decides.
    """

    def pre_parse_json(self, data: dict[str, Any]) -> dict[str, Any]:
        """Drop the arguments that say nothing: null, and an empty text if the parameter is not text."""
        never_text = _never_text(self.arg_model)
        return {
            name: value for name, value in data.items() if value is not None and (value != "" or name not in never_text)
        }


@cache
def _never_text(arguments: type[BaseModel]) -> frozenset[str]:
    """The optional parameters that are not text: clients that show a form send an empty text for an empty field."""
    properties = arguments.model_json_schema()["properties"]
    return frozenset(name for name, of in properties.items() if "default" in of and not _takes_text(of))


def _takes_text(parameter: Mapping[str, Any]) -> bool:
    forms = [parameter, *parameter.get("anyOf", ())]
    return any(form.get("type") == "string" and not form.keys() & {"enum", "const"} for form in forms)


def as_spelled(tool: Tool, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, each under the name that this tool has for it."""
    known, spelled = tool.parameters["properties"], dict(arguments)
    for one, other in (*_SPELLINGS, *(pair[::-1] for pair in _SPELLINGS)):
        if one in spelled and one not in known and other in known and other not in spelled:
            spelled[other] = spelled.pop(one)
    return spelled


def argument_refusal(tool: Tool, arguments: dict[str, Any]) -> InvalidArgument | None:
    """Why these arguments are refused, with all problems at once; None if they are valid.

    An unknown argument is a problem too: nothing is accepted and ignored. Only tools without required arguments let one
    pass, because clients make one up for them, unless it resembles an argument that they have.
    """
    parameters: dict[str, dict[str, Any]] = tool.parameters["properties"]
    not_known = [name for name in arguments if name not in parameters]
    unknown = {name: _alike(name, parameters) for name in not_known[:_MOST_SHOWN]}
    if not tool.parameters.get("required"):
        unknown = {name: alike for name, alike in unknown.items() if alike}
    wrong = dict(_wrong(tool, arguments))
    problems = [
        *(f"the tool has no argument {_shown(name)}{alike}" for name, alike in unknown.items()),
        *([f"the tool has none of {more} other arguments"] if (more := len(not_known) - _MOST_SHOWN) > 0 else []),
        *wrong.values(),
    ]
    if not problems:
        return None
    takes = [f"it takes {', '.join(parameters) or 'none'}"] if unknown else []
    remedies = takes + [_remedy(name, parameters[name]) for name in wrong]
    return InvalidArgument("; ".join(problems), hint="; ".join(remedies))


def _alike(name: str, parameters: Mapping[str, Any]) -> str:
    """A suggestion for a misspelt name; empty if no name is similar."""
    found = get_close_matches(name[:_SHOWN_LENGTH], parameters, n=1) or [
        of for of in parameters if name in of.split("_")
    ]
    return f", did you mean {found[0]!r}?" if found else ""


def _wrong(tool: Tool, arguments: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each invalid argument with a message; of several messages on one, the first is about its type."""
    texts = {name: value for name, value in arguments.items() if is_text(value)}
    for name, value in arguments.items():
        if name in tool.parameters["properties"] and name not in texts:
            yield name, f"argument {name!r} holds half of a surrogate pair, which is not valid text: {_shown(value)}"
    try:
        tool.fn_metadata.validate_arguments(texts)
    except ValidationError as error:
        for found in reversed(error.errors(include_url=False, include_context=False)):
            name = str(found["loc"][0])
            if name in texts or name not in arguments:
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
    text = _SHORT.repr(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"


_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict = _SHOWN_LENGTH, _SHOWN_LENGTH, _SHOWN_LENGTH
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 4 * _SHOWN_LENGTH
"""Represents only as much of a value as is shown."""
