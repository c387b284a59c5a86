"""Network faults: as a topology declares them, as requested, as a record keeps them, and as the tools return them."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool

from reconciler.model.abridging import Abridgeable
from reconciler.model.base import Frozen
from reconciler.model.choices import CutMode, Direction, Distribution, ShapeName
from reconciler.model.fields import Amount, Count, NodeName
from reconciler.model.links import Impairment
from reconciler.model.timestamps import Moment

Grudge = dict[str, tuple[str, ...]]
"""Receiving node -> the senders whose packets it never gets. The term is Jepsen's."""


class FaultType(StrEnum):
    """The kinds of faults."""

    PARTITION = "partition"
    IMPAIRMENT = "impairment"


# Shapes of partitions, as data. `reconciler.faults.shapes` says which packets each drops.


class Groups(Frozen):
    """Groups that cannot reach each other; nodes in no group are untouched."""

    shape: Literal["groups"] = "groups"
    groups: tuple[tuple[str, ...], ...]


class Halves(Frozen):
    """All nodes in two halves; with an odd number the second half is larger."""

    shape: Literal["halves"] = "halves"


class One(Frozen):
    """One node against all others."""

    shape: Literal["one"] = "one"
    node: str | None = Field(default=None, description="Default: the first node, or one chosen by the seed.")


class Bridge(Frozen):
    """Two sides that cannot reach each other, and one node between them that reaches both."""

    shape: Literal["bridge"] = "bridge"
    node: str | None = Field(default=None, description="The node between; default: the middle one.")
    groups: tuple[tuple[str, ...], ...] | None = Field(
        default=None, description="The two sides; default: two halves of all other nodes."
    )


class MajoritiesRing(Frozen):
    """Every node hears a majority, and no two nodes hear the same one."""

    shape: Literal["majorities-ring"] = "majorities-ring"


class ExplicitGrudge(Frozen):
    """Every cut listed explicitly."""

    shape: Literal["grudge"] = "grudge"
    grudge: Grudge


PartitionShape = Annotated[
    Groups | Halves | One | Bridge | MajoritiesRing | ExplicitGrudge, Field(discriminator="shape")
]


# Faults as a topology declares them: where a request is as simple, its block is the request itself.


class _Request(Frozen):
    """What every request for a fault has."""

    @property
    def shaping(self) -> Impairment | None:
        """What the host's kernel has to be able to do to packets for it."""
        return None


class PartitionTopology(Frozen):
    """No traffic passes between groups of nodes."""

    shape: ShapeName = Field(
        default=ShapeName.GROUPS,
        description="`groups` as given; over all nodes `halves`, `one`, `bridge`, `majorities-ring`; or a `grudge`.",
    )
    groups: tuple[tuple[NodeName, ...], ...] | None = Field(
        default=None,
        description="Two or more groups of nodes, each cut off from the others; for `bridge` two, with its `node`.",
    )
    node: NodeName | None = Field(default=None, description="The node of the shapes `one` and `bridge`.")
    grudge: dict[NodeName, tuple[NodeName, ...]] | None = Field(
        default=None, description="For shape `grudge`: receiving node -> the senders that it does not hear."
    )
    direction: Direction = Field(
        default=Direction.BOTH, description="With two sides, `to` cuts only what the first sends to the second."
    )
    mode: CutMode = Field(
        default=CutMode.DROP, description="`drop` frames, or `link-down`: pull the cables of nodes cut from all others."
    )
    seed: Annotated[int, Field(strict=True)] | None = Field(
        default=None, description="Shuffles the nodes before the shape is applied."
    )


class ImpairTopology(Frozen):
    """What is done to packets that one node sends to others; zero means "not requested"."""

    source: NodeName = Field(description="The sending node.", examples=["worker-0"])
    target: tuple[NodeName, ...] | None = Field(default=None, description="Receiving nodes; default: all other nodes.")
    direction: Direction = Field(
        default=Direction.TO, description="`to` affects what the source sends, `from` what is sent to it."
    )
    include_host: StrictBool = Field(default=False, description="Affects traffic with the host too, which SSH uses.")
    delay_ms: Amount = Field(default=0, description="Milliseconds added to each packet's delay.")
    jitter_ms: Amount = Field(default=0, description="Milliseconds by which the delay varies.")
    delay_correlation_pct: Amount = Field(default=0, description="How far a packet's delay depends on the last one's.")
    distribution: Distribution = Field(
        default=Distribution.UNIFORM, description="How the delay varies within its jitter."
    )
    loss_pct: Amount = Field(default=0, description="Percent of packets that never arrive.")
    loss_correlation_pct: Amount = Field(default=0, description="How far a packet's loss depends on the last one's.")
    duplicate_pct: Amount = Field(default=0, description="Percent of packets that arrive twice.")
    corrupt_pct: Amount = Field(default=0, description="Percent of packets that arrive with one bit flipped.")
    reorder_pct: Amount = Field(default=0, description="Percent of packets that overtake the delayed ones.")
    reorder_correlation_pct: Amount = Field(default=0, description="How far overtaking comes in bursts.")
    reorder_gap: Count = Field(default=0, description="Only every Nth packet may overtake.")
    rate_kbit: Count = Field(default=0, description="Bandwidth in kilobits per second.")
    limit_packets: Count = Field(default=0, description="Packets that may queue; the rest are dropped.")


