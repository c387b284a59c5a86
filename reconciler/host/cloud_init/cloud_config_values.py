"""Single values of a cloud-config as cloud-init understands them. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

Place = tuple[str | int, ...]
"""A location in a cloud-config."""

_SHOWN_LENGTH = 60
_TRUE, _FALSE = ("true", "1", "on", "yes"), ("false", "0", "off", "no")


def means(value: Any, ours: Any) -> bool:
    """Whether cloud-init treats the two alike (`util.is_true` and `util.is_false`)."""
    if not isinstance(ours, bool):
        return bool(value == ours)
    return str(value).lower().strip() in (_TRUE if ours else _FALSE)


def numbered(entries: Any) -> Iterable[tuple[Any, Any]]:
    """The entries of a list or a mapping, each with its index or key."""
    return entries.items() if isinstance(entries, Mapping) else enumerate(entries)


def as_yaml(value: Any) -> str:
    """A value as a message shows it."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."
