"""The parts of ELF that we need: whether a file is a program, and the sections of kernel modules; pure. See elf(5)."""

import struct
from dataclasses import dataclass
from typing import BinaryIO

HEAD_BYTES = 4096
"""How much of a file's beginning `is_program` needs: the program headers follow the file header."""

_MAGIC = b"\x7fELF"
_ET_EXEC, _ET_DYN = 2, 3
_PT_INTERP = 3
_FILE_HEADER_BYTES = 64
_SECTION_LIMIT_BYTES = 1024 * 1024
"""Far more than the `.modinfo` of any module has."""


@dataclass(frozen=True, slots=True)
class _Header:
    """The file header's fields that lead to others; `order` is struct's sign for the byte order."""

    order: str
    wide: bool
    type: int
    program_offset: int
    section_offset: int
    program_size: int
    program_count: int
    section_size: int
    section_count: int
    names_index: int


def is_elf(head: bytes) -> bool:
    """Whether a file with this beginning claims to be ELF."""
    return head.startswith(_MAGIC)


def is_program(head: bytes) -> bool:
    """Whether a file with this beginning can be run: static, or position-independent with an interpreter."""
    header = _read_header(head)
    if header is None:
        return False
    return header.type == _ET_EXEC or (header.type == _ET_DYN and _PT_INTERP in _program_types(head, header))


def read_section(image: BinaryIO, name: bytes) -> bytes | None:
    """The contents of a section; None if there is none of that name, it is very long, or the file is damaged.

    Reads only what leads there, however long the file is.
    """
    header = _read_header(_at(image, 0, _FILE_HEADER_BYTES))
    if header is None:
        return None
    try:
        names_at = _read_section_header(image, header, header.names_index)[1]
        for index in range(header.section_count):
            name_offset, offset, size = _read_section_header(image, header, index)
            if _at(image, names_at + name_offset, len(name) + 1) == name + b"\0":
                return _at(image, offset, size) if size <= _SECTION_LIMIT_BYTES else None
    except (struct.error, OverflowError):  # OverflowError: an offset beyond what Python can address
        return None
    return None


def _at(image: BinaryIO, offset: int, size: int) -> bytes:
    image.seek(offset)
    return image.read(size)


def parse_modinfo(section: bytes) -> dict[str, str]:
    """The `key=value` pairs of a module's `.modinfo`; if a key occurs several times, the first."""
    pairs = [pair.partition(b"=") for pair in section.split(b"\0") if pair]
    return {key.decode(errors="replace"): value.decode(errors="replace") for key, _, value in reversed(pairs)}


def _read_header(image: bytes) -> _Header | None:
    if not is_elf(image) or len(image) < 64 or image[4] not in (1, 2) or image[5] not in (1, 2):  # noqa: PLR2004
        return None
    order, wide = ("<" if image[5] == 1 else ">"), image[4] == 2  # noqa: PLR2004
    fields = struct.unpack_from(order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"), image, 16)
    kind, _, _, _, program_offset, section_offset, _, _, *rest = fields
    return _Header(order, wide, kind, program_offset, section_offset, *rest)


def _program_types(head: bytes, header: _Header) -> set[int]:
    offsets = (header.program_offset + index * header.program_size for index in range(header.program_count))
    return {struct.unpack_from(header.order + "I", head, at)[0] for at in offsets if at + 4 <= len(head)}


def _read_section_header(image: BinaryIO, header: _Header, index: int) -> tuple[int, int, int]:
    """Offset of the name within the names, offset and size of the contents."""
    layout = header.order + ("IIQQQQ" if header.wide else "IIIIII")
    at = header.section_offset + index * header.section_size
    name, _kind, _flags, _address, offset, size = struct.unpack(layout, _at(image, at, struct.calcsize(layout)))
    return name, offset, size
