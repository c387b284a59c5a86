"""From a message to the line that decided it: `python -m tests.where 'what was said'`, best first.

A text of the source fits where all its fixed parts stand in the message, in their order; the more of the message it
accounts for, the better. Commands and options are left out, as each front end spells them in its own words.
"""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from tests.manual import ROOT

SHOWN = 5
_LEAST = 10
"""Characters that are fixed in a text: what is shorter fits by chance."""

_TO_FILL = re.compile(r"\{[a-z_]*\}")
"""Where `str.format` puts a value."""

_SPELLED = re.compile(r"`[^`]*`|\$?[a-z]+_[a-z_]+\([^)]*\)")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a text of the source is; `rest` orders places by how much of a message they account for."""

    rest: int
    file: str
    line: int
    function: str


def places(message: str) -> list[Place]:
    """The places whose texts fit a message, the best first."""
    said = _plain(message)
    found = {
        Place(-score, file, line, function)
        for file, line, function, parts in _texts()
        if (score := _score(parts, said)) >= _LEAST
    }
    return sorted(found)


def _score(parts: Sequence[str], said: str) -> int:
    """How many characters of the message are fixed parts; 0 where one of them is not in it."""
    begin = 0
    for part in parts:
        begin = said.find(part, begin)
        if begin < 0:
            return 0
        begin += len(part)
    return sum(map(len, parts))


def _plain(text: str) -> str:
    return " ".join(_SPELLED.sub(" ", text).split())


@cache
def _texts() -> tuple[tuple[str, int, str, tuple[str, ...]], ...]:
    files = sorted((ROOT / "reconciler").rglob("*.py"))
    return tuple(
        (file.relative_to(ROOT).as_posix(), line, function, parts)
        for file in files
        for line, function, parts in _texts_of(ast.parse(file.read_text(encoding="utf-8")), file.stem)
    )


def _texts_of(node: ast.AST, function: str) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        function = node.name
    if (parts := _fixed_parts(node)) is not None:
        yield getattr(node, "lineno", 0), function, parts
    if isinstance(node, ast.JoinedStr):  # the texts within its values are texts of their own
        inner: Sequence[ast.AST] = [value for value in node.values if isinstance(value, ast.FormattedValue)]
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring
        inner = []
    else:
        inner = list(ast.iter_child_nodes(node))
    for child in inner:
        yield from _texts_of(child, function)


def _fixed_parts(node: ast.AST) -> tuple[str, ...] | None:
    match node:
        case ast.Constant(value=str(text)):
            whole = _TO_FILL.sub("\0", text)
        case ast.JoinedStr(values=values):
            whole = "\0".join(str(of.value) if isinstance(of, ast.Constant) else "" for of in values)
        case _:
            return None
    return tuple(part for piece in _SPELLED.sub("\0", whole).split("\0") if (part := _plain(piece)))


def main(arguments: Sequence[str]) -> int:
    """Print the best places; the exit code is 1 where there is none."""
    found = places(" ".join(arguments))
    for place in found[:SHOWN]:
        sys.stdout.write(f"{place.file}:{place.line}  {place.function}\n")
    return int(not found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
