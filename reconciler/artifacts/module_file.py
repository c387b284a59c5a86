"""Kernel modules as files: their names, and the version magic that decides which kernels load them."""

import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from reconciler.artifacts.elf import parse_modinfo, read_section

_FILE_NAME = re.compile(rb"([^/]+)\.ko(\.xz|\.gz|\.zst)?")
_UNPACKED_MAX_BYTES = 512 * 1024**2
_UNPACKER_LIMIT_BYTES = 96 * 1024**2
"""What unpacking itself may take, which who packs a file decides; `xz -9`, the most of all usual ones, takes 65 MiB."""
_BLOCK_BYTES = 1024**2
_GZIP = 16 + zlib.MAX_WBITS


def module_name(path: bytes) -> str | None:
    """The kernel's name for the module in this file; None if the file name is not a module's."""
    match = _FILE_NAME.fullmatch(path.rpartition(b"/")[2])
    return match[1].decode(errors="backslashreplace").replace("-", "_") if match else None


def read_vermagic(path: bytes, file: BinaryIO, scratch: Path) -> str:
    """The version magic of a module, decompressed into `scratch` if its name says so; empty if it has none.

    Needs the same little memory however large the module is, compressed or not.
    """
    with _unpacked(path, file, scratch) as image:
        section = read_section(image, b".modinfo")
    return parse_modinfo(section).get("vermagic", "").strip() if section else ""


@contextmanager
def _unpacked(path: bytes, file: BinaryIO, scratch: Path) -> Iterator[BinaryIO]:
    packing = path.rpartition(b".")[2]
    if packing not in _UNPACKERS:
        yield file
        return
    with TemporaryFile(dir=scratch) as image:
        for block in _first_bytes(_UNPACKERS[packing](file), _UNPACKED_MAX_BYTES):
            image.write(block)
        yield image


def _first_bytes(blocks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """As much as is within the limit, and before what cannot be unpacked."""
    try:
        for block in blocks:
            yield block[:limit]
            limit -= len(block)
            if limit <= 0:
                return
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        return


def _unpack_xz(file: BinaryIO) -> Iterator[bytes]:
    unpacker = lzma.LZMADecompressor(memlimit=_UNPACKER_LIMIT_BYTES)
    while not unpacker.eof:
        packed = file.read(_BLOCK_BYTES) if unpacker.needs_input else b""
        if unpacker.needs_input and not packed:
            return
        yield unpacker.decompress(packed, _BLOCK_BYTES)


def _unpack_gz(file: BinaryIO) -> Iterator[bytes]:
    unpacker, packed = zlib.decompressobj(_GZIP), b""
    while not unpacker.eof and (packed := packed or file.read(_BLOCK_BYTES)):
        yield unpacker.decompress(packed, _BLOCK_BYTES)
        packed = unpacker.unconsumed_tail


def _unpack_zst(file: BinaryIO) -> Iterator[bytes]:
    import zstandard  # noqa: PLC0415  few trees have such modules

    unpacker = zstandard.ZstdDecompressor(max_window_size=_UNPACKER_LIMIT_BYTES)
    try:
        with unpacker.stream_reader(file, closefd=False) as stream:
            while block := stream.read(_BLOCK_BYTES):
                yield block
    except zstandard.ZstdError:
        return


_UNPACKERS: dict[bytes, Callable[[BinaryIO], Iterator[bytes]]] = {
    b"xz": _unpack_xz,
    b"gz": _unpack_gz,
    b"zst": _unpack_zst,
}
