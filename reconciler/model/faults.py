"""Network faults: as they are asked for, as a record keeps them, and as the tools answer."""

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
    """How a partition is made: frames between taps are dropped, or the cables of isolated nodes are pulled.

    With a pulled cable a node is lost to the host too, so SSH to it ends.
    """

    DROP = "drop"
    LINK_DOWN = "link-down"


class ShapeName(StrEnum):
    """The shapes that a partition can have, by the names that their models carry."""

    GROUPS = "groups"
    HALVES = "halves"
    ONE = "one"
    BRIDGE = "bridge"
    MAJORITIES_RING = "majorities-ring"
    GRUDGE = "grudge"


# Shapes of partitions, as data. `reconciler.faults.shapes` says which packets each drops.


class Groups(Frozen):
    """Groups that do not hear each other; nodes in none of them are untouched."""

    shape: Literal["groups"] = "groups"
    groups: tuple[tuple[str, ...], ...]


class Halves(Frozen):
    """All nodes in two halves; of an odd number the second half is the larger one."""

    shape: Literal["halves"] = "halves"


class One(Frozen):
    """One node against all others."""

    shape: Literal["one"] = "one"
    node: str | None = Field(default=None, description="Left out: the first node, or one by the seed.")


class Bridge(Frozen):
    """Two sides that do not hear each other, with one node between them that both hear."""

    shape: Literal["bridge"] = "bridge"
    node: str | None = Field(default=None, description="The node between; left out: the middle one.")
    groups: tuple[tuple[str, ...], ...] | None = Field(
        default=None, description="The two sides; left out: two halves of all other nodes."
    )


class MajoritiesRing(Frozen):
    """Every node hears a majority, no two of them the same one."""

    shape: Literal["majorities-ring"] = "majorities-ring"


class ExplicitGrudge(Frozen):
    """Each cut spelled out."""

    shape: Literal["grudge"] = "grudge"
    grudge: Grudge


PartitionShape = Annotated[
    Groups | Halves | One | Bridge | MajoritiesRing | ExplicitGrudge, Field(discriminator="shape")
]


# Faults as they are asked for.


class PartitionRequest(Frozen):
    """A partition as a user asks for it; with a seed the nodes are shuffled before the shape is laid over them."""

    shape: PartitionShape
    direction: Direction = Direction.BOTH
    mode: CutMode = CutMode.DROP
    seed: int | None = None


class ImpairRequest(Frozen):
    """An impairment as a user asks for it.

    `include_host` adds the host to the targets. Only frames that enter a tap can be shaped, so both ways of the
    link with the host are put on what the host sends: round-trip times and loss are as asked, what the node
    uploads to the host is not slowed.
    """

    source: str
    targets: tuple[str, ...] | None = Field(default=None, description="None: all other nodes, also later ones.")
    direction: Direction = Direction.TO
    impairment: Impairment
    include_host: bool = False


class DeclaredFault(Frozen):
    """A fault of the topology; its duration begins when an `apply` injects it."""

    request: PartitionRequest | ImpairRequest
    duration_s: float | None = None


# Faults as a record keeps them.


class _Wanted(Frozen):
    """What every wanted fault has. Times are absolute, so that a fault ends when it shall whoever watches."""

    handle_id: str
    created_at: Moment
    expires_at: Moment | None = None
    declared_as: str | None = Field(default=None, description="Its name in the topology; None where asked for by hand.")


class PartitionFault(_Wanted):
    """A wanted partition; its shape was resolved once, and the grudge is what holds."""

    fault_type: Literal[FaultType.PARTITION] = FaultType.PARTITION
    request: PartitionRequest
    grudge: Grudge
    bridge: str | None = Field(default=None, description="The node of the shape `bridge` that both sides hear.")


class ImpairFault(_Wanted):
    """A wanted impairment."""

    fault_type: Literal[FaultType.IMPAIRMENT] = FaultType.IMPAIRMENT
    request: ImpairRequest


WantedFault = Annotated[PartitionFault | ImpairFault, Field(discriminator="fault_type")]


# Faults as the tools answer: contract, section 5.


class NetFaultHandle(Abridgeable):
    """A fault that was made, and the handle that heals it."""

    handle_id: str = Field(description="Names the fault, for healing it.")
    fault_type: FaultType = Field(description="Whether links are cut or impaired.")
    affected_nodes: tuple[str, ...] = Field(description="At either end of a link that it hits.")
    created_at: Moment = Field(description="When it was asked for.")
    expires_at: Moment | None = Field(default=None, description="When it heals by itself; null: never.")
    declared_as: str | None = Field(
        default=None, description="Its name in the topology; null where it was asked for by hand."
    )


class NetFaultInfo(NetFaultHandle):
    """A fault that is wanted now.

    `parameters` is `requested`, and beside it `applied` and `observed`.
    """

    parameters: dict[str, Any] = Field(description="`requested`, and beside it `applied` and `observed`.")
    requested: dict[str, Any] = Field(default={}, description="What was asked for, in the words of the tool.")
    applied: bool | None = Field(default=None, description="It holds; null where the host could not be looked at.")
    observed: dict[str, Any] = Field(
        default={}, description="By receiver and sender: what the kernel says of each link that the fault hits."
    )


class FaultEffect(Frozen):
    """What one fault does to the packets of one link, in words."""

    handle_id: str = Field(description="Which fault.")
    effect: str = Field(description="What it does, in words.")


class LinkExplanation(Frozen):
    """What packets from one node to another meet, and because of which faults."""

    sender: str = Field(description="A node, or `@host`.")
    receiver: str = Field(description="A node, or `@host`.")
    cut: bool = Field(description="Nothing gets through.")
    impairment: Impairment | None = Field(default=None, description="All impairments of the link, combined.")
    added_rtt_ms: float | None = Field(description="There and back again; None where either way is cut.")
    faults: tuple[FaultEffect, ...] = Field(description="Those that hit the link.")
    summary: str = Field(description="All of it in words.")
