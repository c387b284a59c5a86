"""What every firewall that can cut links offers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from reconciler.host.firewall.iptables_codec import Chains
from reconciler.model.links import LEFTOVER, FirewallState, TapPair

BROKEN = FirewallState({TapPair(LEFTOVER, LEFTOVER): None})
"""Something of ours that cuts nothing that could be wanted."""


@dataclass(frozen=True, slots=True)
class FoundCuts:
    """The cuts of a cluster that work, and what is needed to change them: `chains` by program, of iptables only.

    `blind` where no frame between taps reaches the firewall's rules.
    """

    firewall: FirewallState = field(default_factory=FirewallState)
    chains: Mapping[str, Chains] = field(default_factory=dict)
    blind: bool = False


class Firewall(Protocol):
    """One firewall of one host. Whatever lacks a program lacks what that program would have made."""

    async def refusal(self) -> str | None:
        """Why it can cut nothing on this host; None where it can."""

    async def observe(self, cluster: str) -> FoundCuts:
        """What stands of a cluster."""

    async def apply(self, cluster: str, wanted: FirewallState, found: FoundCuts) -> None:
        """Replace what was found by exactly these cuts, in one transaction; none: no trace of ours remains."""
