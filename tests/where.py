"""From a message to the line that decided it: `python -m tests.where 'what was said'`, best first.

A text of the source fits where all its fixed parts stand in the message, in their order; the more of the message it
accounts for, the better. Commands and options are omitted, as each front end spells them in its own words. Where no
text fits as a whole, because the message was cut or is a piece of one, those that share most words with it in a row
are listed. A code of an error, such as HOST_LOST, leads to everything that answers with it.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reconciler.errors import CLASSES
from tests.manual import ROOT

SHOWN = 5
CODES = {code.value: frozenset({code.name, of.__name__}) for code, of in CLASSES.items()}
"""The names by which the source speaks of each code."""

_LEAST = 10
"""Characters that are fixed in a text: what is shorter fits by chance."""
_LEAST_SHARED = 20
"""The same of words in a row."""

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
    """The places whose texts fit a message, the best first; for the code of an error, those that answer with it."""
    if message in CODES:
        return sorted(_answering_with(CODES[message]))
    said = _plain(message)
    return _scored(said, _score) or _scored(said, _shared)


def _scored(said: str, score: Callable[[Sequence[str], str], int]) -> list[Place]:
    found = {Place(-score(parts, said), file, line, function) for file, line, function, parts in _texts()}
    return sorted(place for place in found if -place.rest >= _LEAST)


def _shared(parts: Sequence[str], said: str) -> int:
    """How long the longest run of words is that the message shares with one of the parts."""
    return next((len(run) for run in _runs(said) if any(run in part for part in parts)), 0)


@cache
def _runs(said: str) -> tuple[str, ...]:
    """All runs of words in a message that are long enough, the longest first."""
    words = said.split()
    found = (" ".join(words[start:end]) for start in range(len(words)) for end in range(start + 1, len(words) + 1))
    return tuple(sorted((run for run in found if len(run) >= _LEAST_SHARED), key=len, reverse=True))


def _answering_with(names: frozenset[str]) -> Iterator[Place]:
    """Where one of these classes of errors, or their code, is used; not where it is imported or defined."""
    for file, tree in _sources():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for node in ast.walk(function):
                    if getattr(node, "id", None) in names or getattr(node, "attr", None) in names:
                        yield Place(0, file, getattr(node, "lineno", 0), function.name)


def _score(parts: Sequence[str], said: str) -> int:
    """How many characters of the message are fixed parts; 0 where one of them is not in it.

    A single word, such as a reason or a path, fits only as the whole message: others have it in them by chance.
    """
    if len(parts) == 1 and " " not in parts[0]:
        return len(said) if parts[0] == said else 0
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
    return tuple((file, *found) for file, tree in _sources() for found in _texts_of(tree, Path(file).stem))


@cache
def _sources() -> tuple[tuple[str, ast.Module], ...]:
    files = sorted((ROOT / "reconciler").rglob("*.py"))
    return tuple((file.relative_to(ROOT).as_posix(), ast.parse(file.read_text(encoding="utf-8"))) for file in files)


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
