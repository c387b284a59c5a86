"""The worked examples of CONTRIBUTING: what each adds to the package, as data, and applied to a copy.

An example is a block of code in `diff` without line numbers: files begin with `---`, places in one with `@@`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.manual import ROOT

PAGE = ROOT / ".github" / "CONTRIBUTING.md"
_SECTION = re.compile(
    r"^### (?P<title>.*?) \((?P<files>\d+) files\)\n(?P<text>.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL
)
_DIFF = re.compile(r"^```diff\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^--- (\S+)\n", re.MULTILINE)
_NAMED = re.compile(r"`(reconciler/[a-z_/]+\.py)`")
_AND_SO_ON = "…"


@dataclass(frozen=True, slots=True)
class Example:
    """One thing that may be added: how many files its title counts, the places in each, and the files of its list."""

    title: str
    files: int
    places: Mapping[str, tuple[str, ...]]
    named: frozenset[str]


def examples(page: str) -> Iterator[Example]:
    """Those of a page, in its order."""
    for section in _SECTION.finditer(page):
        places: dict[str, tuple[str, ...]] = {}
        for diff in _DIFF.findall(section["text"]):
            _, *parts = _FILE.split(diff)
            for file, places_in_it in zip(parts[::2], parts[1::2], strict=True):
                places[file] = tuple(places_in_it.split("@@\n"))
        yield Example(section["title"], int(section["files"]), places, frozenset(_NAMED.findall(section["text"])))


def changed(text: str, place: str) -> str:
    """The text with one place of an example in it. Raises `ValueError` where that is not found exactly once."""
    have, marked = text.splitlines(), [(line[:1], line[1:]) for line in place.splitlines()]
    old = [line for mark, line in marked if mark != "+"]
    found = [at for at in range(len(have) - len(old) + 1) if all(map(_is, have[at : at + len(old)], old))]
    if len(found) != 1 and have:
        raise ValueError(f"{len(found)} places, not one, are as CONTRIBUTING has it:\n{place}")
    at = found[0]
    kept = iter(have[at : at + len(old)])
    new = [line if mark == "+" else next(kept) for mark, line in marked if mark != "-" or next(kept) is None]
    return "\n".join([*have[:at], *new, *have[at + len(old) :]]) + "\n"


def apply(example: Example, root: Path) -> None:
    """Make an example's changes below a directory that has the package."""
    for name, places in example.places.items():
        file = root / name
        text = file.read_text() if file.exists() else ""
        for place in places:
            text = changed(text, place)
        file.write_text(text)


def _is(have: str, meant: str) -> bool:
    return have.startswith(meant.removesuffix(_AND_SO_ON)) if meant.endswith(_AND_SO_ON) else have == meant
