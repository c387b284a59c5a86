"""Reads a tar stream as GNU `tar --format=posix --sparse` writes it, without trusting its author.

The standard library's reader keeps what headers say in memory, however long: it reads a header of 800 MiB whole, keeps
all entries to the end, and follows a chain of headers recursively. Here every length is checked against a limit before
anything of that length is read, and anything that GNU tar does not write is refused. Formats: pax (POSIX.1-2008,
`pax`), with sparse files 1.0 (GNU tar's manual, appendix D).
"""

import os
import re
import tarfile
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO

from reconciler.guest.tree_links import PATH_LIMIT_BYTES

HEADER_LIMIT_BYTES = 64 * 1024
"""Limit of the records before one entry."""
SEGMENTS_LIMIT = 1_000_000
_DIGITS = 20
_LARGEST = (1 << 63) - 1
"""No file or offset in one is larger (off_t)."""
_TIME = re.compile(r"-?[0-9]{1,19}(\.[0-9]{0,20})?")
_FILES = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE})
_EMPTY = frozenset(
    {tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a stream, named as it is there; only its form has been checked."""

    name: str
    kind: bytes
    """`tarfile.REGTYPE` for every file, or another type, which has no content."""
    mode: int
    mtime: float | None
    """Seconds since 1970; None if the header has no valid date."""
    link: str
    size: int
    """The size of a file, holes included."""
    segments: "array[int]"
    """Where the content belongs in the file: offset, length, offset, length, … in ascending order."""


class Archive:
    """The entries of a stream; after each, `read` must be called for all of its content."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries up to the end mark. Raises `ValueError` if the stream is cut short or malformed."""
        while (entry := self._next()) is not None:
            yield entry
            if self._left:
                raise ValueError("a file in it was not read completely")

    def read(self, size: int) -> bytes:
        """Return the next bytes of the current entry's content, at most `size`."""
        block = self._exactly(min(size, self._left))
        self._left -= len(block)
        if not self._left:
            self._exactly(self._padding)
            self._padding = 0
        return block

    def _next(self) -> Entry | None:
        header = self._header()
        records: dict[str, str] = {}
        if header is not None and header.type == tarfile.XHDTYPE:
            records = _records(self._content(header.size, HEADER_LIMIT_BYTES))
            if (header := self._header()) is None:
                raise ValueError("it ends right after a header")
        return None if header is None else self._entry(header, records)

    def _header(self) -> tarfile.TarInfo | None:
        """The next single header; None at the end mark."""
        block = self._exactly(tarfile.BLOCKSIZE)
        if not any(block):
            return None
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")

    def _entry(self, header: tarfile.TarInfo, records: Mapping[str, str]) -> Entry:
        stored = _number(records["size"]) if "size" in records else header.size
        if header.type in _FILES:
            size, segments = self._file(stored, records)
        elif header.type in _EMPTY and not stored:
            size, segments = 0, array("Q")
        else:
            raise ValueError(f"an entry of the type {header.type!r} with {stored} bytes")
        date = records.get("mtime")
        return Entry(
            name=_path(records.get("GNU.sparse.name") or records.get("path") or header.name),
            kind=tarfile.REGTYPE if header.type in _FILES else header.type,
            mode=header.mode,
            mtime=float(header.mtime) if date is None else float(date) if _TIME.fullmatch(date) else None,
            link=_path(records.get("linkpath", header.linkname)),
            size=size,
            segments=segments,
        )

    def _file(self, stored: int, records: Mapping[str, str]) -> tuple[int, "array[int]"]:
        """The length of a file and the map of its content; the content follows in the stream."""
        if not 0 <= stored <= _LARGEST:  # a header has room for 95 bits, and a sign
            raise ValueError(f"a file of {stored} bytes")
        self._left, self._padding = stored, -stored % tarfile.BLOCKSIZE
        if "GNU.sparse.realsize" not in records:
            if any(key.startswith("GNU.sparse.") for key in records):
                raise ValueError("a file with holes in another format than 1.0")
            segments = array("Q", [0, stored])
            size = stored
        else:
            size = _number(records["GNU.sparse.realsize"])
            segments = self._chart()
            _require_rising(segments, size)
        if sum(segments[1::2]) != self._left:
            raise ValueError("the map of a file's holes does not fit its content")
        return size, segments

    def _chart(self) -> "array[int]":
        """The map before the content of a file with holes: lines of numbers, in whole blocks."""
        lines = _Lines(self)
        count = lines.number()
        if count > SEGMENTS_LIMIT:
            raise ValueError(f"a file in more than {SEGMENTS_LIMIT} pieces")
        return array("Q", (lines.number() for _ in range(2 * count)))

    def _content(self, size: int, limit: int) -> bytes:
        if not 0 < size <= limit:
            raise ValueError(f"a header of {size} bytes")
        content = self._exactly(size)
        self._exactly(-size % tarfile.BLOCKSIZE)
        return content

    def _exactly(self, size: int) -> bytes:
        block = self._stream.read(size) if size else b""
        if len(block) != size:
            raise ValueError("it was cut")
        return block


class _Lines:
    """The lines of a map, read in blocks of an archive's content."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._rest = b""

    def number(self) -> int:
        line, found, rest = self._rest.partition(b"\n")
        if not found:
            line, found, rest = (self._rest + self._archive.read(tarfile.BLOCKSIZE)).partition(b"\n")
        if not found:
            raise ValueError("the map of a file's holes is not a list of numbers")
        self._rest = rest
        return _number(line.decode("ascii", "replace"))


def _records(body: bytes) -> dict[str, str]:
    """Records of an extended header: `LENGTH KEY=VALUE`, each with a line end; LENGTH counts all of it."""
    records: dict[str, str] = {}
    at = 0
    while at < len(body):
        length = _number(body[at : at + _DIGITS].split(b" ", 1)[0].decode("ascii", "replace"))
        record = body[at : at + length]
        key, found, value = record.partition(b" ")[2].partition(b"=")
        if not found or not value.endswith(b"\n") or len(record) != length:
            raise ValueError("a header that is not a list of records")
        records[key.decode(errors="surrogateescape")] = value[:-1].decode(errors="surrogateescape")
        at += length
    return records


def _path(text: str) -> str:
    if len(os.fsencode(text)) > PATH_LIMIT_BYTES:
        raise ValueError(f"a path of more than {PATH_LIMIT_BYTES} bytes")
    return text


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < _DIGITS):
        raise ValueError(f"{text[:_DIGITS]!r} is no number")
    if (number := int(text)) > _LARGEST:
        raise ValueError(f"{number} is more than any file has bytes")
    return number


def _require_rising(segments: "array[int]", size: int) -> None:
    ends = [0, *(offset + length for offset, length in zip(segments[::2], segments[1::2], strict=True))]
    if any(offset < end for offset, end in zip(segments[::2], ends, strict=False)) or ends[-1] > size:
        raise ValueError("the map of a file's holes does not fit the file")