class FaultTopology(Frozen):
    """A network fault: `apply` injects it, and heals it once it is removed from the file."""

    name: NodeName = Field(description="Name of the fault; unique in the cluster.", examples=["split"])
    partition: PartitionTopology | None = Field(default=None, description="No traffic passes between groups of nodes.")
    impair: ImpairTopology | None = Field(default=None, description="What is done to packets that get through.")
    duration_s: Amount | None = Field(
        default=None, description="Seconds after which it heals by itself; default: once it is removed from the file."
    )

    @property
    def blocks(self) -> dict[str, Frozen]:
        """The kinds of faults that it has a block for; a valid fault has one."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in found.items() if isinstance(value, Frozen)}


# Faults as requested.


class PartitionRequest(_Request):
    """A partition as a user requests it; a seed shuffles the nodes before the shape is applied."""

    shape: PartitionShape
    direction: Direction = Direction.BOTH
    mode: CutMode = CutMode.DROP
    seed: int | None = None


class ImpairRequest(_Request):
    """An impairment as a user requests it.

    `include_host` adds the host to the targets. Only frames that enter a tap can be shaped, so the effects on both
    directions of the host's link are applied to what the host sends: round-trip times and loss are as requested, but
    uploads from the node to the host are not slowed.
    """

    source: str
    targets: tuple[str, ...] | None = Field(default=None, description="None: all other nodes, including later ones.")
    direction: Direction = Direction.TO
    impairment: Impairment
    include_host: bool = False

    @property
    def shaping(self) -> Impairment | None:
        """The impairment itself."""
        return self.impairment


FaultRequest = PartitionRequest | ImpairRequest


class DeclaredFault(Frozen):
    """A fault declared in the topology; its duration starts when `apply` injects it."""

    request: FaultRequest
    duration_s: float | None = None


# Faults as a record keeps them.


class _Wanted(Frozen):
    """The fields of every desired fault. Times are absolute, so that a fault ends on time whichever process runs."""

    handle_id: str
    created_at: Moment
    expires_at: Moment | None = None
    declared_as: str | None = Field(default=None, description="Its name in the topology; None if created by a command.")


class PartitionFault(_Wanted):
    """A desired partition; its shape is resolved once, and only the grudge counts from then on."""

    fault_type: Literal[FaultType.PARTITION] = FaultType.PARTITION
    request: PartitionRequest
    grudge: Grudge
    bridge: str | None = Field(default=None, description="The node of shape `bridge` that reaches both sides.")


class ImpairFault(_Wanted):
    """A desired impairment."""

    fault_type: Literal[FaultType.IMPAIRMENT] = FaultType.IMPAIRMENT
    request: ImpairRequest


WantedFault = Annotated[PartitionFault | ImpairFault, Field(discriminator="fault_type")]


# Faults as the tools return them: contract, section 5.


class NetFaultHandle(Abridgeable):
    """A fault that was created, and the handle that heals it."""

    handle_id: str = Field(description="Identifies the fault when healing it.")
    fault_type: FaultType = Field(description="Whether links are cut or impaired.")
    affected_nodes: tuple[str, ...] = Field(description="Nodes at either end of an affected link.")
    created_at: Moment = Field(description="When it was requested.")
    expires_at: Moment | None = Field(default=None, description="When it heals by itself; null: never.")
    declared_as: str | None = Field(default=None, description="Its name in the topology; null if created by a command.")


class NetFaultInfo(NetFaultHandle):
    """A desired fault.

    `parameters` holds `requested`, `applied` and `observed`, which are also fields of their own.
    """

    parameters: dict[str, Any] = Field(description="`requested`, with `applied` and `observed` added.")
    requested: dict[str, Any] = Field(default={}, description="What was requested, with the tool's parameter names.")
    applied: bool | None = Field(default=None, description="Whether it is in effect; null if that could not be read.")
    observed: dict[str, Any] = Field(
        default={}, description="By receiver and sender: what the kernel reports for each affected link."
    )


class FaultEffect(Frozen):
    """What one fault does to the packets of one link."""

    handle_id: str = Field(description="Which fault.")
    effect: str = Field(description="What it does, as text.")


class LinkExplanation(Frozen):
    """What happens to packets from one node to another, and which faults cause it."""

    sender: str = Field(description="A node, or `@host`.")
    receiver: str = Field(description="A node, or `@host`.")
    cut: bool = Field(description="Nothing gets through.")
    impairment: Impairment | None = Field(default=None, description="All impairments of the link, combined.")
    added_rtt_ms: float | None = Field(description="Added to a round trip; null if either direction is cut.")
    faults: tuple[FaultEffect, ...] = Field(description="The faults that affect the link.")
    summary: str = Field(description="All of the above as text.")
