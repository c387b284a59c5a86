"""The schemas of the tools as clients list them: short, because a model reads the whole list. Pure.

JSON Schema cannot share definitions between tools, and in full the list would be three times as long: most of it is the
same models and the same error codes, once for each tool. So a tool's answer has the names and types of its result's
fields, and those that answer the same only have its title. The full schemas of printed results are in specs/schemas.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from reconciler.model.results import ToolResult

Schema = dict[str, Any]
Answer = type[ToolResult[Any]]

_LEVELS = 1
_OF_EVERY_NAME = frozenset({"title", "minLength", "maxLength"})
_OMISSIONS = "omitted"  # in every model whose lists may be cut
_LARGE = 10_000
_ERROR = {"type": ["object", "null"]}


def answer_schemas(answers: Iterable[Answer]) -> list[Schema]:
    """The schema of each answer, in their order: its fields where it comes first, and its title where it comes again.

    They are made together, as most of what is in one is in others too.
    """
    listed = list(answers)
    references, shared = models_json_schema([(kind, "serialization") for kind in dict.fromkeys(listed)])
    known, shown = shared["$defs"], set[Answer]()
    schemas = []
    for kind in listed:
        levels = 0 if kind in shown else _LEVELS
        schemas.append(_envelope(_resolved(references[kind, "serialization"], known), known, levels))
        shown.add(kind)
    return schemas


def parameter_schema(full: Schema) -> Schema:
    """The schema of a tool's arguments, without what no client needs to choose them.

    Null, which every optional argument takes, is spelled as a type; names have no lengths, large limits are left out.
    """
    return {
        "type": "object",
        "properties": {name: _short_parameter(of) for name, of in full["properties"].items()},
        **{key: full[key] for key in ("required", "$defs") if key in full},
        "additionalProperties": False,
    }


def _short_parameter(parameter: Any) -> Any:
    match parameter:
        case {"anyOf": [{"type": "array", **items}, {"type": "string"}, *null], **rest}:
            return {**_short_parameter({**items, **rest}), "type": ["array", "string", *(of["type"] for of in null)]}
        case {"anyOf": [{"type": str(kind), **of}, {"type": "null"}], **rest} if "enum" not in of:
            return {**_short_parameter({**of, **rest}), "type": [kind, "null"]}
        case dict():
            return {key: _short_parameter(of) for key, of in parameter.items() if not _is_left_out(key, of)}
        case list():
            return [_short_parameter(of) for of in parameter]
        case _:
            return parameter


def _is_left_out(key: str, value: Any) -> bool:
    return key in _OF_EVERY_NAME or (key == "maximum" and value > _LARGE) or (key == "default" and value is None)


def _envelope(schema: Schema, known: Mapping[str, Schema], levels: int) -> Schema:
    result = _short(schema["properties"]["result"], known, levels)
    return {
        "type": "object",
        "properties": {"success": {"type": "boolean"}, "result": result, "error": _ERROR},
        "required": ["success", "result", "error"],
    }


def _short(schema: Schema, known: Mapping[str, Schema], levels: int) -> Schema:
    match schema := _resolved(schema, known):
        case {"anyOf": [of, {"type": "null"}]}:
            short = _short(of, known, levels)
            return {**short, "type": [short["type"], "null"]} if isinstance(short.get("type"), str) else {}
        case {"type": "object", "properties": fields, "title": title} if fields and levels >= 0:
            inner = {name: _short(of, known, -1) for name, of in fields.items() if name != _OMISSIONS} if levels else {}
            return {"type": "object", "title": title, **({"properties": inner} if inner else {})}
        case {"type": "array", "items": items} if levels >= 0:
            return {"type": "array", "items": _short(items, known, levels)}
        case {"type": kind}:
            return {"type": kind}
        case _:
            return {}


def _resolved(schema: Schema, known: Mapping[str, Schema]) -> Schema:
    return known[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
