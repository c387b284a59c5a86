"""A cluster made on the host's release, packed for the other one: `python -m tests.other_release.earlier ARCHIVE`.

In a lab. What is packed is what survives an upgrade of a host with its machines off: the directories of the product,
and libvirt's own definitions.
"""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

from reconciler.model.choices import StopMode
from tests.integration.bed import Bed, Session
from tests.lab import WORK_DIR

CLUSTER = "earlier"
DIRECTORY = WORK_DIR / CLUSTER
"""The same in every lab, so that all paths in definitions hold."""

DEFINITIONS = Path("/etc/libvirt/qemu")
MEMORY = "with-memory"
DISKS = "disks-only"
IN_MEMORY = "/run/said"
ON_DISK = "/root/said"
TIMEOUT_S = 300.0
_TAR = ("tar", "--xattrs", "--xattrs-include=*", "--numeric-owner")


def one_node(document: dict[str, Any]) -> None:
    """Emulated, so that both releases run it in the same way whatever the host can do."""
    document["virt_type"] = "qemu"


async def make() -> None:
    """A cluster of one node with a snapshot of each kind, off."""
    DIRECTORY.mkdir(mode=0o755)
    bed = Bed.made_in(DIRECTORY)
    bed.write_topology(CLUSTER, nodes=1, boots=True, edit=one_node)
    async with bed.runtime() as runtime:
        session = Session(runtime)
        await session.clusters.apply(CLUSTER, timeout_s=TIMEOUT_S)
        await session.nodes.run(CLUSTER, "n0", f"echo kept > {ON_DISK}; echo kept > {IN_MEMORY}; sync", timeout_s=60)
        await session.snapshots.create(CLUSTER, MEMORY, include_memory=True)
        await session.snapshots.create(CLUSTER, DISKS)
        await session.nodes.run(CLUSTER, "n0", f"echo later > {ON_DISK}; sync", timeout_s=60)
        await session.clusters.stop(CLUSTER, mode=StopMode.DESTROY)


def pack(archive: Path) -> None:
    """All of it into one file, with owners and marks."""
    subprocess.run([*_TAR, "-cf", str(archive), "-C", "/", *_members()], check=True)


def unpack(archive: Path) -> None:
    """All of it in its place."""
    subprocess.run([*_TAR, "-xf", str(archive), "-C", "/"], check=True)


def _members() -> list[str]:
    return [str(path.relative_to("/")) for path in (DIRECTORY, DEFINITIONS)]


if __name__ == "__main__":
    asyncio.run(make())
    pack(Path(sys.argv[1]))
