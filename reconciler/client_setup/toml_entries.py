"""Adds a table to TOML, as new lines below all others: every byte that is there stays. Pure."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def toml_data(text: str) -> dict[str, Any]:
    """What a text holds. Raises `ValueError` if it is broken."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def with_toml_entry(text: str, container: str, name: str, entry: Mapping[str, str | Sequence[str]]) -> str:
    """The text with a table in the table of a key. Raises `ValueError` if it is broken, or leaves no room for one."""
    before = toml_data(text)
    there = before.get(container, {})
    if not isinstance(there, dict):
        raise ValueError(f"`{container}` is not a table")
    newline = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text else newline if text.endswith("\n") else 2 * newline
    lines = [f"[{_key(container)}.{_key(name)}]", *(f"{_key(key)} = {json.dumps(of)}" for key, of in entry.items())]
    after = text + gap + newline.join([*lines, ""])
    try:
        held = toml_data(after)
    except ValueError:
        held = {}
    if held != {**before, container: {**there, name: dict(entry)}}:
        raise ValueError(f"`{container}` is written in a way that no table can be added to")
    return after


def _key(name: str) -> str:
    return name if name and set(name) <= _BARE else json.dumps(name)
