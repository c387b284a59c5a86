"""The cluster document: the one type of both the desired and the observed state of a cluster.

One field per resource kind, each a map keyed by name, never a list, so that two documents compare key by key
and their difference is a readable JSON patch. Exactly one function in `reconciler.plan` plans each kind.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field

from reconciler.error_codes import ErrorCode
from reconciler.model.base import Frozen
from reconciler.model.choices import StopMode
from reconciler.model.links import Inbound
from reconciler.model.origin import Origin
from reconciler.model.snapshot import SnapshotNode
from reconciler.model.topology import DiskBus, Firmware, Forward

_KEY_LENGTH = 16


class Unknown(Frozen):
    """A resource that could not be observed, or is not ours. Nothing is created, changed or deleted because of it."""

    unknown: str = Field(description="The reason and the remedy.")
    code: ErrorCode
    terminal: bool = False
    unprivileged: bool = Field(
        default=False, exclude=True, description="We may not look at it, and so cannot have made it either."
    )


class Tunnel(Frozen):
    """The VXLAN port that joins a bridge with those of other hosts.

    `gateway` is the address that each host has for itself: no ARP about it passes. The host uses `own_address` towards
    nodes on other hosts; None if it uses the gateway's.
    """

    vni: int
    port: int
    local: str
    peers: tuple[str, ...] = Field(description="Addresses of the other hosts, sorted.")
    mtu: int
    bridge: str | None = Field(description="Where it is plugged in and up.")
    gateway: str | None
    own_address: str | None = None


class HostAddress(Frozen):
    """The host's own address on the bridge of a fork: what is sent from it goes to this bridge, and only that.

    `subnet` is the fork's; other networks of the host may have the same.
    """

    address: str
    subnet: str
    bridge: str | None = Field(description="Where it is, with its route; None: part of that is missing.")


class Network(Frozen):
    """A libvirt network with its bridge on the host. One with a `host_address` has no gateway, and so no length."""

    bridge: str
    gateway: str
    prefix_length: int
    forward: Forward
    active: bool
    tunnel: Tunnel | None = None
    host_address: HostAddress | None = None


class ReownedFile(Frozen):
    """A file of the user's below one of our layers that QEMU's user owns for now, and its original owner."""

    path: Path
    inode: int
    uid: int
    gid: int


class Layer(Frozen):
    """A disk file that we made: a node's overlay on an image, or an extra disk (without backing).

    It is qcow2, except for a disk that several nodes write to: that one is raw, and `node` is the first that names it.
    """

    node: str
    disk: str
    size_bytes: int
    backing: Path | None = None
    backing_format: str | None = None
    format: str = "qcow2"
    base_changed: bool = Field(default=False, exclude=True, description="The image below it was replaced.")
    misplaced: str = Field(default="", exclude=True, description="Why it is not the file that was created there.")
    written: bool = Field(default=False, exclude=True, description="A machine has written to it.")
    resumed: bool = Field(default=False, exclude=True, description="A machine has resumed from memory on it.")
    flattening: bool = Field(default=False, exclude=True, description="It is absorbing layers below it.")
    reowned: ReownedFile | None = Field(default=None, exclude=True, description="Given back once nothing uses it.")


class Seed(Frozen):
    """A NoCloud seed image; the digest covers everything that it should contain."""

    digest: str


class BackingFile(Frozen):
    """A file below a layer, opened read-only."""

    path: Path
    format: str


class DomainDisk(Frozen):
    """A disk as the domain's persistent definition names it; `backing` runs from the layer down to the image."""

    path: Path
    format: str
    bus: DiskBus = DiskBus.VIRTIO
    backing: tuple[BackingFile, ...] = ()
    read_only: bool = False
    shared: bool = Field(default=False, description="Other nodes write to this file as well.")


