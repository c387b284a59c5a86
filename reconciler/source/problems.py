"""What is wrong in a file that a person wrote: where, and in words that say what to do."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reconciler.errors import ErrorCode

Location = tuple[str | int, ...]

MAX_LISTED_PROBLEMS = 100

_SHOWN_LENGTH = 60
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A position in a file; both numbers count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: the YAML path of it, its position, and the message with its remedy.

    Either may show something of the file, unless it is `plain`.
    """

    path: str
    line: int
    column: int
    message: str
    code: ErrorCode = ErrorCode.TOPOLOGY_INVALID
    plain: bool = False

    def at(self, file: str) -> str:
        """The problem as compilers print it: `FILE:LINE:COLUMN: PATH: MESSAGE`."""
        where = f"{self.path}: " if self.path else ""
        return f"{file}:{self.line}:{self.column}: {where}{self.message}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem before its position in the file is looked up."""

    location: Location
    message: str
    code: ErrorCode = ErrorCode.TOPOLOGY_INVALID
    about_key: bool = False
    plain: bool = False


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems from the top of the file to its end."""
    return tuple(sorted(problems, key=lambda problem: (problem.line, problem.column, problem.path)))


def unquoted(problems: Iterable[Problem], instead: str) -> list[Problem]:
    """The problems without anything of the file but their positions; `instead` stands for what would show it."""
    told = (of if of.plain else Problem("", of.line, of.column, instead, of.code) for of in problems)
    return list(dict.fromkeys(told))


def report(file: str, problems: Sequence[Problem]) -> str:
    """All problems of a file as one message, a line for each; the first 100 where there are more."""
    lines = [problem.at(file) for problem in problems[:MAX_LISTED_PROBLEMS]]
    if len(problems) == 1:
        return lines[0]
    if len(problems) > MAX_LISTED_PROBLEMS:
        lines.append(f"... and {len(problems) - MAX_LISTED_PROBLEMS} more")
    return "\n".join([f"{len(problems)} problems in {file}:", *lines])


def shown(value: object) -> str:
    """A value of the file fit to be printed on a terminal: short, and without control characters."""
    text = value if isinstance(value, str) else repr(value)
    printable = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[: _SHOWN_LENGTH + 1])
    return f"{printable[:_SHOWN_LENGTH]}..." if len(text) > _SHOWN_LENGTH else printable


def yaml_path(location: Location) -> str:
    """The location as `nodes[1].ip`."""
    parts = [f"[{part}]" if isinstance(part, int) else _key(part) for part in location]
    return "".join(parts).removeprefix(".")


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """The known word that was most likely meant, or None where nothing is close."""
    close = difflib.get_close_matches(word[:_SHOWN_LENGTH].lower(), sorted(known), n=1, cutoff=0.6)
    return close[0] if close else None


def _key(part: str) -> str:
    return f".{part}" if _PLAIN_KEY.fullmatch(part) else f'["{shown(part)}"]'
