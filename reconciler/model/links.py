"""Links: what happens to a packet from one node to another. Desired faults compile to links; hosts are read as links.

A link is directed and belongs to the receiving node: what A sends to B is cut and shaped at B's tap. There, loss
affects the sender as loss on a wire would, and the queue of one tap can hold everything that may be requested.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from reconciler.model.base import Frozen
from reconciler.model.choices import Distribution

HOST = "@host"
"""Stands for the host where a node is expected. No node can have this name."""

LEFTOVER = "leftover"
"""Stands for something that we made on the host and no desired state contains: emptied, or changed by somebody.

Codecs put it where a tap or an address belongs; it differs from every desired value, and so is healed.
"""


class FirewallChoice(StrEnum):
    """What cuts links on the host; `auto` uses nftables if it works."""

    AUTO = "auto"
    NFTABLES = "nftables"
    IPTABLES = "iptables"


class Impairment(Frozen):
    """What is done to packets that get through. Zero means "not requested", or, for `limit_packets`, chosen by us."""

    delay_ms: float = Field(default=0, description="Added to each packet; at least 0.001.")
    jitter_ms: float = Field(default=0, description="By how much the delay varies, up and down.")
    delay_correlation_pct: float = Field(default=0, description="How far a packet's delay depends on the last one's.")
    distribution: Distribution = Field(default=Distribution.UNIFORM, description="How the delay varies.")
    loss_pct: float = Field(default=0, description="Packets that are lost; at least 0.0001.")
    loss_correlation_pct: float = Field(default=0, description="How far a packet's loss depends on the last one's.")
    duplicate_pct: float = Field(default=0, description="Packets that arrive twice.")
    corrupt_pct: float = Field(default=0, description="Packets that arrive with one bit flipped.")
    reorder_pct: float = Field(default=0, description="Packets that are sent at once and overtake delayed ones.")
    reorder_correlation_pct: float = Field(default=0, description="How far overtaking depends on the last packet's.")
    reorder_gap: int = Field(default=0, description="Only every Nth packet may overtake.")
    rate_kbit: int = Field(default=0, description="Bandwidth in kilobits per second.")
    limit_packets: int = Field(default=0, description="Packets that may queue; the rest are dropped.")

    @property
    def needs_netem(self) -> bool:
        """Whether the host's kernel must have `sch_netem`; a rate needs only `sch_htb`."""
        return any((self.delay_ms, self.loss_pct, self.duplicate_pct, self.corrupt_pct, self.reorder_pct))

    @property
    def is_zero(self) -> bool:
        """Whether packets pass as if there were no impairment."""
        return not (self.needs_netem or self.rate_kbit)


class Link(Frozen):
    """What happens to a packet on its way from one sender to one receiver.

    A cut link keeps its impairment, which is what remains once the cut is healed. `cut_expires_at` is None for a cut
    that stays until it is healed explicitly.
    """

    cut: bool = False
    cut_expires_at: datetime | None = None
    impairment: Impairment | None = None


class Inbound(Frozen):
    """Everything between a node and those that send to it; a sender without an entry has a link without faults.

    With `down` the node's cable is pulled: no traffic passes either way, not even with the host.
    """

    links: dict[str, Link] = Field(default={}, description="By sending node, or `@host`.")
    down: bool = False

    @property
    def needs_tap(self) -> bool:
        """Whether any of it is a property of the tap, which comes and goes with its machine; cuts are not."""
        return self.down or any(link.impairment is not None for link in self.links.values())

    @property
    def cuts_only(self) -> "Inbound":
        """The part that holds while there is no tap."""
        cuts = {sender: link for sender, link in self.links.items() if link.cut}
        return Inbound(links={sender: link.model_copy(update={"impairment": None}) for sender, link in cuts.items()})


def touched_nodes(links: Mapping[str, Inbound]) -> frozenset[str]:
    """Every node at either end of a link or with its cable pulled; the host too if it sends."""
    return frozenset({*links, *(sender for inbound in links.values() for sender in inbound.links)})


# Links as one host has them: with interface names and addresses instead of nodes.


class TapPair(NamedTuple):
    """The taps that a frame enters and would leave by.

    A sender on another host has no tap here; its frames come by the tunnel and are known by their MAC address.
    """

    sender: str
    receiver: str

    @property
    def by_mac(self) -> bool:
        """Whether the sender is a MAC address."""
        return ":" in self.sender


@dataclass(frozen=True, slots=True)
class FirewallState:
    """The pairs of taps between which nothing passes, each with the time at which it heals by itself, or None."""

    cuts: Mapping[TapPair, datetime | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TapQdisc:
    """How a tap treats what it passes to its node: impairments by the sender's MAC address."""

    senders: Mapping[str, Impairment] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostLinks:
    """All links of a cluster as one host has them; the queue of a tap without an entry is not ours."""

    firewall: FirewallState = FirewallState()
    taps: Mapping[str, TapQdisc] = field(default_factory=dict)
    down: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Port:
    """Where a node is plugged in, and the MAC address of its frames."""

    tap: str
    mac: str


@dataclass(frozen=True, slots=True)
class Ports:
    """A cluster's nodes on one host; `host_mac` is the bridge's own address.

    `elsewhere` has the MAC addresses of nodes on other hosts, which send here and receive there.
    """

    nodes: Mapping[str, Port]
    host_mac: str | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict)


# When two states count as equal.

EXPIRY_TOLERANCE = timedelta(seconds=2)
"""nft shows the time a cut has left in whole seconds."""


def changed_taps(have: Mapping[str, TapQdisc], want: Mapping[str, TapQdisc]) -> tuple[str, ...]:
    """The taps whose queues differ, sorted; no entry counts as an entry without senders."""
    nothing = TapQdisc()
    return tuple(sorted(tap for tap in have.keys() | want.keys() if have.get(tap, nothing) != want.get(tap, nothing)))


def same_cuts(have: FirewallState, want: FirewallState) -> bool:
    """Whether the same pairs are cut, each until about the same time."""
    return have.cuts.keys() == want.cuts.keys() and all(
        same_time(expires_at, want.cuts[pair]) for pair, expires_at in have.cuts.items()
    )


def same_time(one: datetime | None, other: datetime | None) -> bool:
    """Whether two expiry times are equal within the precision that a host can show; None means never."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= EXPIRY_TOLERANCE