class DirectBoot(Frozen):
    """The kernel that QEMU loads directly."""

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
    disks: dict[str, DomainDisk] = Field(description="By target; the seed comes last.")
    network: str
    mac: str
    tap: str
    console: Path
    firmware: Firmware = Firmware.BIOS
    video: bool = Field(default=False, description="A VGA card, whose screen can be photographed.")
    nvram: Path | None = Field(default=None, description="The file with the UEFI variables.")
    boot: DirectBoot | None = None
    boot_files: str = Field(default="", description="Identity of the files named in `boot`; empty: not known.")
    template: int = Field(description="Version of the XML that we render; a newer one redefines the domain.")


class SeedShape(Frozen):
    """What a node's seed contains besides the node's own values: nodes of one shape differ in nothing else."""

    ssh_user: str
    ssh_public_key: str
    prefix_length: int
    routed: bool = Field(description="There is a gateway, which is also the name server.")
    grows: bool
    mtu: int | None


class TemplateSpec(Frozen):
    """Everything that decides the state of a template: a machine that booted up to where it needs an identity.

    Nodes with equal values can start from the same one, whatever their names and cards are.
    """

    seed: SeedShape | None = Field(
        default=None, description="Booted completely, for seeds of this shape; None: booted up to cloud-init."
    )
    image: Path
    image_format: str
    image_identity: str
    root_bytes: int
    vcpus: int
    memory_mb: int
    virt_type: str
    cpu: str
    boot: DirectBoot | None
    boot_files: str
    rendering: int = Field(description="Version of the XML that we render.")

    @property
    def key(self) -> str:
        """The template's name."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:_KEY_LENGTH]


class PowerState(StrEnum):
    """What a domain does. Only the first three can be desired; they are those of `WantedPower`."""

    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"
    CRASHED = "crashed"  # panicked, or stopped by a QEMU internal error: it cannot continue
    BLOCKED = "blocked"  # paused by QEMU itself: an I/O error such as a full disk
    STOPPING = "stopping"


class HaltReason(StrEnum):
    """Why a machine does not run, according to libvirt, or to QEMU where libvirt does not know."""

    USER = "user"
    PANIC = "panic"
    IO_ERROR = "I/O error"
    INTERNAL_ERROR = "internal error"
    WATCHDOG = "watchdog"
    DEBUGGER = "debugger"
    SUSPENDED = "suspended"  # by the guest itself, to memory
    STARTING = "starting up"
    JOB = "job"  # libvirt's: migration, save, dump, snapshot
    JOB_FAILED = "failed job"
    UNTOLD = "untold"
    QEMU_ENDED = "QEMU ended"  # off, and nobody asked for it
    START_FAILED = "failed start"
    SHUT_DOWN = "shut down"  # by the guest: on its own, or asked to


class Halt(Frozen):
    """Why a machine is halted or off. `words` are what QEMU itself printed in its present, or last, run."""

    reason: HaltReason
    words: str | Unknown = ""
    since: datetime | None = None
    disks: dict[str, str] = Field(default={}, description="By target: the result of the last access to it.")


class Power(Frozen):
    """The power of a domain; epochs are the last ones carried out, read from the domain's metadata.

    `open_files` are the disk images that the machine has open, down to the base image; None if not known.

    `stop_mode` says how a node is stopped if that is desired. `memory` is the file that the node resumes from instead
    of booting, once for the layer it writes to. `template` is what a node with an unused root disk starts from, and
    `boots` says why it boots instead. None of them is ever observed; `halt` is only ever observed.
    """

    state: PowerState
    boot_epoch: int = 0
    resume_epoch: int = 0
    stop_mode: StopMode = Field(default=StopMode.SHUTDOWN, exclude=True)
    memory: Path | None = Field(default=None, exclude=True)
    template: TemplateSpec | None = Field(default=None, exclude=True)
    must_clone: bool = Field(default=False, exclude=True)
    boots: str = Field(default="", exclude=True)
    open_files: frozenset[str] | None = Field(default=None, exclude=True)
    halt: Halt | Unknown | None = Field(default=None, exclude=True)


class Tap(Frozen):
    """The host's end of a running node's network card, and the bridge it is plugged into."""

    bridge: str | None


PULLED = "@cable"
"""The key in `NodeLinks.causes` of the faults that pull the node's own cable."""


