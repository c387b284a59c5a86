"""The schemas of the tools as clients list them: short, because a model reads the whole list. Pure.

What holds for every tool is not repeated for each: an answer has success, result and error, as the instructions say,
and an argument that a tool does not have is refused with the names of those it has.

JSON Schema cannot share definitions between tools, and in full the list would be four times as long: most of it is the
same models and the same error codes, once for each tool. So a tool's answer has the names and types of those fields of
its result that are always there, if it is one of the contract, and only its title where that comes again. The full
schemas of printed results are in specs/schemas.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from reconciler.frontends.mcp.brief import OF_THE_CONTRACT
from reconciler.model.results import ToolResult

Schema = dict[str, Any]
Answer = type[ToolResult[Any]]

_LEVELS = 1
_LIMITS = frozenset(
    {"minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum", "exclusiveMinimum"}
    | {"propertyNames", "additionalProperties"}
)
"""A call beyond them is told so, with the remedy."""
_ANYTHING: Schema = {}
_WITH_FIELDS = frozenset(
    {
        *("ClusterStatus", "NodeStatus", "ClusterHandle", "ExecResult", "ExecAllResult"),
        *("SnapshotInfo", "SnapshotDeleteResult", "NetFaultHandle", "NetFaultInfo"),
        *("BuildArtifact", "ArtifactDiff", "SyncStatus", "InstallStatus"),
    }
)
"""The results of the contract."""


def answer_schemas(answers: Iterable[Answer]) -> list[Schema]:
    """The schema of each answer, in their order: its fields where it comes first, and its title where it comes again.

    They are made together, as most of what is in one is in others too.
    """
    listed = list(answers)
    references, shared = models_json_schema([(kind, "serialization") for kind in dict.fromkeys(listed)])
    shortener = _Shortener(shared["$defs"])
    return [shortener.envelope(references[kind, "serialization"]) for kind in listed]


def parameter_schema(full: Schema) -> Schema:
    """The schema of a tool's arguments, without what no client needs to choose them.

    Null, which every optional argument takes, is spelled as a type where it is the default.
    """
    return {
        "type": "object",
        "properties": {name: _short_parameter(of) for name, of in full["properties"].items()},
        **{key: full[key] for key in ("required", "$defs") if key in full},
    }


def _short_parameter(parameter: Any) -> Any:
    if isinstance(parameter, list):
        return [_short_parameter(of) for of in parameter]
    if not isinstance(parameter, dict):
        return parameter
    return {key: _short_parameter(of) for key, of in _with_types(parameter).items() if not _is_left_out(key, of)}


def _with_types(parameter: Any) -> Any:
    """Alternatives spelled as types; the values of an enumeration say theirs."""
    match parameter:
        case {"anyOf": [{"type": "array", **items}, {"type": "string"}, *null], **rest}:
            return {**items, **rest, "type": ["array", "string", *(of["type"] for of in null)]}
        case {"anyOf": [{"type": str(kind), **of}, {"type": "null"}], **rest} if "enum" not in of:
            return {**of, **rest, "type": [kind, "null"]}
        case {"enum": _, "type": "string"}:
            return {key: of for key, of in parameter.items() if key != "type"}
        case _:
            return parameter


def _is_left_out(key: str, value: Any) -> bool:
    return key in _LIMITS or (key == "title" and isinstance(value, str)) or (key == "default" and value is None)


class _Shortener:
    """Shortens the schemas of answers one after the other: the fields of a model are listed where it comes first."""

    def __init__(self, known: Mapping[str, Schema]) -> None:
        self._known = known
        self._listed: set[str] = set()

    def envelope(self, schema: Schema) -> Schema:
        result = self._short(self._resolved(schema)["properties"]["result"], _LEVELS)
        return {
            "type": "object",
            "properties": {"success": {"type": "boolean"}, "result": result, "error": _ANYTHING},
        }

    def _short(self, schema: Schema, levels: int) -> Schema:
        match schema := self._resolved(schema):
            case {"anyOf": [of, {"type": "null"}]}:
                short = self._short(of, levels)
                return {**short, "type": [short["type"], "null"]} if isinstance(short.get("type"), str) else {}
            case {"type": "object", "properties": fields, "title": title} if fields and levels >= 0:
                inner = self._fields(schema) if levels else {}
                named = {"title": title} if title in _WITH_FIELDS else {}
                return {"type": "object", **named, **({"properties": inner} if inner else {})}
            case {"type": "array", "items": items} if levels >= 0:
                return {"type": "array", "items": self._short(items, levels)}
            case {"type": kind}:
                return {"type": kind}
            case _:
                return {}

    def _fields(self, schema: Schema) -> Schema:
        """The fields of a model that are always there; none if they have been listed."""
        title = schema["title"]
        if title not in _WITH_FIELDS or title in self._listed:
            return {}
        always = [*schema.get("required", ()), *OF_THE_CONTRACT.get(title, ())]
        self._listed.add(title)
        return {name: self._short(of, -1) for name, of in schema["properties"].items() if name in always}

    def _resolved(self, schema: Schema) -> Schema:
        return self._known[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
