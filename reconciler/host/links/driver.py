"""What a host does with frames between taps: read back, made as wanted, and removed by our marks alone.

driver = LinkDriver(settings.firewall)
observed = await driver.observe(cluster, ports)
await driver.apply(cluster, compile_host(links, ports), observed, ports)
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from reconciler import process
from reconciler.host.tc.codec import TapTree
from reconciler.model.links import FirewallChoice, HostLinks, Ports
from reconciler.process import RunCommand


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class ObservedLinks(HostLinks):
    """The links as a host has them, with what is needed to change them without looking again."""

    trees: Mapping[str, TapTree] = field(default_factory=dict)


class LinkDriver:
    """Reads and changes the links of one host; holds nothing that cannot be read from it again.

    `run` runs a command on the host whose links these are: `process.run` for this one.
    """

    def __init__(
        self,
        firewall: FirewallChoice = FirewallChoice.AUTO,
        run: RunCommand = process.run,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._run = run
        self._now = now
        self._choice = firewall

    async def observe(self, cluster: str, ports: Ports) -> ObservedLinks:
        """The cluster's cuts, and the queues and state of those of its taps that are there.

        A host that lacks a program has nothing that the program would have made. Raises `HostCommandFailed`.
        """
        raise NotImplementedError

    async def apply(self, cluster: str, wanted: HostLinks, observed: ObservedLinks, ports: Ports) -> None:
        """Make the links as wanted: one firewall transaction where cuts differ, one `tc -batch` for all changed taps.

        `observed` is what `observe` has just said, so after the taps came to be. What can be done is done before
        anything is raised: `HostCapabilityMissing` for what kernel or programs lack, with module and package;
        `Conflict` for a tap with somebody else's queue; `HostCommandFailed` and `OperationFailed`, which may pass.
        Killed anywhere, it is finished by the next observe and apply.
        """
        raise NotImplementedError

    async def clear(self, cluster: str, taps: Iterable[str]) -> None:
        """Remove all that is ours, by marks alone: the cluster's cuts in every firewall, the queues of those taps.

        Taps that are gone are left out. Those that are down are put up.
        """
        raise NotImplementedError

    async def clusters_with_leftovers(self) -> frozenset[str]:
        """The clusters that have cuts on the host, in whichever firewall, whether or not somebody wants them."""
        raise NotImplementedError

    async def shaped_taps(self) -> frozenset[str]:
        """The taps on the host that have a queue with our mark, of whatever cluster they are."""
        raise NotImplementedError
