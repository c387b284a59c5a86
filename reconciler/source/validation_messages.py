"""Pydantic's errors in plain words, each with a remedy."""

import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from reconciler.error_codes import ErrorCode
from reconciler.source.problems import Finding, Location, shown, suggestion
from reconciler.source.tree import SourceDocument

MAX_EXPLAINED_ERRORS = 1000

_KEY_MARKER = "[key]"
_TYPE_WORDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping (`key: value` lines)",
    "model_type": "a mapping (`key: value` lines)",
    "model_attributes_type": "a mapping (`key: value` lines)",
    "tuple_type": "a list (lines that start with `- `)",
    "list_type": "a list (lines that start with `- `)",
    "finite_number": "a finite number",
}


def explain_validation(
    error: ValidationError,
    model: type[BaseModel],
    document: SourceDocument,
    pattern_words: Mapping[str, str],
    code: ErrorCode = ErrorCode.TOPOLOGY_INVALID,
) -> list[Finding]:
    """Every error of validating `document` as `model`; at most the first thousand."""
    details = error.errors(include_url=False)[:MAX_EXPLAINED_ERRORS]
    explainer = _Explainer(model, document, pattern_words, code)
    return [explainer.finding(detail) for detail in details if not _counts_only_sound_items(detail)]


def _counts_only_sound_items(detail: ErrorDetails) -> bool:
    """Whether a list is reported as too short only because its items, reported themselves, were refused."""
    return detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]


def _is_large(detail: ErrorDetails) -> bool:
    """Whether the value is of a kind that no message quotes."""
    return isinstance(detail["input"], dict | list)


class _Explainer:
    def __init__(
        self, model: type[BaseModel], document: SourceDocument, pattern_words: Mapping[str, str], code: ErrorCode
    ) -> None:
        self._model = model
        self._document = document
        self._pattern_words = pattern_words
        self._code = code

    def finding(self, detail: ErrorDetails) -> Finding:
        location: Location = tuple(part for part in detail["loc"] if part != _KEY_MARKER)
        about_key = _KEY_MARKER in detail["loc"] or detail["type"] == "extra_forbidden"
        plain = detail["type"] == "missing" or (detail["type"] in _TYPE_WORDS and location == () and _is_large(detail))
        return Finding(location, self._message(detail, location), self._code, about_key, plain)

    def _message(self, detail: ErrorDetails, location: Location) -> str:
        kind = detail["type"]
        if kind == "missing":
            return f"is missing{self._remedy(location)}"
        if kind == "extra_forbidden":
            return self._unknown_key(location)
        if detail["input"] is None:
            return f"has no value{self._remedy(location)}"
        if kind in _TYPE_WORDS:
            return self._wrong_type(_TYPE_WORDS[kind], detail["input"], location)
        say = _WORDS.get(kind)
        context = {**detail.get("ctx", {}), "words": self._pattern_words.get(detail.get("ctx", {}).get("pattern", ""))}
        return say(shown(detail["input"]), context) if say else f"{shown(detail['input'])}: {detail['msg']}"

    def _unknown_key(self, location: Location) -> str:
        model = _model_at(self._model, location[:-1])
        known = list(model.model_fields) if model else []
        close = suggestion(str(location[-1]), known)
        remedy = f"did you mean {close}?" if close else f"known keys: {', '.join(known)}"
        return f"unknown key ({remedy})"

    def _wrong_type(self, wanted: str, value: object, location: Location) -> str:
        text = self._document.text(location)
        if wanted == "text" and text is not None:
            return f'{shown(text)} is {_kind(value)}, but must be text (put it in quotes: "{shown(text)}")'
        found = _kind(value) if isinstance(value, dict | list) else f"{_kind(value)} ({shown(value)})"
        return f"is {found}, but must be {wanted}{self._remedy(location)}"

    def _remedy(self, location: Location) -> str:
        if not location:
            return " (write lines of the form `key: value`)"
        parent = _model_at(self._model, location[:-1])
        field = parent.model_fields.get(str(location[-1])) if parent else None
        if field is None:
            return " (correct it)"
        if not field.is_required():
            return " (correct it, or remove it)"
        return f" (write `{location[-1]}: {field.examples[0]}`, for example)" if field.examples else _meaning(field)


def _meaning(field: FieldInfo) -> str:
    description = (field.description or "").rstrip(".")
    return f" (add it: {description[:1].lower()}{description[1:]})"


def _model_at(model: type[BaseModel], location: Iterable[str | int]) -> type[BaseModel] | None:
    """The model that the mapping at `location` is validated as, or None if its keys are free."""
    found: Any = model
    for part in location:
        if isinstance(found, type) and issubclass(found, BaseModel):
            field: FieldInfo | None = found.model_fields.get(str(part))
            found = field.annotation if field else None
        elif get_origin(found) in (tuple, list):
            found = get_args(found)[0]
        else:
            return None
        found = _without_none(found)
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        return next(arg for arg in get_args(annotation) if arg is not type(None))
    return annotation


def _kind(value: object) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return "true or false in YAML"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case dict():
            return "a mapping"
        case _:
            return "a list"


_TRUTH_VALUES = {
    "True": "is a truth value: YAML reads yes, on and true without quotes as that",
    "False": "is a truth value: YAML reads no, off and false without quotes as that",
}

_WORDS: dict[str, Callable[[str, Mapping[str, Any]], str]] = {
    "value_error": lambda _, ctx: str(ctx["error"]),
    "string_pattern_mismatch": lambda value, ctx: f"'{value}' is not allowed (use {ctx['words'] or ctx['pattern']})",
    "string_too_long": lambda value, ctx: f"'{value}' is too long (use at most {ctx['max_length']} characters)",
    "string_too_short": lambda _, ctx: f"is too short (use at least {ctx['min_length']} characters)",
    "too_short": lambda _, ctx: f"has too few items (give at least {ctx['min_length']})",
    "greater_than": lambda value, ctx: f"{value} is too small (use more than {ctx['gt']:g})",
    "greater_than_equal": lambda value, ctx: f"{value} is too small (use at least {ctx['ge']})",
    "less_than_equal": lambda value, ctx: f"{value} is too large (use at most {ctx['le']:.0f})",
    "enum": lambda value, ctx: _TRUTH_VALUES.get(value, f"'{value}' is not known") + f" (use {ctx['expected']})",
}
