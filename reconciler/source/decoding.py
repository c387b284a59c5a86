"""The bytes of a file that a person wrote -> text: bounded, UTF-8, without control characters."""

import re

from reconciler.source.problems import Location, Position, Problem, yaml_path
from reconciler.source.tree import START

MAX_FILE_BYTES = 1024 * 1024

_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
"""Characters that are not c-printable: YAML 1.2.2, production 1."""

_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
"""How UTF-16 and UTF-32 may begin; without a mark, one of the first two bytes of ASCII text is zero in each."""


class Unparsable(Exception):
    """The text cannot be read to the end; `problem` says where and why."""

    def __init__(self, mark: Position, message: str, location: Location = (), *, plain: bool = False) -> None:
        super().__init__(message)
        self.problem = Problem(yaml_path(location), mark.line, mark.column, message, plain=plain)


def decode(content: bytes) -> str:
    """The text of the file; raises `Unparsable`."""
    if len(content) > MAX_FILE_BYTES:
        raise Unparsable(
            START, f"the file is larger than {MAX_FILE_BYTES // 1024} KiB (split it, or remove data)", plain=True
        )
    if content.startswith(_WIDE_MARKS) or 0 in content[:2]:
        raise Unparsable(START, "this is text in UTF-16 or UTF-32 (save the file as UTF-8)", plain=True)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        mark = Position(before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        raise Unparsable(mark, f"byte 0x{content[error.start]:02x} is not UTF-8 (save the file as UTF-8)") from error
    if match := _FORBIDDEN.search(text):
        start = match.start()
        mark = Position(text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start))
        raise Unparsable(mark, f"the control character U+{ord(match[0]):04X} is not allowed in YAML (remove it)")
    return text
