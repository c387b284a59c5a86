"""Converts what clients send for an argument: names with commas, numbers as text, JSON in a string.

Only unambiguous values are converted. Text stays as it is, whatever it looks like.
"""

import json
import math
import re
from typing import Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

MOST_VALUES = 50_000
"""More than any call needs. A message of 16 MiB could hold millions, each of which costs about 1 KiB if it is wrong."""
_TEXT = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+', re.DOTALL)  # in one pass, closed or not


def holds_too_many(text: str) -> bool:
    """Whether JSON text holds more than `MOST_VALUES` values. What is in its strings does not count."""
    return text.count(",") > MOST_VALUES and _TEXT.sub("", text).count(",") > MOST_VALUES


def _names(value: Any) -> Any:
    """A list of names from a list, from names separated by commas, or from a list as JSON text."""
    if not isinstance(value, str):
        return value
    parsed = _parsed(value, list)
    return [name for part in value.split(",") if (name := part.strip())] if parsed is None else parsed


def _one_or_more(value: Any) -> Any:
    """The same, but a single name stays a single name."""
    names = _names(value)
    return names[0] if isinstance(value, str) and len(names) == 1 else names


def _words(value: Any) -> Any:
    """A mapping of text from one with numbers and booleans, which are spelled as in JSON, or from JSON text."""
    parsed = _parsed(value, dict) if isinstance(value, str) else value
    if not isinstance(parsed, dict):
        return value
    return {name: _word(of) for name, of in parsed.items()}


def _word(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else value


def _structure(value: Any) -> Any:
    """A list or a mapping, given as such or as JSON text."""
    parsed = _parsed(value, (list, dict)) if isinstance(value, str) else None
    return value if parsed is None else parsed


def _number(value: Any) -> Any:
    """A number; booleans are refused."""
    if isinstance(value, bool):
        raise PydanticCustomError("number", "Input should be a valid number")
    return value


def _parsed(text: str, wanted: type | tuple[type, ...]) -> Any:
    if holds_too_many(text):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, wanted) else None


AsNames = BeforeValidator(_names, json_schema_input_type=list[str] | str | None)
AsOneOrMoreNames = BeforeValidator(_one_or_more, json_schema_input_type=list[str] | str)
AsWords = BeforeValidator(_words, json_schema_input_type=dict[str, str | float | bool] | None)
AsStructure = BeforeValidator(_structure)
AsNumber = BeforeValidator(_number)
