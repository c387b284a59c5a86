"""Problems in a file that a person wrote: where they are, and what to do about them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reconciler.error_codes import ErrorCode
from reconciler.errors import closest_name

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
    """One problem: its YAML path, its position, and the message with the remedy.

    Path and message may quote the file, unless the problem is `plain`.
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
    """A problem whose position in the file has not been looked up yet."""

    location: Location
    message: str
    code: ErrorCode = ErrorCode.TOPOLOGY_INVALID
    about_key: bool = False
    plain: bool = False


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems in the order of their positions."""
    return tuple(sorted(problems, key=lambda problem: (problem.line, problem.column, problem.path)))


def unquoted(problems: Iterable[Problem], instead: str) -> list[Problem]:
    """The problems without anything quoted from the file; `instead` replaces a message that would quote it."""
    told = (of if of.plain else Problem("", of.line, of.column, instead, of.code) for of in problems)
    return list(dict.fromkeys(told))


def problem_report(file: str, problems: Sequence[Problem]) -> str:
    """All problems of a file as one message, one per line; only the first 100 if there are more."""
    lines = [problem.at(file) for problem in problems[:MAX_LISTED_PROBLEMS]]
    if len(problems) == 1:
        return lines[0]
    if len(problems) > MAX_LISTED_PROBLEMS:
        lines.append(f"... and {len(problems) - MAX_LISTED_PROBLEMS} more")
    return "\n".join([f"{len(problems)} problems in {file}:", *lines])


def shown(value: object) -> str:
    """A value of the file, made safe to print on a terminal: short, and without control characters."""
    text = value if isinstance(value, str) else repr(value)
    printable = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[: _SHOWN_LENGTH + 1])
    return f"{printable[:_SHOWN_LENGTH]}..." if len(text) > _SHOWN_LENGTH else printable


def yaml_path(location: Location) -> str:
    """The location as `nodes[1].ip`."""
    parts = [f"[{part}]" if isinstance(part, int) else _key(part) for part in location]
    return "".join(parts).removeprefix(".")


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """The known word that was most likely meant, or None if none is similar."""
    return closest_name(word[:_SHOWN_LENGTH], known)


def _key(part: str) -> str:
    return f".{part}" if _PLAIN_KEY.fullmatch(part) else f'["{shown(part)}"]'
