"""Spells calls in results as the command line's commands and options."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from reconciler.frontends.cli.wording import in_commands, texts_about
from reconciler.model.message_text import NamesCalls
from reconciler.model.results import NodeStatus

T = TypeVar("T")


def spelled(value: T) -> T:
    """A result with `in_commands` applied to all messages in it."""
    if isinstance(value, BaseModel):
        with texts_about(getattr(value, "cluster_name", None), _node_of(value)):
            changed = {name: new for name, old, new in _fields(value) if new is not old}
        return cast("T", value.model_copy(update=changed)) if changed else value
    if isinstance(value, Mapping):
        return cast("T", {key: spelled(of) for key, of in value.items()})
    return cast("T", type(value)(map(spelled, value))) if isinstance(value, list | tuple) else value


def _node_of(model: BaseModel) -> str | None:
    if isinstance(model, NodeStatus):
        return model.name
    return getattr(model, "node_name", None) or getattr(model, "node", None)


def _fields(model: BaseModel) -> Iterator[tuple[str, Any, Any]]:
    for name, field in type(model).model_fields.items():
        old = getattr(model, name)
        yield name, old, _in_commands(old) if _is_message(field.metadata, field.annotation) else spelled(old)


def _is_message(metadata: list[Any], annotation: Any) -> bool:
    """Whether a field is marked as a message, directly or inside an optional or a collection."""
    parts = getattr(annotation, "__args__", ()) if annotation is not None else ()
    return any(isinstance(of, NamesCalls) for of in (*metadata, *getattr(annotation, "__metadata__", ()))) or any(
        _is_message([], part) for part in parts if not isinstance(part, type)
    )


def _in_commands(value: Any) -> Any:
    return in_commands(value) if isinstance(value, str) else value and type(value)(map(in_commands, value))
