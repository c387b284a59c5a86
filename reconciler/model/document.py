"""The cluster document: the one type that both the desired and the observed state of a cluster have.

One field per resource kind, each a map keyed by name, never a list, so that two documents compare key by key
and their difference is a readable JSON patch. Each kind is planned by exactly one function in `reconciler.plan`.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field

from reconciler.errors import ErrorCode
from reconciler.model.base import Frozen
from reconciler.model.links import Inbound
from reconciler.model.origin import Origin
from reconciler.model.record import StopMode
from reconciler.model.snapshot import SnapshotNode
from reconciler.model.topology import DiskBus, Firmware, Forward


class Unknown(Frozen):
    """What could not be observed, or is not ours. Nothing is created, changed or deleted because of it."""

    unknown: str = Field(description="Why, and the remedy.")
    code: ErrorCode
    terminal: bool = False
    unprivileged: bool = Field(
        default=False, exclude=True, description="We lack the right to look, which making such a thing takes too."
    )


class Network(Frozen):
    """A libvirt network with its bridge on the host."""

    bridge: str
    gateway: str
    prefix_length: int
    forward: Forward
    active: bool


class LentFile(Frozen):
    """A file of the user's below a layer of ours that QEMU's user has, and whose it was."""

    path: Path
    inode: int
    uid: int
    gid: int


class Layer(Frozen):
    """A file of ours: a node's overlay on an image, or an extra disk (then without backing).

    It is qcow2, but for a disk that several nodes write to: that one is raw, and the node is the first that names it.
    """

    node: str
    disk: str
    size_bytes: int
    backing: Path | None = None
    backing_format: str | None = None
    format: str = "qcow2"
    base_changed: bool = Field(default=False, exclude=True, description="The image below it is another now.")
    misplaced: str = Field(default="", exclude=True, description="Why it is not the file that was made there.")
    resumed: bool = Field(default=False, exclude=True, description="A machine went on from memory on it.")
    flattening: bool = Field(default=False, exclude=True, description="It is taking up layers below it.")
    lent: LentFile | None = Field(default=None, exclude=True, description="To be given back when nothing uses it.")


class Seed(Frozen):
    """A NoCloud seed image; the digest is over everything that was asked to be in it."""

    digest: str


class BackingFile(Frozen):
    """A file below a layer, opened read-only."""

    path: Path
    format: str


class DomainDisk(Frozen):
    """A disk as the domain's persistent definition names it; `backing` goes from the layer down to the image."""

    path: Path
    format: str
    bus: DiskBus = DiskBus.VIRTIO
    backing: tuple[BackingFile, ...] = ()
    read_only: bool = False
    shared: bool = Field(default=False, description="Other nodes write to the file, too.")


class DirectBoot(Frozen):
    """The kernel that QEMU loads itself."""

    kernel: Path
    initrd: Path | None
    cmdline: str


class Domain(Frozen):
    """The persistent definition of a node's domain: the parts of its XML that we own."""

    uuid: str
    role: str
    vcpus: int
    memory_mb: int
    virt_type: str
    cpu: str
    disks: dict[str, DomainDisk] = Field(description="By target; the seed is the last one.")
    network: str
    mac: str
    tap: str
    console: Path
    firmware: Firmware = Firmware.BIOS
    nvram: Path | None = Field(default=None, description="The file with UEFI's variables.")
    boot: DirectBoot | None = None
    boot_files: str = Field(default="", description="Which files the names in `boot` stand for; empty: not known.")
    template: int = Field(description="The version of the XML that we render; a newer one redefines the domain.")


class PowerState(StrEnum):
    """What a domain does. Only the first three can be wanted; the first three are those of `WantedPower`."""

    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"
    CRASHED = "crashed"  # panicked, or stopped by QEMU's internal error: it cannot run on
    BLOCKED = "blocked"  # paused by QEMU itself: an I/O error such as a full disk
    STOPPING = "stopping"


class HaltReason(StrEnum):
    """Why a machine does not run, as libvirt tells it, or QEMU where libvirt does not know."""

    USER = "user"
    PANIC = "panic"
    IO_ERROR = "I/O error"
    INTERNAL_ERROR = "internal error"
    WATCHDOG = "watchdog"
    DEBUGGER = "debugger"
    SUSPENDED = "suspended"  # by the guest itself, to memory
    STARTING = "starting up"
    JOB = "job"  # of libvirt's: migration, save, dump, snapshot
    JOB_FAILED = "failed job"
    UNTOLD = "untold"
    QEMU_ENDED = "QEMU ended"  # off, and nobody asked for it
    START_FAILED = "failed start"
    SHUT_DOWN = "shut down"  # by the guest: on its own, or asked to


