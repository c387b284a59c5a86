"""Empty qcow2 images: created once by qemu-img, then written as often as needed.

An empty image depends only on backing file, backing format and size, so all nodes on one base image share one.
qemu-img takes 15 ms and a process to create one; writing its few clusters of metadata again takes 0.2 ms.
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reconciler import process
from reconciler.files.marked_files import write_all

_BLOCK_BYTES = 4096
_KEPT_IMAGES = 256
_QEMU_IMG_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class EmptyImage:
    """An image without data: its length, and the blocks that are not zero by their offset."""

    length_bytes: int
    blocks: tuple[tuple[int, bytes], ...]

    def write(self, file: int) -> None:
        """Write the image to an empty open file, with holes for the zeros."""
        os.ftruncate(file, self.length_bytes)
        for offset, block in self.blocks:
            write_all(file, block, offset)


@dataclass(frozen=True, slots=True)
class EmptyImageShape:
    """Everything that an empty image depends on; `backing` is absolute."""

    size_bytes: int
    backing: Path | None
    backing_format: str | None


class EmptyImages:
    """The empty images that this process has created so far; concurrent requests for one shape share one qemu-img."""

    def __init__(self) -> None:
        self._made: dict[EmptyImageShape, EmptyImage] = {}
        self._lock = asyncio.Lock()

    async def image(self, shape: EmptyImageShape) -> EmptyImage:
        """The empty image of that shape; raises `HostCommandFailed` with qemu-img's message."""
        async with self._lock:
            if shape not in self._made:
                image = await _make(shape)
                while len(self._made) >= _KEPT_IMAGES:
                    del self._made[next(iter(self._made))]
                self._made[shape] = image
            return self._made[shape]


async def _make(shape: EmptyImageShape) -> EmptyImage:
    # memfd_create(2): a kill leaves nothing behind. qemu-img reaches it through our descriptor table (proc(5)).
    file = os.memfd_create("vmcluster-empty-image", os.MFD_CLOEXEC)
    try:
        await process.run(qemu_img_create(shape, Path(f"/proc/{os.getpid()}/fd/{file}")), timeout_s=_QEMU_IMG_TIMEOUT_S)
        return EmptyImage(os.fstat(file).st_size, tuple(_blocks(file)))
    finally:
        os.close(file)


def qemu_img_create(shape: EmptyImageShape, path: Path) -> list[str]:
    """The command that creates an empty image; it names the backing file without opening it (`-u`)."""
    backing = ["-u", "-b", str(shape.backing), "-F", str(shape.backing_format)] if shape.backing else []
    return ["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(path), str(shape.size_bytes)]


def _blocks(file: int) -> Iterator[tuple[int, bytes]]:
    zeros = bytes(_BLOCK_BYTES)
    for offset in range(0, os.fstat(file).st_size, _BLOCK_BYTES):
        block = os.pread(file, _BLOCK_BYTES, offset)
        if block != zeros[: len(block)]:
            yield offset, block
