"""Snapshots: a frozen layer of every disk of every node, with the nodes' memory if requested.

A snapshot exists once its manifest does, which is written last, whole or not at all. Frozen layers never change.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from reconciler.model.base import Frozen
from reconciler.model.fields import NodeName
from reconciler.model.timestamps import Moment


class SnapshotPower(StrEnum):
    """A node's power state when the snapshot was taken, which a revert restores."""

    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"


def _of_host(path: Path) -> Path:
    if not path.is_absolute() or "\0" in str(path):
        raise ValueError("is not an absolute path")
    return path


HostFile = Annotated[Path, AfterValidator(_of_host)]
"""A file on this host, as a manifest on disk names it."""


class FrozenDisk(Frozen):
    """The topmost file of one disk as of the snapshot; its header leads to the files below."""

    path: HostFile
    format: str


class SnapshotNode(Frozen):
    """One node's part of a snapshot."""

    power: SnapshotPower
    disks: dict[str, FrozenDisk] = Field(description="By target: vda, vdb, …")
    memory: HostFile | None = Field(default=None, description="The file with the machine's RAM and devices.")


class Manifest(Frozen):
    """A snapshot that exists."""

    snapshot_name: str
    cluster_name: str
    request: int = Field(description="The request of the record that it fulfils.")
    created_at: Moment
    include_memory: bool
    pause_s: float = Field(description="How long running nodes were paused for it.")
    nodes: dict[NodeName, SnapshotNode]


class SnapshotBases(Frozen):
    """What a host's layers say of snapshots: by snapshot those that its disks are based on, by node the one it is."""

    parents: dict[str, frozenset[str]] = {}
    standing_on: dict[str, str] = {}

    def joined(self, other: "SnapshotBases") -> "SnapshotBases":
        """What the layers of both hosts say."""
        names = self.parents.keys() | other.parents.keys()
        none = frozenset[str]()
        return SnapshotBases(
            parents={name: self.parents.get(name, none) | other.parents.get(name, none) for name in names},
            standing_on={**self.standing_on, **other.standing_on},
        )
