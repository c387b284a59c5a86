"""A plan: the ordered actions that turn the observed state of a cluster into the desired one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, TypeVar, dataclass_transform

from reconciler.model.choices import StopMode
from reconciler.model.document import Domain, DomainDisk, Layer, Network, ReownedFile, Snapshot, TemplateSpec
from reconciler.model.links import Inbound
from reconciler.model.snapshot import SnapshotPower
from reconciler.model.stage import Stage
from reconciler.model.status import Obstacle


class ChangeKind(StrEnum):
    """What happens to the resource, as a plan prints it."""

    CREATE = "+"
    UPDATE = "~"
    DELETE = "-"


class Disruption(StrEnum):
    """What a change costs users of the cluster, from nothing to data that cannot be recovered."""

    NONE = "none"
    LIVE = "live"
    RESTART = "restart"
    RECREATE = "recreate"
    REMOVE = "remove"
    DATA_LOSS = "data-loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Epochs:
    """The last power cycle and the last resume that were carried out, as recorded in a domain's metadata."""

    boot: int = 0
    resume: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Action:
    """Fields of every action: the node it is for (None: the whole cluster) and why it is needed.

    `kind` is the field of the cluster document that it changes, `stage` says when it is carried out.
    """

    kind: ClassVar[str]
    stage: ClassVar[Stage]

    node: str | None = None
    reason: str
    change: ChangeKind = ChangeKind.UPDATE
    disruption: Disruption = Disruption.NONE

    @property
    def subject(self) -> str | None:
        """The name of what it is done to: the node's, or its own where it has one."""
        return self.node


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named(_Action):
    """An action on what has a name of its own: a network, or a snapshot."""

    name: str

    @property
    def subject(self) -> str:
        return self.name


_A = TypeVar("_A", bound=_Action)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def _action(kind: str, stage: Stage) -> Callable[[type[_A]], type[_A]]:
    def made(cls: type[_A]) -> type[_A]:
        cls.kind, cls.stage = kind, stage
        return dataclass(frozen=True, slots=True, kw_only=True)(cls)

    return made


@_action("networks", Stage.NETWORK)
class CreateNetwork(_Named):
    """Define and start a network; our networks that it replaces are removed first, and their taps plugged in again."""

    network: Network
    replaces: tuple[str, ...] = ()


@_action("networks", Stage.NETWORK)
class StartNetwork(_Named):
    """Start a defined network."""


@_action("networks", Stage.NETWORK)
class SetTunnel(_Named):
    """Join a network's bridge with those of other hosts as its tunnel says; without one, with none."""

    network: Network


@_action("networks", Stage.NETWORK)
class SetHostAddress(_Named):
    """Put the host into the network of a fork, under an address of its own."""

    network: Network


@_action("networks", Stage.REMOVE_NETWORK)
class DeleteNetwork(_Named):
    """Stop and undefine a network."""


@_action("layers", Stage.PREPARE)
class CreateLayer(_Action):
    """Create a qcow2 file."""

    path: Path
    layer: Layer


@_action("layers", Stage.REMOVE_FILES)
class DeleteLayer(_Action):
    """Delete one of our qcow2 files."""

    path: Path


@_action("layers", Stage.FILES)
class GrowLayer(_Action):
    """Make a layer's disk larger, keeping its contents; a running machine sees the new size at once."""

    node: str
    target: str
    path: Path
    size_bytes: int


@_action("layers", Stage.FLATTEN)
class FlattenLayer(_Action):
    """Copy what the layers between a disk's own layer and `base` hold up into it, so that nothing needs them."""

    node: str
    target: str
    path: Path
    base: Path
    lowest: Path | None  # the last of those layers; None if it already stands on `base` and only has to be finished


@_action("layers", Stage.GIVE_BACK)
class RestoreOwner(_Action):
    """Return a file of the user's to its owner; it was below the layer at `path` of a machine that is off now."""

    node: str
    path: Path
    file: ReownedFile


@_action("seeds", Stage.FILES)
class WriteSeed(_Action):
    """Write a node's seed image, and its host keys if they are missing."""

    node: str
    digest: str


@_action("seeds", Stage.TELL)
class UpdateSeed(WriteSeed):
    """Write the seed image of a node that runs, and update its /etc/hosts over SSH."""


@_action("seeds", Stage.REMOVE_FILES)
class DeleteSeed(_Action):
    """Delete a node's seed image and host keys."""

    node: str


@_action("domains", Stage.DEFINE)
class DefineDomain(_Action):
    """Write the persistent definition of a node's domain; for a running machine it takes effect at the next boot.

    `other_disks`: its disks are replaced, and it will boot from them.
    """

    node: str
    domain: Domain
    carried_out: Epochs
    needs_restart: bool = False
    other_disks: bool = False


@_action("domains", Stage.DEFINE)
class AttachDisk(_Action):
    """Plug a disk into a running node and add it to its persistent definition in the same call."""

    node: str
    target: str
    disk: DomainDisk


