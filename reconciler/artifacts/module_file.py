"""Kernel modules as files: their names, and the version magic that decides which kernels load them."""

import gzip
import io
import lzma
import re
import zlib

from reconciler.artifacts.elf import parse_modinfo, read_section
from reconciler.errors import HostCapabilityMissing

_FILE_NAME = re.compile(rb"([^/]+)\.ko(\.xz|\.gz|\.zst)?")
_UNPACKED_MAX_BYTES = 512 * 1024**2


def module_name(path: bytes) -> str | None:
    """The kernel's name for the module in this file; None if the file name is not a module's."""
    match = _FILE_NAME.fullmatch(path.rpartition(b"/")[2])
    return match[1].decode(errors="backslashreplace").replace("-", "_") if match else None


def read_vermagic(path: bytes, content: bytes) -> str:
    """The version magic of a module, decompressed if its name says so; empty if it has none."""
    section = read_section(_unpacked(path, content), b".modinfo")
    return parse_modinfo(section).get("vermagic", "").strip() if section else ""


def _unpacked(path: bytes, content: bytes) -> bytes:
    try:
        match path.rpartition(b".")[2]:
            case b"xz":
                return lzma.LZMADecompressor().decompress(content, _UNPACKED_MAX_BYTES)
            case b"gz":
                return gzip.GzipFile(fileobj=io.BytesIO(content)).read(_UNPACKED_MAX_BYTES)
            case b"zst":
                return _unpacked_zstd(content)
            case _:
                return content
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        return b""


def _unpacked_zstd(content: bytes) -> bytes:
    try:
        import zstandard  # noqa: PLC0415  few trees have such modules
    except ImportError:
        raise HostCapabilityMissing(
            "reading a module compressed with zstd needs the Python package `zstandard`", hint="pip install zstandard"
        ) from None
    try:
        return bytes(zstandard.ZstdDecompressor().stream_reader(content).read(_UNPACKED_MAX_BYTES))
    except zstandard.ZstdError:
        return b""
