"""A plan: the ordered actions that turn the observed state of a cluster into the desired one."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path

from reconciler.model.document import Domain, DomainDisk, Layer, LentFile, Network, Snapshot
from reconciler.model.links import Inbound
from reconciler.model.record import StopMode
from reconciler.model.snapshot import SnapshotPower
from reconciler.model.status import Obstacle


class Stage(IntEnum):
    """When an action is carried out. A stage starts once the one before it has ended on every node."""

    PREPARE = 1  # anything that fails here fails before anything was removed
    HEAL = 2
    POWER_DOWN = 3
    UNDEFINE = 4
    NETWORK = 5
    FILES = 6
    DEFINE = 7
    POWER_UP = 8
    LINKS = 9  # all taps exist now, and nodes that must not run without their links are paused
    RUN = 10
    FLATTEN = 11
    SNAPSHOT = 12
    GIVE_BACK = 13  # before the layers that record the owners are deleted
    REMOVE_FILES = 14
    REMOVE_NETWORK = 15


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
    """Fields of every action: the node it is for (None: the whole cluster) and why it is needed."""

    node: str | None = None
    reason: str
    change: ChangeKind = ChangeKind.UPDATE
    disruption: Disruption = Disruption.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateNetwork(_Action):
    """Define and start a network; our networks that it replaces are removed first, and their taps plugged in again."""

    name: str
    network: Network
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StartNetwork(_Action):
    """Start a defined network."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteNetwork(_Action):
    """Stop and undefine a network."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateLayer(_Action):
    """Create a qcow2 file."""

    path: Path
    layer: Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteLayer(_Action):
    """Delete one of our qcow2 files."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowLayer(_Action):
    """Make a layer's disk larger, keeping its contents; a running machine sees the new size at once."""

    node: str
    target: str
    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlattenLayer(_Action):
    """Copy what the layers between a disk's own layer and `base` hold up into it, so that nothing needs them.

    `lowest` is the last of those layers; None if the layer already stands on `base` and only has to be finished.
    """

    node: str
    target: str
    path: Path
    base: Path
    lowest: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBack(_Action):
    """Return a file of the user's to its owner; it was below the layer at `path` of a machine that is off now."""

    node: str
    path: Path
    file: LentFile


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSeed(_Action):
    """Write a node's seed image, and its host keys if they are missing."""

    node: str
    digest: str
    live: bool = False  # the node runs: its /etc/hosts is updated over SSH


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteSeed(_Action):
    """Delete a node's seed image and host keys."""

    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DefineDomain(_Action):
    """Write the persistent definition of a node's domain; for a running machine it takes effect at the next boot."""

    node: str
    domain: Domain
    carried_out: Epochs
    needs_restart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachDisk(_Action):
    """Plug a disk into a running node and add it to its persistent definition in the same call."""

    node: str
    target: str
    disk: DomainDisk


@dataclass(frozen=True, slots=True, kw_only=True)
class UndefineDomain(_Action):
    """Remove the definition of a domain that is off."""

    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutDown(_Action):
    """Ask a node by ACPI to power off; a later round observes whether it did."""

    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPower(_Action):
    """Cut a node's power and record which power cycle that was, so that it is never repeated.

    With `mode` shutdown the node is asked first and given time.
    """

    node: str
    boot_epoch: int
    mode: StopMode = StopMode.DESTROY


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(_Action):
    """Power a node on, paused if `paused`.

    `resume_epoch` is the last requested resume that the boot satisfies. A node that is paused only until its links are
    set starts with one less than desired, so that any later round knows that its resume is still due.
    """

    node: str
    paused: bool
    resume_epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(_Action):
    """Resume a node's CPUs, and record which request that was.

    After memory was restored, the guest's clock is stepped before the request is recorded.
    """

    node: str
    resume_epoch: int
    after_memory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspend(_Action):
    """Pause the CPUs of a running node."""

    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeMemory(_Action):
    """Restore a node's memory from a snapshot instead of booting it; its CPUs stay paused.

    `resume_epoch` is as in `Start`.
    """

    node: str
    domain: Domain
    memory: Path
    resume_epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeSnapshot(_Action):
    """Freeze every disk of every node at one moment, with the memory of running nodes if requested."""

    name: str
    snapshot: Snapshot
    domains: dict[str, Domain]
    power: dict[str, SnapshotPower]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSnapshot(_Action):
    """Remove what an interrupted snapshot left behind, and resume the nodes that it had paused."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteSnapshot(_Action):
    """Delete a snapshot's manifest and memory; layers that nothing else needs are deleted in a later round."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLinks(_Action):
    """Set all links of the cluster as desired, in one go; `changes` names the receivers whose links differ.

    A node without a tap gets only its cuts: the rest follows when it boots.
    """

    links: dict[str, Inbound]
    changes: dict[str, LinkChange]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealLinks(_Action):
    """Remove every link of the cluster, before anything else is removed."""

    changes: dict[str, LinkChange]


Action = (
    CreateNetwork
    | StartNetwork
    | DeleteNetwork
    | CreateLayer
    | DeleteLayer
    | GrowLayer
    | FlattenLayer
    | GiveBack
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
)

STAGE_OF: dict[type[Action], Stage] = {
    ShutDown: Stage.POWER_DOWN,
    CutPower: Stage.POWER_DOWN,
    Suspend: Stage.POWER_DOWN,
    UndefineDomain: Stage.UNDEFINE,
    CreateNetwork: Stage.NETWORK,
    StartNetwork: Stage.NETWORK,
    PlugTap: Stage.POWER_UP,
    CreateLayer: Stage.PREPARE,
    GrowLayer: Stage.FILES,
    WriteSeed: Stage.FILES,
    SweepSnapshot: Stage.PREPARE,
    ResumeMemory: Stage.POWER_UP,
    TakeSnapshot: Stage.SNAPSHOT,
    FlattenLayer: Stage.FLATTEN,
    GiveBack: Stage.GIVE_BACK,
    DeleteSnapshot: Stage.REMOVE_FILES,
    DefineDomain: Stage.DEFINE,
    AttachDisk: Stage.DEFINE,
    Start: Stage.POWER_UP,
    SetLinks: Stage.LINKS,
    HealLinks: Stage.HEAL,
    Resume: Stage.RUN,
    DeleteLayer: Stage.REMOVE_FILES,
    DeleteSeed: Stage.REMOVE_FILES,
    DeleteNetwork: Stage.REMOVE_NETWORK,
}


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
            if batch := tuple(action for action in self.actions if STAGE_OF[type(action)] is stage):
                yield batch

    @property
    def converged(self) -> bool:
        """Whether the observed state is the desired one."""
        return not (self.actions or self.obstacles or self.waiting)
