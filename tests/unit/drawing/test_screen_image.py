"""Pictures of screens: what a guest may show becomes a PNG of bounded size, or an error."""

import zlib
from struct import unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.drawing.screen_image import Pixels, bounded_image, parse_ppm, render_png


def pixels_of(png: bytes) -> Pixels:
    """The pixels of a PNG with 8 bits a color, whose checksums are right."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks: dict[bytes, bytes] = {}
    rest = png[8:]
    while rest:
        length, kind = unpack(">I4s", rest[:8])
        data = rest[8 : 8 + length]
        assert unpack(">I", rest[8 + length : 12 + length]) == (zlib.crc32(kind + data),)
        chunks[kind], rest = chunks.get(kind, b"") + data, rest[12 + length :]
    width, height, *how = unpack(">IIBBBBB", chunks[b"IHDR"])
    assert how == [8, 2, 0, 0, 0]
    lines, length = zlib.decompress(chunks[b"IDAT"]), 1 + 3 * width
    content, above = b"", bytes(3 * width)
    for start in range(0, len(lines), length):
        above = _unfiltered(lines[start], lines[start + 1 : start + length], above)
        content += above
    return Pixels(width, height, content)


def _unfiltered(kind: int, line: bytes, above: bytes) -> bytes:
    row = bytearray(line)
    for place in range(len(row)):
        left, up = (row[place - 3] if place >= 3 else 0), above[place]
        corner = above[place - 3] if place >= 3 else 0
        guess = left + up - corner
        paeth = min((left, up, corner), key=lambda near: abs(guess - near))
        row[place] = row[place] + (0, left, up, (left + up) // 2, paeth)[kind] & 255
    return bytes(row)


PICTURES = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: st.binary(min_size=3 * size[0] * size[1], max_size=3 * size[0] * size[1]).map(
        lambda content: Pixels(*size, content)
    )
)


@given(PICTURES)
def test_a_picture_comes_out_as_it_went_in(picture: Pixels) -> None:
    assert parse_ppm(as_ppm(picture)) == picture
    assert pixels_of(render_png(picture)) == picture


@given(PICTURES)
def test_half_a_picture_is_every_second_pixel(picture: Pixels) -> None:
    half = picture.halved()
    rows = [
        [picture.content[3 * (y * picture.width + x) :][:3] for x in range(0, picture.width, 2)]
        for y in range(0, picture.height, 2)
    ]
    assert (half.width, half.height) == (len(rows[0]), len(rows))
    assert half.content == b"".join(b"".join(row) for row in rows)


def as_ppm(picture: Pixels) -> bytes:
    return b"P6\n%d %d\n255\n" % (picture.width, picture.height) + picture.content


def test_a_picture_that_cannot_be_compressed_is_made_smaller_or_refused() -> None:
    noise = Pixels(300, 200, b"".join(zlib.crc32(number.to_bytes(4)).to_bytes(4) for number in range(45_000)))
    image = bounded_image(as_ppm(noise), 20_000)
    assert len(image.png) <= 20_000
    assert (image.width, image.height, image.screen_width, image.screen_height) == (75, 50, 300, 200)
    assert pixels_of(image.png) == noise.halved().halved()
    png = render_png(noise)
    assert bounded_image(png).png == png
    with pytest.raises(ValueError, match="a picture of 300 by 200 pixels has"):
        bounded_image(png, 20_000)
    even = bounded_image(as_ppm(Pixels(4096, 3072, bytes(4096 * 3072 * 3))))
    assert (even.width, even.screen_width) == (4096, 4096)
    for damaged in (png[:-1], png[:8], png[:40] + b"x" + png[41:], png + b"\0" * 12, png[:8] + png[-12:]):
        with pytest.raises(ValueError, match="not a whole PNG"):
            bounded_image(damaged)


@pytest.mark.parametrize(
    "ppm",
    [
        b"",
        b"P5 1 1 255 \0",
        b"P6 0 5 255 ",
        b"P6 99999 99999 255 " + bytes(100),
        b"P6 123456 1 255 ",
        b"P6 1 1 65535 " + bytes(6),
        b"P6 -1 1 255 " + bytes(6),
        b"P6 2 2 255 " + bytes(11),
        b"P6" + b" " * 1000,
    ],
)
def test_what_is_no_whole_picture_is_refused(ppm: bytes) -> None:
    with pytest.raises(ValueError, match="picture"):
        parse_ppm(ppm)