@_action("domains", Stage.UNDEFINE)
class UndefineDomain(_Action):
    """Remove the definition of a domain that is off."""

    node: str


@_action("power", Stage.POWER_DOWN)
class ShutDown(_Action):
    """Ask a node by ACPI to power off; a later round observes whether it did."""

    node: str


@_action("power", Stage.POWER_DOWN)
class CutPower(_Action):
    """Cut a node's power and record which power cycle that was, so that it is never repeated.

    With `mode` shutdown the node is asked first and given time.
    """

    node: str
    boot_epoch: int
    mode: StopMode = StopMode.DESTROY


@_action("power", Stage.POWER_UP)
class Start(_Action):
    """Power a node on, paused if `paused`.

    `resume_epoch` is the last requested resume that the boot satisfies. A node that is paused only until its links are
    set starts with one less than desired, so that any later round knows that its resume is still due.

    With a `template` it starts from that, paused in any case; unless `must_clone`, it boots if there cannot be one.
    """

    node: str
    paused: bool
    resume_epoch: int
    template: TemplateSpec | None = None
    must_clone: bool = False


@_action("power", Stage.RUN)
class Resume(_Action):
    """Resume a node's CPUs, and record which request that was.

    After memory was restored, the guest's clock is stepped before the request is recorded. Where it `stood_still` while
    the host's clock went on, that is tried, for a guest that accepts a login soon.
    """

    node: str
    resume_epoch: int
    after_memory: bool = False
    stood_still: bool = False


@_action("power", Stage.POWER_DOWN)
class Suspend(_Action):
    """Pause the CPUs of a running node."""

    node: str


@_action("power", Stage.POWER_UP)
class ResumeMemory(_Action):
    """Restore a node's memory from a snapshot instead of booting it, paused; `resume_epoch` is as in `Start`."""

    node: str
    domain: Domain
    memory: Path
    resume_epoch: int


@_action("snapshots", Stage.SNAPSHOT)
class TakeSnapshot(_Named):
    """Freeze every disk of every node at one moment, with the memory of running nodes if requested."""

    snapshot: Snapshot
    domains: dict[str, Domain]
    power: dict[str, SnapshotPower]


@_action("snapshots", Stage.PREPARE)
class SweepSnapshot(_Named):
    """Remove what an interrupted snapshot left behind, and resume the nodes that it had paused."""


@_action("snapshots", Stage.REMOVE_SNAPSHOTS)
class DeleteSnapshot(_Named):
    """Delete a snapshot's manifest and memory, unless a fork came to hold it; layers go later, or in a later round."""


@_action("snapshots", Stage.HOLD)
class HoldSnapshot(_Named):
    """Keep the snapshot that a fork stands on from being deleted, before anything is made on it."""

    snapshot: Snapshot


@_action("snapshots", Stage.RELEASE)
class ReleaseSnapshot(_Named):
    """Let the snapshot go that a fork stood on, once nothing of the fork is left."""


@_action("taps", Stage.POWER_UP)
class PlugTap(_Action):
    """Plug a running node's tap into its bridge again; `up` is false if its cable must stay pulled."""

    node: str
    tap: str
    bridge: str
    up: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChange:
    """What changes for the packets to one node, as text."""

    reason: str
    change: ChangeKind


@_action("links", Stage.LINKS)
class SetLinks(_Action):
    """Set all links of the cluster as desired, in one go; a node without a tap gets only its cuts until it boots."""

    links: dict[str, Inbound]
    changes: dict[str, LinkChange]  # by receiver


@_action("links", Stage.HEAL)
class HealLinks(_Action):
    """Remove every link of the cluster, before anything else is removed."""

    changes: dict[str, LinkChange]


Action = (
    CreateNetwork
    | StartNetwork
    | SetTunnel
    | SetHostAddress
    | DeleteNetwork
    | CreateLayer
    | DeleteLayer
    | GrowLayer
    | FlattenLayer
    | RestoreOwner
    | WriteSeed
    | DeleteSeed
    | DefineDomain
    | AttachDisk
    | UndefineDomain
    | ShutDown
    | CutPower
    | Start
    | Resume
    | Suspend
    | PlugTap
    | SetLinks
    | HealLinks
    | ResumeMemory
    | TakeSnapshot
    | SweepSnapshot
    | DeleteSnapshot
    | HoldSnapshot
    | ReleaseSnapshot
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in order, and what prevents doing more."""

    actions: tuple[Action, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    waiting: frozenset[str] = field(default=frozenset())  # nodes that are shutting down: just observe again
    foreign: bool = False  # the obstacles are things that the record does not know: nothing is done at all
    all_or_nothing: bool = False  # nodes are reverted together: what fails to prepare for one is done to none

    def stages(self) -> Iterator[tuple[Action, ...]]:
        """The actions of each stage that has any, in order."""
        for stage in Stage:
            if batch := tuple(action for action in self.actions if action.stage is stage):
                yield batch

    @property
    def converged(self) -> bool:
        """Whether the observed state is the desired one."""
        return not (self.actions or self.obstacles or self.waiting)
