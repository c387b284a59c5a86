"""Cuts on a host, in the firewall that was chosen; our leftovers in another one are removed."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from reconciler.concurrency import together
from reconciler.errors import HostCapabilityMissing
from reconciler.host.capabilities import Capabilities
from reconciler.host.firewall.firewall_interface import BROKEN, Firewall, FoundCuts
from reconciler.host.firewall.iptables import Iptables
from reconciler.host.firewall.nftables import Nftables
from reconciler.host.netlink.dump import Kernel
from reconciler.model.links import FirewallChoice, FirewallState
from reconciler.process import RunCommand


class NoFirewall(HostCapabilityMissing):
    """No firewall on this host can cut links."""


class FirewallDriver:
    """The cuts of one host. `auto` is decided once: the first of nftables and iptables that really works.

    The other firewall is checked once for each cluster: only an earlier process, with another setting, can have left
    something there.
    """

    def __init__(
        self,
        choice: FirewallChoice,
        run: RunCommand,
        capabilities: Capabilities,
        now: Callable[[], datetime],
        kernel: Kernel | None = None,
    ) -> None:
        self._firewalls: Mapping[FirewallChoice, Firewall] = {
            FirewallChoice.NFTABLES: Nftables(run, capabilities, now, kernel),
            FirewallChoice.IPTABLES: Iptables(run, capabilities, now, kernel),
        }
        self._chosen: FirewallChoice | None = None if choice is FirewallChoice.AUTO else choice
        self._only_in_chosen: set[str] = set()

    async def chosen(self) -> FirewallChoice:
        """The firewall that cuts.

        Raises `NoFirewall` if none works, and another `HostCapabilityMissing` if none can be tried.
        """
        if self._chosen is None:
            refusals = []
            for choice, firewall in self._firewalls.items():
                if (refusal := await firewall.refusal()) is None:
                    self._chosen = choice
                    return choice
                refusals.append(f"{choice}: {refusal}")
            message = f"no firewall on this host can cut links; {'; '.join(refusals)}"
            raise NoFirewall(message, hint="install nftables; `host_doctor` names what is missing")
        return self._chosen

    async def observe(self, cluster: str) -> FoundCuts:
        """Read the cluster's cuts from the chosen firewall; `BROKEN` if another one has some too.

        Raises `HostCapabilityMissing` and `HostCommandFailed` if one of them cannot be read.
        """
        try:
            chosen = await self.chosen()
        except NoFirewall:
            return FoundCuts(BROKEN) if await self.has_any(cluster) else FoundCuts()
        found = await self._firewalls[chosen].observe(cluster)
        if await self._elsewhere(cluster, chosen):
            return FoundCuts(BROKEN, found.chains, found.blind)
        return found

    async def apply(self, cluster: str, wanted: FirewallState, found: FoundCuts) -> None:
        """Make these the cluster's only cuts, in the chosen firewall, and remove those in another one."""
        try:
            chosen = await self.chosen()
        except NoFirewall:
            if wanted.cuts:
                raise
            await self.clear(cluster)
            return
        await self._firewalls[chosen].apply(cluster, wanted, found)
        if cluster not in self._only_in_chosen:
            await together(
                *(_clear(firewall, cluster) for choice, firewall in self._firewalls.items() if choice is not chosen)
            )

    async def clear(self, cluster: str) -> None:
        """Remove every cut of a cluster from every firewall."""
        await together(*(_clear(firewall, cluster) for firewall in self._firewalls.values()))

    async def has_any(self, cluster: str) -> bool:
        """Whether any firewall has rules of a cluster, even if they no longer cut anything."""
        return await _any_of(cluster, self._firewalls.values())

    async def _elsewhere(self, cluster: str, chosen: FirewallChoice) -> bool:
        if cluster in self._only_in_chosen:
            return False
        others = [firewall for choice, firewall in self._firewalls.items() if choice is not chosen]
        if await _any_of(cluster, others):
            return True
        self._only_in_chosen.add(cluster)
        return False


async def _any_of(cluster: str, firewalls: Iterable[Firewall]) -> bool:
    found = await together(*(firewall.observe(cluster) for firewall in firewalls))
    return any(of.firewall.cuts for of in found)


async def _clear(firewall: Firewall, cluster: str) -> None:
    found = await firewall.observe(cluster)
    if found.firewall.cuts:
        await firewall.apply(cluster, FirewallState(), found)
