"""What is told from ELF files, packed modules and damaged ones."""

import gzip
import lzma
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from reconciler.artifacts.elf import HEAD_BYTES, is_program, parse_modinfo, read_section
from reconciler.artifacts.module_file import module_name, read_vermagic

from .samples import VERMAGIC, elf, module, program


def test_the_interpreter_that_runs_this_is_a_program() -> None:
    assert is_program(Path(sys.executable).read_bytes()[:HEAD_BYTES])


def test_modules_shared_objects_and_scripts_are_no_programs() -> None:
    assert not is_program(module())
    assert not is_program(elf({}, kind=3, program_types=(1, 6)))
    assert not is_program(b"#!/bin/sh\n")
    assert is_program(program())
    assert is_program(elf({}, kind=2))


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        (b"m.ko", bytes),
        (b"m.ko.xz", lzma.compress),
        (b"m.ko.gz", gzip.compress),
        (b"m.ko.zst", lambda content: zstandard.ZstdCompressor().compress(content)),
    ],
)
def test_the_version_magic_is_read_however_the_module_is_packed(
    name: bytes, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    assert read_vermagic(name, BytesIO(pack(module())), tmp_path) == VERMAGIC.strip()
    assert read_vermagic(name, BytesIO(b"not packed and no module"), tmp_path) == ""
    assert read_vermagic(name, BytesIO(pack(module())[:-40]), tmp_path) in {"", VERMAGIC.strip()}


def test_a_module_has_the_name_that_the_kernel_gives_it() -> None:
    assert module_name(b"drivers/a-b.ko.xz") == "a_b"
    assert module_name(b"a.ko/readme") is None
    assert module_name(b".ko") is None
    assert module_name(b"a.kop") is None


def test_of_several_values_the_first_counts() -> None:
    assert parse_modinfo(b"a=1\0a=2\0\0b\0") == {"a": "1", "b": ""}


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 255))
def test_no_file_is_too_damaged_to_be_looked_at(noise: bytes, place: int, value: int) -> None:
    damaged = bytearray(module(payload=noise))
    damaged[place % len(damaged)] = value
    for image in (bytes(damaged), bytes(damaged[: place or 1]), b"\x7fELF\x02\x01" + noise):
        is_program(image)
        read_section(BytesIO(image), b".modinfo")
        read_vermagic(b"m.ko", BytesIO(image), Path("/nonexistent"))
