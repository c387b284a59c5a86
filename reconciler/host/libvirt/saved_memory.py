"""The head of a file that libvirt saves a machine's memory to: its header and the machine's XML, before QEMU's data.

The layout is that of libvirt's `src/qemu/qemu_saveimage.h`: a header of 92 bytes in the host's byte order, then
`length` bytes with the XML, a zero byte and a cookie of libvirt's own. Pure.
"""

import struct
from typing import NamedTuple

MAGIC = b"LibvirtQemudSave"
_VERSION = 2
_HEADER = struct.Struct("=16sIIIII56x")
HEADER_BYTES = _HEADER.size


class SavedHead(NamedTuple):
    """The fields of the header in the order of the file."""

    magic: bytes
    version: int
    length: int
    was_running: int
    compressed: int
    cookie_at: int


def parse_head(header: bytes) -> SavedHead:
    """The header in the first `HEADER_BYTES` bytes. Raises `ValueError` if it is not that of a complete, plain save."""
    if len(header) < HEADER_BYTES:
        raise ValueError("its header is cut off")
    head = SavedHead._make(_HEADER.unpack(header[:HEADER_BYTES]))
    if (head.magic, head.version, head.compressed) != (MAGIC, _VERSION, 0):
        raise ValueError("it is not a complete, uncompressed save of a version that is known here")
    return head


def saved_xml(head: SavedHead, data: bytes) -> str:
    """The XML in the `head.length` bytes after the header."""
    return data.split(b"\0", 1)[0].decode()


def with_xml(head: SavedHead, data: bytes, xml: str) -> bytes:
    """Header and data for the same memory with another XML; the cookie stays."""
    text = xml.encode() + b"\0"
    cookie = data[head.cookie_at :] if head.cookie_at else b""
    fields = head._replace(length=len(text) + len(cookie), was_running=0, cookie_at=len(text) if cookie else 0)
    return _HEADER.pack(*fields) + text + cookie
