"""Finds how the texts that match a pattern begin, so that a line is compared only with patterns it can match.

It knows the parts of regular expressions that announcements begin with: characters, also escaped, sets of characters,
and groups of alternatives, each of which may be optional.
"""

import re
from collections.abc import Iterator

_ATOM = re.compile(r"\\?.|\[(?:\\.|[^\]\\])*\]", re.DOTALL)
_SET = re.compile(r"\[[^\]]+\]")
_AT_LEAST = re.compile(r"\{([0-9]+)[^}]*\}")
_ASCII = "".join(map(chr, range(0x20, 0x7F)))


def beginnings(pattern: str, length: int) -> frozenset[str]:
    """The first `length` characters of every text that a pattern matches; a shorter text gives fewer."""
    return frozenset(_beginnings(pattern, length))


def _beginnings(pattern: str, length: int) -> Iterator[str]:
    if not length or not pattern or pattern[0] == "$":
        yield ""
    elif pattern.startswith("(?:"):
        alternatives, rest = _group(pattern)
        if rest.startswith("?"):
            rest = rest[1:]
            yield from _beginnings(rest, length)
        for alternative in alternatives:
            yield from _beginnings(alternative + rest, length)
    else:
        first, rest = _characters(pattern)
        behind = list(_beginnings(rest, length - 1))
        yield from (letter + more for letter in first for more in behind)


def _characters(pattern: str) -> tuple[str, str]:
    """The characters that may come first, and the rest of the pattern; `={20,120}` begins with twenty of them."""
    if (found := _SET.match(pattern)) is not None:
        return "".join(re.findall(found[0], _ASCII)), pattern[found.end() :]
    first = pattern[1] if pattern[0] == "\\" else pattern[0]
    rest = pattern.removeprefix("\\")[1:]
    if (repeated := _AT_LEAST.match(rest)) is not None:
        return first, first * (int(repeated[1]) - 1) + rest[repeated.end() :]
    return first, rest


def _group(pattern: str) -> tuple[list[str], str]:
    """The alternatives of the group that a pattern begins with, and what follows it."""
    depth, alternatives, at = 0, [""], 0
    while True:
        found = _SET.match(pattern, at) or _ATOM.match(pattern, at)
        assert found is not None
        atom, at = found[0], found.end()
        depth += (atom == "(") - (atom == ")")
        if not depth:
            alternatives[0] = alternatives[0].removeprefix("(?:")
            return alternatives, pattern[at:]
        if atom == "|" and depth == 1:
            alternatives.append("")
        else:
            alternatives[-1] += atom