class Halt(Frozen):
    """Why a machine stands still or is off. `words` are QEMU's own of its present, or last, run."""

    reason: HaltReason
    words: str | Unknown = ""
    since: datetime | None = None
    disks: dict[str, str] = Field(default={}, description="By target: what came of the last access to it.")


class Power(Frozen):
    """The power of a domain; epochs are the last ones carried out, read from the domain's metadata.

    `open_files` are the disk images that the machine has open, down to the base image; None where that is not known.

    `stop_mode` says how a node is brought down where that is wanted, and `memory` the file that it resumes from
    instead of booting, once for the layer that it writes to; neither is ever observed. `halt` is only ever observed.
    """

    state: PowerState
    boot_epoch: int = 0
    resume_epoch: int = 0
    stop_mode: StopMode = Field(default=StopMode.SHUTDOWN, exclude=True)
    memory: Path | None = Field(default=None, exclude=True)
    open_files: frozenset[str] | None = Field(default=None, exclude=True)
    halt: Halt | Unknown | None = Field(default=None, exclude=True)


class Tap(Frozen):
    """The host's end of a running node's network card, and the bridge it is plugged into."""

    bridge: str | None


PULLED = "@cable"
"""Where `NodeLinks.causes` has the faults that pull the node's own cable."""


class NodeLinks(Inbound):
    """What a node receives. `causes` are the faults that want what is not there yet; they are never observed."""

    causes: dict[str, tuple[str, ...]] = Field(default={}, exclude=True, description="Handles, by sender.")


class Snapshot(Frozen):
    """A snapshot, wanted or made; `nodes` is what it is made of and is only ever observed."""

    request: int
    include_memory: bool
    quiesce: bool = Field(default=False, exclude=True)
    half_made: bool = False
    nodes: dict[str, SnapshotNode] = Field(default={}, exclude=True)


class Mark(Frozen):
    """Where a thing comes from, as it says itself; earlier versions wrote down only for which cluster."""

    origin: Origin | None = None


def mark_key(kind: str, name: str) -> str:
    """The key of the mark that a resource of that kind has, or the cluster's directory (kind `directory`)."""
    return f"{kind}/{name}"


class ClusterDocument(Frozen):
    """The state of one cluster, wanted or found. A resource that is absent has no key."""

    networks: dict[str, Network | Unknown] = Field(default={}, description="By libvirt network name.")
    layers: dict[str, Layer | Unknown] = Field(default={}, description="By absolute path.")
    seeds: dict[str, Seed | Unknown] = Field(default={}, description="By node.")
    domains: dict[str, Domain | Unknown] = Field(default={}, description="By node.")
    power: dict[str, Power | Unknown] = Field(default={}, description="By node; present where a domain is.")
    taps: dict[str, Tap | Unknown] = Field(default={}, description="By node; present where a domain is active.")
    links: dict[str, NodeLinks | Unknown] = Field(default={}, description="By receiving node; of the others: none.")
    snapshots: dict[str, Snapshot | Unknown] = Field(default={}, description="By name; observed where they exist.")
    marks: dict[str, Mark | Unknown] = Field(
        default={}, exclude=True, description="By `mark_key`; wanted are those that the record knows, of those found."
    )


def files_below(layer: Layer, layers: Mapping[str, Layer | Unknown]) -> tuple[BackingFile, ...]:
    """What a layer stands on, from the file right below it down to the first that is no layer in `layers`."""
    chain: dict[Path, BackingFile] = {}  # each file once: headers that somebody wrote may lead in a circle
    step: Layer | Unknown | None = layer
    while isinstance(step, Layer) and step.backing is not None and step.backing not in chain:
        chain[step.backing] = BackingFile(path=step.backing, format=step.backing_format or "raw")
        step = layers.get(str(step.backing))
    return tuple(chain.values())


def canonical(document: ClusterDocument) -> dict[str, Any]:
    """The document as plain JSON data, for patches and for people."""
    return document.model_dump(mode="json", exclude_none=True)
