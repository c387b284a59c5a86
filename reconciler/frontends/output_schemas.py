"""JSON Schemas of what commands print: `python -m reconciler.frontends.output_schemas [--check] [DIRECTORY]`.

One for each command with `-o json`, generated from the type that its function returns.
"""

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import typer
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from reconciler.desired.schemas import DEFAULT_DIRECTORY, SUFFIX, generate, schema_text
from reconciler.frontends.cli.app import app
from reconciler.frontends.cli.output import PRINTED
from reconciler.model.event import ClusterEvent
from reconciler.model.results import ToolError

OUTPUT_DIRECTORY = DEFAULT_DIRECTORY / "output"


class OutputSchema(GenerateJsonSchema):
    """Generates schemas for printed data: every field is always present, and may be null."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Require fields that have a default too."""
        return True


def output_types() -> dict[str, Any]:
    """The type that each command prints, by the command's words joined by dashes.

    Also `error`, which a failing command prints instead, and `event`, one line of `events --follow`.
    """
    return {**dict(_printed(app)), "error": ToolError, "event": ClusterEvent}


def output_schemas() -> dict[str, str]:
    """The text of each schema file, by its name."""
    return {f"{name}{SUFFIX}": schema_text(output_schema(of)) for name, of in output_types().items()}


def output_schema(of: Any) -> dict[str, Any]:
    """The JSON Schema of a type's printed form. It permits unknown fields, because later releases may add some."""
    schema: dict[str, Any] = _open(TypeAdapter(of).json_schema(mode="serialization", schema_generator=OutputSchema))
    return schema


def _printed(group: typer.Typer, *words: str) -> Iterator[tuple[str, Any]]:
    for command in group.registered_commands:
        function = command.callback
        if function is not None and PRINTED in function.__dict__:
            name = command.name or function.__name__
            yield "-".join((*words, name)), _resolved(function)
    for inner in group.registered_groups:
        own = (inner.name,) if isinstance(inner.name, str) else ()
        if inner.typer_instance is not None:
            yield from _printed(inner.typer_instance, *words, *own)


def _resolved(function: Callable[..., Any]) -> Any:
    """The type of a command's result, by a name that its module imports for type checkers only."""
    module = sys.modules[function.__module__]
    known = {**vars(module), **dict(_imported_for_types(inspect.getsource(module)))}
    return eval(function.__dict__[PRINTED], known)  # noqa: S307  an annotation from our own source


def _imported_for_types(source: str) -> Iterator[tuple[str, Any]]:
    guarded = (
        statement
        for block in ast.parse(source).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
    )
    for statement in guarded:
        if isinstance(statement, ast.ImportFrom) and statement.module:
            module = import_module(statement.module)
            yield from ((alias.asname or alias.name, getattr(module, alias.name)) for alias in statement.names)


def _open(schema: Any) -> Any:
    match schema:
        case dict():
            return {
                key: _open(value) for key, value in schema.items() if (key, value) != ("additionalProperties", False)
            }
        case list():
            return [_open(value) for value in schema]
        case _:
            return schema


if __name__ == "__main__":
    sys.exit(generate(output_schemas(), OUTPUT_DIRECTORY, sys.argv[1:]))
