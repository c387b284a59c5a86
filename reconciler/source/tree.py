"""A file's values as a tree that remembers the position of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.source.problems import Finding, Location, Position, Problem, yaml_path

NODE_SIZE = 16  # what a value counts in addition to its characters
START = Position(1, 1)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A number that two versions of YAML read differently: where it is, and the message with the remedy."""

    mark: Position
    message: str


@dataclass(frozen=True, slots=True)
class SourceNode:
    """A value of the file. `text` is a scalar as written, without quotes; `size` and `height` include aliases.

    `doubt` is the first octal number in it, which is accepted in some places and refused in others.
    """

    value: Any
    mark: Position
    text: str | None = None
    children: Mapping[str | int, "SourceNode"] = field(default_factory=dict)
    key_marks: Mapping[str, Position] = field(default_factory=dict)
    size: int = NODE_SIZE
    height: int = 1
    doubt: "Doubt | None" = None


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A whole file: its tree (None if the file is empty or cannot be read to the end) and the problems in its YAML."""

    root: SourceNode | None
    problems: tuple[Problem, ...] = ()

    def mark(self, location: Location, *, of_key: bool = False) -> Position:
        """The position of the value (or key) at `location`, or of the nearest one above it."""
        node, mark = self.root, START
        for depth, part in enumerate(location, start=1):
            if node is None:
                return mark
            mark = node.mark
            if of_key and depth == len(location) and part in node.key_marks:
                return node.key_marks[str(part)]
            node = node.children.get(part)
        return mark if node is None else node.mark

    def problem(self, finding: Finding) -> Problem:
        """The finding with its position in this file."""
        mark = self.mark(finding.location, of_key=finding.about_key)
        return Problem(
            yaml_path(finding.location), mark.line, mark.column, finding.message, finding.code, finding.plain
        )

    def text(self, location: Location) -> str | None:
        """The scalar at `location` as written in the file if it is not quoted, else None."""
        node = self.root
        for part in location:
            node = node.children.get(part) if node else None
        return node.text if node else None
