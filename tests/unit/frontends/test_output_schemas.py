"""JSON is a promise: every output has a schema, and a field has one shape wherever it is."""

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer

from reconciler.desired.schemas import stale_files
from reconciler.frontends.cli.app import app
from reconciler.frontends.cli.options import OutputFormat
from reconciler.frontends.mcp.tools import TOOLS
from reconciler.frontends.output_schemas import OUTPUT_DIRECTORY, output_schema, output_schemas, output_types

BESIDE_COMMANDS = {"error", "event"}

SHAPES_OF_THEIR_OWN = {
    "error": "contract: of a snapshot's node a text, elsewhere the error of the envelope",
    "lines": "contract: of `dmesg` with stamp and level, of consoles and traces as they are",
    "summary": "of a plan its figures, elsewhere one line of text",
    "result": "the envelope holds what each tool answers",
}


def test_the_schemas_of_outputs_that_we_ship_are_current() -> None:
    root = Path(__file__).parents[3]
    assert stale_files(root / OUTPUT_DIRECTORY, output_schemas()) == []


def commands(command: Any, *words: str) -> Iterator[tuple[str, Any]]:
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, *words, name)
    if not hasattr(command, "commands"):
        yield "-".join(words), command


def test_every_command_that_prints_data_has_a_schema_and_no_other() -> None:
    printing = {
        name
        for name, command in commands(typer.main.get_command(app))
        if any("--output" in each.opts and each.default == OutputFormat.TABLE for each in command.params)
    }
    assert len(printing) > 40
    assert output_types().keys() == printing | BESIDE_COMMANDS


@cache
def objects() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Every object in what commands print and tools answer: its name, its fields, and what these refer to."""
    tools = {tool.function.__name__: get_type_hints(tool.function)["return"] for tool in TOOLS}
    return [
        (name, found["properties"], known)
        for schema in map(output_schema, {**output_types(), **tools}.values())
        for known in [schema.get("$defs", {})]
        for name, found in {**known, schema.get("title", ""): schema}.items()
        if "properties" in found
    ]


def shape(field: dict[str, Any], known: dict[str, Any]) -> str:
    """The JSON type of a field, whether or not it may be null, and of what is in it."""
    if "$ref" in field:
        return shape(known[field["$ref"].rpartition("/")[2]], known)
    if "anyOf" in field:
        return " or ".join(sorted({shape(of, known) for of in field["anyOf"]} - {"null"}))
    match field.get("type", "string" if "const" in field else "anything"):
        case "array":
            return f"list of {shape(field['items'], known)}"
        case "object" if isinstance(field.get("additionalProperties"), dict):
            return f"object of {shape(field['additionalProperties'], known)}"
        case "string" if field.get("format") == "date-time":
            return "time"
        case kind:
            return str(kind)


def test_a_field_has_one_shape_in_all_outputs() -> None:
    shapes: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for model, fields, known in objects():
        for name, field in fields.items():
            shapes[name][shape(field, known)].add(model)
    several = {name: dict(found) for name, found in shapes.items() if len(found) > 1}
    assert several.keys() == SHAPES_OF_THEIR_OWN.keys(), several


def test_every_time_is_in_utc_and_says_so() -> None:
    times = {
        (model, name): field
        for model, fields, _ in objects()
        for name, field in fields.items()
        if name == "at" or name.endswith("_at") or "date-time" in str(field)
    }
    assert ("Condition", "last_transition") in times
    assert {place for place, field in times.items() if "'pattern': 'Z$'" not in str(field)} == set()


@pytest.mark.parametrize(("ending", "kinds"), [("_bytes", {"integer"}), ("_s", {"number"}), ("_pct", {"number"})])
def test_a_field_that_names_its_unit_is_a_number(ending: str, kinds: set[str]) -> None:
    found = [(name, shape(field, known)) for _, fields, known in objects() for name, field in fields.items()]
    assert {kind for name, kind in found if name.endswith(ending)} == kinds
