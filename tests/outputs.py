"""What commands print for programs, read as programs may: by the JSON Schemas that we ship."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

DIRECTORY = Path(__file__).parents[1] / "specs" / "schemas" / "output"
ERROR = "error"


@dataclass(frozen=True, slots=True)
class Ended:
    """How one command ended."""

    code: int
    out: str
    err: str
    arguments: tuple[str, ...] = field(default=(), compare=False)

    @property
    def data(self) -> Any:
        """The data that it has printed, as its schema has it."""
        return read(self.arguments, self.code, self.out)


def read(arguments: Sequence[str], code: int, out: str) -> Any:
    """The data that a command has printed. A test fails where it is not as the command's schema, or that of errors."""
    data = json.loads(out)
    names = [command_of(arguments)] if code == 0 else [command_of(arguments), ERROR]
    found = [list(validator(name).iter_errors(data)) for name in names]
    assert not all(found), [str(error) for errors in found for error in errors]
    return data


def command_of(arguments: Sequence[str]) -> str:
    """The name of a command's schema: its words with dashes between them."""
    words = [word for word in arguments if not word.startswith("-")]
    named = ("-".join(words[:count]) for count in (2, 1))
    return next(name for name in named if path_of(name).exists())


def path_of(name: str) -> Path:
    """The file of a schema."""
    return DIRECTORY / f"{name}.schema.json"


@cache
def validator(name: str) -> Draft202012Validator:
    """A schema that lets nothing pass which it does not name, as ours may to be read by older programs."""
    return Draft202012Validator(_closed(json.loads(path_of(name).read_text())))


def _closed(schema: Any) -> Any:
    match schema:
        case dict():
            inner = {key: _closed(value) for key, value in schema.items()}
            return {**inner, "additionalProperties": False} if isinstance(schema.get("properties"), dict) else inner
        case list():
            return [_closed(value) for value in schema]
        case _:
            return schema
