"""The interface of every firewall that can cut links."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from reconciler.host.firewall.iptables_codec import Chains
from reconciler.model.links import LEFTOVER, FirewallState, TapPair

BROKEN = FirewallState({TapPair(LEFTOVER, LEFTOVER): None})
"""Rules that we made and that cut nothing that any desired state contains."""


@dataclass(frozen=True, slots=True)
class FoundCuts:
    """The working cuts of a cluster, and what is needed to change them: `chains` by program, of iptables only.

    `blind` says that no frame between taps reaches the firewall's rules.
    """

    firewall: FirewallState = field(default_factory=FirewallState)
    chains: Mapping[str, Chains] = field(default_factory=dict)
    blind: bool = False


class Firewall(Protocol):
    """One firewall of one host. If a program is not installed, nothing that it would have created exists."""

    async def refusal(self) -> str | None:
        """Why it cannot cut anything on this host; None if it can."""

    async def observe(self, cluster: str) -> FoundCuts:
        """Read the cluster's cuts."""

    async def apply(self, cluster: str, wanted: FirewallState, found: FoundCuts) -> None:
        """Make these the cluster's only cuts, in one transaction. Without cuts, remove all that vmcluster created."""
