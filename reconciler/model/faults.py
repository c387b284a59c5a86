"""Network faults: as requested, as a record keeps them, and as the tools return them."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from reconciler.model.base import Frozen
from reconciler.model.links import Impairment
from reconciler.model.moments import Moment
from reconciler.model.omission import Abridgeable

Grudge = dict[str, tuple[str, ...]]
"""Receiving node -> the senders whose packets it never gets. The term is Jepsen's."""


class FaultType(StrEnum):
    """The two kinds of faults."""

    PARTITION = "partition"
    IMPAIRMENT = "impairment"


class Direction(StrEnum):
    """Which packets a fault hits: those from its first side to its second (`to`), those back (`from`), or both."""

    BOTH = "both"
    TO = "to"
    FROM = "from"


class CutMode(StrEnum):
    """How a partition is made: drop frames between taps, or pull the cables of isolated nodes.

    Pulling a cable cuts the node off from the host too, so SSH to it ends.
    """

    DROP = "drop"
    LINK_DOWN = "link-down"


class ShapeName(StrEnum):
    """The shapes that a partition can have, named as in their models."""

    GROUPS = "groups"
    HALVES = "halves"
    ONE = "one"
    BRIDGE = "bridge"
    MAJORITIES_RING = "majorities-ring"
    GRUDGE = "grudge"


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


# Faults as requested.


class PartitionRequest(Frozen):
    """A partition as a user requests it; a seed shuffles the nodes before the shape is applied."""

    shape: PartitionShape
    direction: Direction = Direction.BOTH
    mode: CutMode = CutMode.DROP
    seed: int | None = None


class ImpairRequest(Frozen):
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


class DeclaredFault(Frozen):
    """A fault declared in the topology; its duration starts when `apply` injects it."""

    request: PartitionRequest | ImpairRequest
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
