"""Pictures of a guest's screen: from what QEMU writes to a PNG of bounded size. Pure.

QEMU writes PNG since 7.1, and before it PPM. The guest chooses the size and every pixel. PPM:
netpbm.sourceforge.net/doc/ppm.html; PNG: w3.org/TR/png.
"""

import re
import zlib
from dataclasses import dataclass
from struct import pack, unpack

MOST_BYTES = 64 * 1024 * 1024
"""QEMU's VGA card has 16 MiB of memory, which as PPM are up to 50 MiB: one byte there can be a pixel."""

MOST_PNG_BYTES = 4 * 1024 * 1024
_DEEPEST = 255
_HEADER = re.compile(rb"P6\s+(\d{1,5})\s+(\d{1,5})\s+(\d{1,3})\s")
_BYTES_PER_PIXEL = 3
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_QUICK = 6
_CHUNK_OVERHEAD = 12


@dataclass(frozen=True, slots=True)
class ScreenImage:
    """A PNG, its size in pixels, and that of the screen, which is larger if the picture was made smaller."""

    png: bytes
    width: int
    height: int
    screen_width: int
    screen_height: int


@dataclass(frozen=True, slots=True)
class Pixels:
    """A picture: its rows from top to bottom, each with red, green and blue of each pixel."""

    width: int
    height: int
    content: bytes

    def halved(self) -> "Pixels":
        """Every second pixel of every second row."""
        length, width = self.width * _BYTES_PER_PIXEL, -(-self.width // 2)
        rows = []
        for start in range(0, self.height * length, 2 * length):
            row = bytearray(width * _BYTES_PER_PIXEL)
            for color in range(_BYTES_PER_PIXEL):
                row[color::_BYTES_PER_PIXEL] = self.content[start + color : start + length : 2 * _BYTES_PER_PIXEL]
            rows.append(bytes(row))
        return Pixels(width, len(rows), b"".join(rows))


def parse_ppm(ppm: bytes) -> Pixels:
    """The pixels of a PPM. Raises `ValueError` for what is none, or is shorter than it says."""
    header = _HEADER.match(ppm)
    if header is None:
        raise ValueError("it is not a PPM picture")
    width, height, deepest = map(int, header.groups())
    size = width * height * _BYTES_PER_PIXEL
    if not size or deepest != _DEEPEST:
        raise ValueError(f"a picture of {width} by {height} pixels, with colors up to {deepest}")
    if len(ppm) - header.end() < size:
        raise ValueError(f"a picture of {width} by {height} pixels has only {len(ppm)} bytes")
    return Pixels(width, height, ppm[header.end() : header.end() + size])


def bounded_image(written: bytes, most_bytes: int = MOST_PNG_BYTES) -> ScreenImage:
    """A PNG of at most so many bytes; a PPM is halved as often as that takes.

    Raises `ValueError` for what is neither PPM nor PNG, or is a larger PNG.
    """
    if written.startswith(_SIGNATURE):
        width, height = _size_of_png(written)
        if len(written) > most_bytes:
            raise ValueError(
                f"a picture of {width} by {height} pixels has {len(written)} bytes, more than {most_bytes}"
            )
        return ScreenImage(written, width, height, width, height)
    screen = pixels = parse_ppm(written)
    while len(png := render_png(pixels)) > most_bytes:
        pixels = pixels.halved()
    return ScreenImage(png, pixels.width, pixels.height, screen.width, screen.height)


def _size_of_png(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG that is whole: its chunks follow each other to the last one, with their checksums."""
    place, kinds = len(_SIGNATURE), []
    while place + _CHUNK_OVERHEAD <= len(png):
        length, kind = unpack(">I4s", png[place : place + 8])
        data = png[place + 8 : place + 8 + length]
        if png[place + 8 + length : place + _CHUNK_OVERHEAD + length] != pack(">I", zlib.crc32(kind + data)):
            break
        kinds.append(kind)
        place += _CHUNK_OVERHEAD + length
    if place != len(png) or kinds[:1] != [b"IHDR"] or kinds[-1:] != [b"IEND"]:
        raise ValueError("it is not a whole PNG picture")
    width, height = unpack(">II", png[16:24])
    return width, height


def render_png(pixels: Pixels) -> bytes:
    """A PNG with 8 bits for each color."""
    length = pixels.width * _BYTES_PER_PIXEL
    rows = (pixels.content[start : start + length] for start in range(0, len(pixels.content), length))
    header = pack(">IIBBBBB", pixels.width, pixels.height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), _QUICK)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))