class NodeLinks(Inbound):
    """What a node receives. `causes` are the faults behind links that are still to be set; they are never observed."""

    causes: dict[str, tuple[str, ...]] = Field(default={}, exclude=True, description="Handles, by sender.")


class Snapshot(Frozen):
    """A snapshot, desired or taken; `nodes` is what it consists of and is only ever observed.

    `held` is None but for the snapshot that a fork stands on, whose files belong to other clusters: true once the
    fork's directory says so, which keeps the others from deleting it. `below` says what such files stand on.
    """

    request: int
    include_memory: bool
    quiesce: bool = Field(default=False, exclude=True)
    half_made: bool = False
    nodes: dict[str, SnapshotNode] = Field(default={}, exclude=True)
    held: bool | None = None
    below: dict[Path, tuple[BackingFile, ...]] = Field(default={}, exclude=True)


class LentFiles(Frozen):
    """What a fork stands on, as its own directory says: a snapshot's disks, and every file below them."""

    snapshot: str
    disks: tuple[Path, ...]
    below: tuple[Path, ...]


class Mark(Frozen):
    """The origin recorded on a thing itself; earlier versions recorded only its cluster."""

    origin: Origin | None = None


def mark_key(kind: str, name: str) -> str:
    """The key of a resource's mark; kind `directory` stands for the cluster's directory."""
    return f"{kind}/{name}"


class ClusterDocument(Frozen):
    """The state of one cluster, desired or observed. An absent resource has no key."""

    networks: dict[str, Network | Unknown] = Field(default={}, description="By libvirt network name.")
    layers: dict[str, Layer | Unknown] = Field(default={}, description="By absolute path.")
    seeds: dict[str, Seed | Unknown] = Field(default={}, description="By node.")
    domains: dict[str, Domain | Unknown] = Field(default={}, description="By node.")
    power: dict[str, Power | Unknown] = Field(default={}, description="By node; present where a domain is.")
    taps: dict[str, Tap | Unknown] = Field(default={}, description="By node; present where a domain is active.")
    links: dict[str, NodeLinks | Unknown] = Field(default={}, description="By receiving node; no entry: no faults.")
    snapshots: dict[str, Snapshot | Unknown] = Field(default={}, description="By name; observed where they exist.")
    forks: dict[str, LentFiles | Unknown] = Field(
        default={}, exclude=True, description="By name, those that stand on this cluster; an unknown one may."
    )
    marks: dict[str, Mark | Unknown] = Field(
        default={}, exclude=True, description="By `mark_key`; desired are those found that the record knows."
    )


def forks_on(document: ClusterDocument, snapshot: str) -> tuple[str, ...]:
    """The forks that stand on a snapshot, and those that may."""
    return tuple(name for name, of in document.forks.items() if isinstance(of, Unknown) or of.snapshot == snapshot)


def files_below(layer: Layer, layers: Mapping[str, Layer | Unknown]) -> tuple[BackingFile, ...]:
    """The files that a layer stands on, from the one right below it to the first that is not in `layers`."""
    chain: dict[Path, BackingFile] = {}  # each file once: headers that somebody wrote may form a cycle
    step: Layer | Unknown | None = layer
    while isinstance(step, Layer) and step.backing is not None and step.backing not in chain:
        chain[step.backing] = BackingFile(path=step.backing, format=step.backing_format or "raw")
        step = layers.get(str(step.backing))
    return tuple(chain.values())


def canonical(document: ClusterDocument) -> dict[str, Any]:
    """The document as plain JSON data, for patches and for people."""
    return document.model_dump(mode="json", exclude_none=True)
