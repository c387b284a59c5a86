"""Kernel modules and programs small enough to be made here, byte by byte, after elf(5)."""

import struct
import time
from dataclasses import dataclass
from pathlib import Path

from reconciler.artifacts.library import Library
from reconciler.files.roots import opened
from reconciler.model.choices import BuildType
from reconciler.model.results import BuildArtifact

VERMAGIC = "6.1.0-56-cloud-amd64 SMP preempt mod_unload modversions "


def elf(sections: dict[bytes, bytes], *, kind: int = 1, program_types: tuple[int, ...] = ()) -> bytes:
    """A little-endian 64-bit ELF image with these sections and program headers."""
    names = b"\0" + b"".join(name + b"\0" for name in (*sections, b".shstrtab"))
    contents = {**sections, b".shstrtab": names}
    programs = b"".join(struct.pack("<IIQQQQQQ", each, 0, 0, 0, 0, 0, 0, 0) for each in program_types)
    body, headers = b"", [bytes(64)]
    for name, content in contents.items():
        offset = 64 + len(programs) + len(body)
        headers.append(struct.pack("<IIQQQQIIQQ", names.index(name), 1, 0, 0, offset, len(content), 0, 0, 1, 0))
        body += content
    table_at = 64 + len(programs) + len(body)
    fields = (kind, 62, 1, 0, 64, table_at, 0, 64, 56, len(program_types), 64, len(headers), len(headers) - 1)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    return ident + struct.pack("<HHIQQQIHHHHHH", *fields) + programs + body + b"".join(headers)


def module(vermagic: str = VERMAGIC, *, payload: bytes = b"") -> bytes:
    """A kernel module as far as we read it."""
    return elf({b".text": payload, b".modinfo": b"license=GPL\0vermagic=%b\0" % vermagic.encode()})


def program(payload: bytes = b"") -> bytes:
    """A position-independent executable with an interpreter."""
    return elf({b".text": payload}, kind=3, program_types=(6, 3))


def library(directory: Path, *, later_s: int = 0) -> Library:
    """A store and a registry of their own, in the hands of somebody who comes that much later."""
    return Library(directory / "trees", directory / "registry.json", lambda: time.time_ns() + later_s * 10**9)


async def registered(shelf: Library, tree: Path) -> BuildArtifact:
    """Register a tree as `vmcluster artifact register TREE` does."""
    return await shelf.register(
        opened(tree), BuildType.RAW_TREE, kernel_version=None, metadata={}, report=lambda _words: None
    )


@dataclass(frozen=True)
class Kept:
    """What a store holds."""

    objects: int
    manifests: int
    others: int


def kept(shelf: Library) -> Kept:
    """Count what is in the store's directories."""
    return Kept(
        objects=len(list(shelf.objects.directory.glob("??/*"))),
        manifests=len(list((shelf.store_dir / "manifests").glob("*"))),
        others=len(list((shelf.store_dir / "views").glob("*"))),
    )
