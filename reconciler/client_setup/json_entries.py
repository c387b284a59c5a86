"""Adds an entry to JSON that people write: comments, trailing commas and every other byte stay as they are. Pure.

A text is taken apart into tokens, only to find the place for the entry. Whether the result is right is decided by the
standard library: it must hold what the text held before, and the entry. VS Code, Cursor and Gemini CLI read their
files as JSON with comments.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

_TOKEN = re.compile(
    r'(?P<gap>\s+|//[^\n]*|/\*.*?\*/)|(?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")|(?P<mark>[{}\[\]:,])|(?P<word>[^\s{}\[\]:,"/]+)',
    re.DOTALL,
)
_INNER_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|(?P<mark>[{}\[\]])|[^{}\[\]"/]+', re.DOTALL)
"""The same in larger pieces, for what is too far inside to matter: clients keep megabytes of history there."""
_OUTLINE_DEPTH = 2
_REST_OF_LINE = re.compile(r"[ \t]*(?://[^\r\n]*|/\*[^\r\n]*?\*/)?[ \t]*(?=\r?\n)")
_INDENT = re.compile(r"[ \t]*")
_BOM = "\ufeff"
_DEFAULT_INDENT = "  "

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Token:
    """A part of a text; a gap is white space or a comment."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def json_data(text: str) -> Data:
    """What a text holds; an empty one holds nothing. Raises `ValueError` if it is broken, or no object."""
    bare = text.removeprefix(_BOM)
    try:
        data = _strict(bare) if bare.strip() else {}
    except ValueError:
        plain = "".join(_plain(_tokens(text)))
        data = _strict(plain) if plain.strip() else {}
    if not isinstance(data, dict):
        raise ValueError("it does not hold an object")
    return data


def with_json_entry(text: str, container: str, name: str, entry: Mapping[str, Any]) -> str:
    """The text with an entry in the object of a key, which is added if it is missing.

    Raises `ValueError` if the text is broken, or has something else there.
    """
    before = json_data(text)
    if not isinstance(before.get(container, {}), dict):
        raise ValueError(f"`{container}` does not hold an object")
    if not text.removeprefix(_BOM).strip():
        return text.rstrip() + json.dumps({container: {name: dict(entry)}}, indent=2) + "\n"
    tokens = _outline(text)
    opening = _value_of(tokens, container)
    member = (name, dict(entry)) if opening is not None else (container, {name: dict(entry)})
    after = _with_member(text, tokens, opening or tokens[0], *member)
    expected = {**before, container: {**before.get(container, {}), name: dict(entry)}}
    if json_data(after) != expected:
        raise ValueError("it is written in a way that no entry can be added to")
    return after


def _strict(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _outline(text: str) -> list[_Token]:
    """The tokens of the outermost object, and of the objects in it, without gaps; the text is known to be sound."""
    found, depth = [], 0
    at = len(_BOM) if text.startswith(_BOM) else 0
    while at < len(text):
        match = (_TOKEN if depth <= _OUTLINE_DEPTH else _INNER_TOKEN).match(text, at)
        assert match is not None, "the text has been read before"
        change = 0 if match.lastgroup != "mark" else (match[0] in "{[") - (match[0] in "}]")
        if min(depth, depth + change) <= _OUTLINE_DEPTH and match.lastgroup not in {None, "gap"}:
            found.append(_Token(match.lastgroup, match[0], at))
        depth, at = depth + change, match.end()
    return found


def _tokens(text: str) -> list[_Token]:
    found, at = [], len(_BOM) if text.startswith(_BOM) else 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            line = text.count("\n", 0, at) + 1
            raise ValueError(f"line {line} cannot be read")
        found.append(_Token(match.lastgroup or "", match[0], at))
        at = match.end()
    return found


def _plain(tokens: Sequence[_Token]) -> list[str]:
    """The text as the standard library reads it; lines stay where they are."""
    kept, significant = [], [token for token in tokens if token.kind != "gap"]
    trailing = {
        comma.start
        for comma, after in pairwise(significant)
        if comma.text == "," and after.kind == "mark" and after.text in "]}"
    }
    for token in tokens:
        is_comment = token.kind == "gap" and not token.text.isspace()
        if is_comment or token.start in trailing:
            kept.append(re.sub(r"[^\n]", " ", token.text))
        else:
            kept.append(token.text)
    return kept


def _value_of(tokens: Sequence[_Token], key: str) -> _Token | None:
    """The first token of the value that a key of the outermost object has; the last one counts, as for every reader."""
    depth, found = 0, None
    for index, token in enumerate(tokens):
        if token.kind == "mark":
            depth += (token.text in "{[") - (token.text in "}]")
        elif depth == 1 and token.kind == "string" and tokens[index + 1].text == ":" and json.loads(token.text) == key:
            found = tokens[index + 2]
    return found


def _with_member(text: str, tokens: Sequence[_Token], opening: _Token, name: str, value: Data) -> str:
    """The text with a first member in the object that begins with a token."""
    after = tokens[tokens.index(opening) + 1]
    gap = text[opening.end : after.start]
    empty, newline = after.text == "}", "\r\n" if "\r\n" in text else "\n"
    if not empty and "\n" not in gap:
        member = f"{json.dumps(name)}: {json.dumps(value)}"
        spaced = f" {member}," if gap.startswith(" ") else f"{member}, "
        return text[: opening.end] + spaced + text[opening.end :]
    outer = _indent_of(text, opening.start)
    inner = outer + _unit(text, tokens) if empty else _indent_of(text, after.start)
    member = f"{json.dumps(name)}: {json.dumps(value, indent=_unit(text, tokens))}".replace("\n", newline + inner)
    rest = _REST_OF_LINE.match(text, opening.end)
    place = rest.end() if rest else opening.end
    closing = newline + outer if empty and "\n" not in gap else ""
    return f"{text[:place]}{newline}{inner}{member}{'' if empty else ','}{closing}{text[place:]}"


def _indent_of(text: str, at: int) -> str:
    """The white space that begins the line of a place."""
    match = _INDENT.match(text, text.rfind("\n", 0, at) + 1)
    return match[0] if match else ""


def _unit(text: str, tokens: Sequence[_Token]) -> str:
    """By how much the text indents: as its first line within the outermost object."""
    return (_indent_of(text, tokens[1].start) if "\n" in text[: tokens[1].start] else "") or _DEFAULT_INDENT
