"""YAML text -> a tree of values with their positions. Nothing in the text can make this slow, deep or large.

The tree is built from parser events in a loop, so that no nesting overflows the stack. An alias shares the node it
names; its expanded size is counted and bounded.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from reconciler.source.decoding import Unparsable, decode
from reconciler.source.problems import Location, Position, Problem, in_order, shown, yaml_path
from reconciler.source.scalars import Ambiguous, Scalar, read_octal, read_plain
from reconciler.source.tree import NODE_SIZE, START, Doubt, SourceDocument, SourceNode

MAX_DEPTH = 50
MAX_EXPANDED_SIZE = 4 * 1024 * 1024

_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_SCALAR_TAGS = frozenset({None, "!", f"{_CORE}str"})
_COLLECTION_TAGS = frozenset({None, "!", f"{_CORE}map", f"{_CORE}seq"})
_TAG_REMEDIES = {
    "binary": "write the base64 text without the tag; in write_files, put `encoding: b64` beside it",
    **dict.fromkeys(("int", "float", "bool", "null"), "write the plain value, without tag and quotes"),
    "timestamp": "write it as text, in quotes",
    "set": "write a list",
    **dict.fromkeys(("omap", "pairs"), "write a list of mappings"),
}
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ODD_SPACE = re.compile(r"[\u00a0\u1680\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff]")
"""What looks like a space, or like nothing, as text copied from a web page or a document has it."""
_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep (flatten it)"


def parse_source(content: bytes, takes_octal: Callable[[Location], bool] = lambda _: False) -> SourceDocument:
    """Read one YAML document; never raises, whatever `content` holds.

    Values that two versions of YAML read differently are refused, except octal numbers where `takes_octal` is true.

    An empty file, or one with only comments, has neither a root nor problems.
    """
    try:
        return _Composer(decode(content), takes_octal).document()
    except Unparsable as stop:
        return SourceDocument(None, (stop.problem,))


@dataclass(slots=True)
class _Frame:
    """A collection that is being read; in a mapping, `key` is the key whose value comes next."""

    mark: Position
    anchor: str | None
    is_mapping: bool
    location: Location
    children: dict[str | int, SourceNode] = field(default_factory=dict)
    key_marks: dict[str, Position] = field(default_factory=dict)
    merges: list[tuple[Position, SourceNode]] = field(default_factory=list)
    expects_key: bool = True
    key: str | None = None
    merging: bool = False

    def finished(self) -> SourceNode:
        children = self.children
        value = {key: child.value for key, child in children.items()}
        return SourceNode(
            value if self.is_mapping else list(value.values()),
            self.mark,
            children=children,
            key_marks=self.key_marks,
            size=NODE_SIZE + sum(NODE_SIZE + len(str(key)) + child.size for key, child in children.items()),
            height=1 + max((child.height for child in children.values()), default=0),
            doubt=next((child.doubt for child in children.values() if child.doubt), None),
        )


class _Composer:
    def __init__(self, text: str, takes_octal: Callable[[Location], bool]) -> None:
        self._text = text
        self._takes_octal = takes_octal
        self._frames: list[_Frame] = []
        self._anchors: dict[str, SourceNode] = {}
        self._problems: list[Problem] = []
        self._root: SourceNode | None = None
        self._size = 0
        self._key_mark = START

    def document(self) -> SourceDocument:
        for event in self._events():
            self._take(event)
        return SourceDocument(self._root, in_order(self._problems))

    def _events(self) -> Iterator[Any]:
        documents = 0
        try:
            for event in yaml.parse(self._text, Loader=_LOADER):
                if isinstance(event, yaml.DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        raise Unparsable(
                            _mark_of(event), "a second document starts here (keep one document per file)", plain=True
                        )
                yield event
        except yaml.MarkedYAMLError as error:
            raise _syntax_error(error, self._text) from error
        except yaml.YAMLError as error:
            raise Unparsable(START, f"this is not YAML: {shown(str(error))}") from error

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._open(event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._close()

    def _scalar(self, event: Any) -> None:
        mark = _mark_of(event)
        self._count(NODE_SIZE + len(event.value), mark)
        if self._awaits_key():
            self._read_key(event, mark)
            return
        plain = bool(event.implicit[0])
        size = NODE_SIZE + len(event.value)
        if plain:
            value, doubt = self._plain(event.value, mark)
            self._add(SourceNode(value, mark, event.value, size=size, doubt=doubt), event.anchor)
        else:
            self._add(SourceNode(self._quoted(event, mark), mark, size=size), event.anchor)

    def _plain(self, text: str, mark: Position) -> tuple[Scalar, Doubt | None]:
        try:
            return read_plain(text), None
        except Ambiguous as trap:
            doubt = Doubt(mark, f"{shown(text)} {trap}")
        octal = read_octal(text) if self._takes_octal(self._location()) else None
        if octal is not None:
            return octal, doubt
        self._say(mark, doubt.message)
        return text, None

    def _require_sure(self, node: SourceNode, location: Location) -> None:
        """Refuse an octal number that an alias inserts where none is accepted."""
        if node.doubt is not None and not self._takes_octal(location):
            self._say(node.doubt.mark, node.doubt.message, location)

    def _quoted(self, event: Any, mark: Position) -> str:
        if event.tag not in _SCALAR_TAGS:
            self._say(mark, _unsupported(event.tag))
        if _SURROGATE.search(event.value):
            self._say(mark, "contains half of a UTF-16 surrogate pair (write the character itself)")
        return _SURROGATE.sub("?", event.value)

    def _read_key(self, event: Any, mark: Position) -> None:
        frame = self._frames[-1]
        frame.expects_key, frame.key, self._key_mark = False, None, mark
        plain = bool(event.implicit[0])
        frame.merging = plain and event.value == "<<"
        if frame.merging:
            return
        text = event.value if plain else self._quoted(event, mark)
        if plain and not isinstance(_value_or_none(text), str):
            self._say(mark, f'the key {shown(text)} is not text in YAML (put it in quotes: "{shown(text)}")')
        elif text in frame.children:
            first = frame.key_marks[text].line
            self._say(mark, f"the key {shown(text)} is given twice, first in line {first} (remove one)")
        else:
            frame.key = text
            frame.key_marks[text] = mark

    def _alias(self, event: Any) -> None:
        mark, name = _mark_of(event), shown(event.anchor)
        node = self._anchors.get(event.anchor)
        if self._awaits_key():
            raise Unparsable(mark, "an alias cannot be a key (write the key out)", self._location())
        if node is None:
            raise Unparsable(
                mark, f"*{name} names no anchor above it (put &{name} before the value meant)", self._location()
            )
        if len(self._frames) + node.height > MAX_DEPTH:
            raise Unparsable(mark, _TOO_DEEP, plain=True)
        self._count(node.size, mark)
        if not any(frame.merging for frame in self._frames[-2:]):  # merged values count only where they are used
            self._require_sure(node, self._location())
        self._add(node, None)

    def _open(self, event: Any) -> None:
        mark = _mark_of(event)
        self._count(NODE_SIZE, mark)
        if self._awaits_key():
            raise Unparsable(mark, "a key must be text, not a list or mapping (put it in quotes)", self._location())
        if len(self._frames) >= MAX_DEPTH:
            raise Unparsable(mark, _TOO_DEEP, plain=True)
        if event.tag not in _COLLECTION_TAGS:
            self._say(mark, _unsupported(event.tag))
        self._frames.append(_Frame(mark, event.anchor, isinstance(event, yaml.MappingStartEvent), self._location()))

    def _close(self) -> None:
        frame = self._frames.pop()
        for mark, source in frame.merges:
            self._merge(frame, source, mark)
        self._add(frame.finished(), frame.anchor)

    def _merge(self, frame: _Frame, source: SourceNode, mark: Position) -> None:
        parts = list(source.children.values()) if isinstance(source.value, list) else [source]
        for part in parts:
            if not isinstance(part.value, dict):
                self._say(mark, "<< merges a mapping or a list of mappings (name one by its alias)", frame.location)
                continue
            for key, child in part.children.items():
                if key not in frame.children:
                    self._count(child.size, mark)
                    self._require_sure(child, (*frame.location, key))
                    frame.children[key] = child
                    frame.key_marks[str(key)] = part.key_marks[str(key)]

    def _add(self, node: SourceNode, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._frames:
            self._root = node
            return
        frame = self._frames[-1]
        if not frame.is_mapping:
            frame.children[len(frame.children)] = node
            return
        if frame.merging:
            frame.merges.append((self._key_mark, node))
        elif frame.key is not None:
            frame.children[frame.key] = node
        frame.expects_key, frame.key, frame.merging = True, None, False

    def _awaits_key(self) -> bool:
        return bool(self._frames) and self._frames[-1].is_mapping and self._frames[-1].expects_key

    def _location(self) -> Location:
        if not self._frames:
            return ()
        frame = self._frames[-1]
        if not frame.is_mapping:
            return (*frame.location, len(frame.children))
        return frame.location if frame.key is None else (*frame.location, frame.key)

    def _say(self, mark: Position, message: str, location: Location | None = None) -> None:
        path = yaml_path(self._location() if location is None else location)
        self._problems.append(Problem(path, mark.line, mark.column, message))

    def _count(self, size: int, mark: Position) -> None:
        self._size += size
        if self._size > MAX_EXPANDED_SIZE:
            message = f"the values, with aliases expanded, exceed {MAX_EXPANDED_SIZE // (1024 * 1024)} MiB (use fewer)"
            raise Unparsable(mark, message, plain=True)


def _unsupported(tag: str) -> str:
    short = tag.removeprefix(_CORE)
    name = shown(f"!!{short}" if short != tag else tag)
    remedy = _TAG_REMEDIES.get(short, "write the value itself: the meaning of the tag is not known here")
    return f"the tag {name} is not supported ({remedy})"


def _value_or_none(text: str) -> Scalar:
    try:
        return read_plain(text)
    except Ambiguous:
        return None


def _mark_of(event: Any) -> Position:
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)


def _syntax_error(error: yaml.MarkedYAMLError, text: str) -> Unparsable:
    place = error.problem_mark or error.context_mark
    mark = Position(place.line + 1, place.column + 1) if place else START
    lines = text.splitlines()
    if mark.line <= len(lines) and lines[mark.line - 1][: mark.column].lstrip(" ").startswith("\t"):
        return Unparsable(mark, "a tab is used for indentation (YAML allows only spaces)", plain=True)
    for number in range(min(mark.line, len(lines)), max(mark.line - 2, 0), -1):  # the mark may be one line below
        if odd := _ODD_SPACE.search(lines[number - 1]):
            message = f"U+{ord(odd[0]):04X} stands here, which is no space to YAML (write a plain one)"
            return Unparsable(Position(number, odd.start() + 1), message, plain=True)
    context = f" {error.context}" if error.context else ""
    return Unparsable(
        mark, f"this is not YAML: {shown(error.problem or str(error))}{shown(context)} (see the lines above it)"
    )
