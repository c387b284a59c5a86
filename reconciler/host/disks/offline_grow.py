"""Makes the disk in a qcow2 file larger while no machine has it open."""

import asyncio
from pathlib import Path

from reconciler import process
from reconciler.files.ownership import OwnedKind, require_owned
from reconciler.host.disks.image_file import read_image_facts
from reconciler.host.magic import QCOW2


async def grow_image(path: Path, size_bytes: int, *, cluster: str) -> None:
    """Make one of our layers at least this large; the added part reads as zeros, the contents stay.

    qemu-img refuses if a machine has it open, and changes the header last. Raises `Conflict` if the file is not ours,
    and `HostCommandFailed` with qemu-img's message.
    """
    await asyncio.to_thread(require_owned, path, cluster, OwnedKind.LAYER)
    if (await asyncio.to_thread(read_image_facts, path)).size_bytes < size_bytes:
        await process.run(["qemu-img", "resize", "-q", "-f", QCOW2, str(path), str(size_bytes)])
