"""What would not read well on a forge: the problems of one Markdown page. Pure."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

_COMMENT = re.compile(r"\s*<!--(?:(?!-->).)*-->\s*", re.DOTALL)
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_LEFT_OVER = re.compile(r"\]\(|\]\[|\*\*|``?|(?<![\w\\])\[[^\]]*$")
"""Markup that a reader would see: of a link, of emphasis, of code that nothing closes."""

_CELL = re.compile(r"(?<!\\)\|")
"""A forge splits cells at every bar without a backslash, in code too."""

_MADE_BY_TESTS = frozenset({"page.png"})
"""Images of what is only seen, by the name of the file."""

Problem = tuple[int, str]
"""Line and what is wrong there."""


def anchor(heading: str) -> str:
    """As forges make them: lower case, words joined by hyphens, other signs dropped."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def problems(page: str) -> list[str]:
    """What is wrong with a page, each with its line."""
    text = _FRONT_MATTER.sub(lambda matter: "\n" * matter[0].count("\n"), page)
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    lines = text.splitlines()
    found = [*_of_fences(tokens, lines), *_of_tables(tokens, lines), *_of_headings(tokens), *_of_text(tokens)]
    return [f"line {line}: {what}" for line, what in sorted(found)]


def _of_fences(tokens: Sequence[Token], lines: Sequence[str]) -> Iterator[Problem]:
    for token in tokens:
        begin, end = token.map or (0, 0)
        if token.type == "fence":
            if end - begin < 2 or lines[end - 1].strip() != token.markup:
                yield begin + 1, "this block of code is never closed"
            if not token.info.strip():
                yield begin + 1, "this block of code names no language"
        if token.type == "code_block":
            yield begin + 1, "indented text is shown as code; use a fence"


def _of_tables(tokens: Sequence[Token], lines: Sequence[str]) -> Iterator[Problem]:
    inside = {number for token in tokens if token.type in {"table_open", "fence"} for number in range(*token.map or ())}
    tables = [token.map for token in tokens if token.type == "table_open" and token.map]
    for begin, end in tables:
        cells = [len(_CELL.findall(line.strip())) for line in lines[begin:end]]
        yield from (
            (begin + number + 1, f"a row of {count - 1} cells in a table of {cells[0] - 1}")
            for number, count in enumerate(cells)
            if count != cells[0]
        )
    for number, line in enumerate(lines):
        if line.lstrip().startswith("|") and number not in inside:
            yield number + 1, "this row belongs to no table"


def _of_headings(tokens: Sequence[Token]) -> Iterator[Problem]:
    before, seen = 0, Counter[str]()
    for token, inline in pairwise(tokens):
        if token.type != "heading_open":
            continue
        line, level = (token.map or (0, 0))[0] + 1, int(token.tag[1:])
        seen[anchor(inline.content)] += 1
        if token.markup in {"-", "="}:
            yield line, "a line under this text makes it a heading"
        if level > before + 1:
            yield line, f"a heading of level {level} below one of level {before}"
        if level == 1 and before:
            yield line, "a second title"
        if seen[anchor(inline.content)] > 1:
            yield line, f"two headings have the anchor #{anchor(inline.content)}"
        before = level


def _of_text(tokens: Sequence[Token]) -> Iterator[Problem]:
    for token in tokens:
        line = (token.map or (0, 0))[0] + 1
        if token.type == "html_block" and not _COMMENT.fullmatch(token.content):
            yield line, f"HTML: {token.content.strip()[:40]}"
        for child in token.children or ():
            if child.type == "html_inline" and not _COMMENT.fullmatch(child.content):
                yield line, f"HTML: {child.content} (put it in backticks)"
            if child.type == "text" and (left := _LEFT_OVER.search(child.content)):
                yield line, f"markup that nothing closes: {left[0]}"
            if child.type == "image" and child.attrs["src"] not in _MADE_BY_TESTS:
                yield line, "an image, which is neither searched nor compared"
            if child.type == "image" and not child.content:
                yield line, "an image without words for who does not see it"
