"""The output schemas of the tools, all made at once: most of what is in one answer is in others too."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from reconciler.model.results import ToolResult

Answer = type[ToolResult[Any]]

_FOR_PEOPLE = frozenset({"title", "description"})
_NAMED = frozenset({"properties", "$defs"})


def answer_schemas(answers: Iterable[Answer]) -> dict[Answer, dict[str, Any]]:
    """By type of answer, its schema with all that it refers to; a field is null, but never left out."""
    kinds = list(dict.fromkeys(answers))
    references, shared = models_json_schema([(kind, "serialization") for kind in kinds])
    known = _bare(shared)["$defs"]
    return {kind: _whole(_name(references[kind, "serialization"]["$ref"]), known) for kind in kinds}


def _whole(name: str, known: Mapping[str, Any]) -> dict[str, Any]:
    schema, needed = known[name], {}
    missing = list(_references(schema))
    while missing:
        if (found := missing.pop()) not in needed:
            needed[found] = known[found]
            missing += _references(known[found])
    return {"$defs": dict(sorted(needed.items())), **schema, "required": list(schema["properties"])}


def _references(schema: Any) -> Iterator[str]:
    match schema:
        case dict():
            if isinstance(reference := schema.get("$ref"), str):
                yield _name(reference)
            for value in schema.values():
                yield from _references(value)
        case list():
            for value in schema:
                yield from _references(value)


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _bare(schema: Any) -> Any:
    """A schema without the words for people, of which a list of tools would be several times as long.

    They are in the files below specs/schemas.
    """
    match schema:
        case dict():
            return {
                key: {name: _bare(of) for name, of in value.items()} if key in _NAMED else _bare(value)
                for key, value in schema.items()
                if key not in _FOR_PEOPLE
            }
        case list():
            return [_bare(value) for value in schema]
        case _:
            return schema
