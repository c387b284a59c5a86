"""What a host asks another for: the content of an image from a place on. Pure.

The answer is a line with the size of the whole image, then the bytes from that place to the end.
"""

import re
from dataclasses import dataclass

_SHOWN_BYTES = 32
_REQUEST = re.compile(r"(sha256:[0-9a-f]{64}) (0|[1-9][0-9]{0,17})")
_HEADER = re.compile(rb"(0|[1-9][0-9]{0,17})\n")


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """An image by its content, and how much of it the asking host has."""

    digest: str
    offset_bytes: int

    def __str__(self) -> str:
        return f"{self.digest} {self.offset_bytes}"


def parse_request(command: str | None) -> ImageRequest | None:
    """The request that a command is; None for anything else."""
    found = _REQUEST.fullmatch(command or "")
    return ImageRequest(found[1], int(found[2])) if found else None


def render_size_line(size_bytes: int) -> bytes:
    """The first line of an answer."""
    return b"%d\n" % size_bytes


def parse_size_line(line: bytes) -> int:
    """The size that an answer begins with. Raises `ValueError`."""
    found = _HEADER.fullmatch(line)
    if found is None:
        raise ValueError(f"the answer begins with {line[:_SHOWN_BYTES]!r}")
    return int(found[1])
