"""What a host does with frames between taps: read back, set as desired, and removed by our marks alone.

driver = LinkDriver(settings.firewall)
observed = await driver.observe(cluster, ports)
await driver.apply(cluster, compile_host(links, ports), observed, ports)
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from reconciler import process
from reconciler.concurrency import together
from reconciler.errors import ClusterError, HostCapabilityMissing, OperationFailed
from reconciler.host.capabilities import Capabilities, missing
from reconciler.host.features import NETEM
from reconciler.host.firewall.firewall_driver import FirewallDriver
from reconciler.host.firewall.firewall_interface import FoundCuts
from reconciler.host.netlink.dump import Kernel
from reconciler.host.tap import Cable, observe_cables, read_cables, set_cables
from reconciler.host.tc.tap_codec import TapTree
from reconciler.host.tc.tap_driver import TapDriver
from reconciler.model.links import FirewallChoice, HostLinks, Impairment, Ports, TapQdisc, changed_taps, same_cuts
from reconciler.process import RunCommand


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class ObservedLinks(HostLinks):
    """The links as a host has them, with what is needed to change them without looking again.

    `trees` and `cables` have every tap that is there.
    """

    cuts: FoundCuts = field(default_factory=FoundCuts)
    trees: Mapping[str, TapTree] = field(default_factory=dict)
    cables: Mapping[str, Cable] = field(default_factory=dict)


class LinkDriver:
    """Reads and changes the links of one host; holds nothing that cannot be read from it again.

    `run` runs a command on the host whose links these are, and `kernel` is its kernel: `process.run` for this one,
    whose kernel is known.
    """

    def __init__(
        self,
        firewall: FirewallChoice = FirewallChoice.AUTO,
        run: RunCommand = process.run,
        now: Callable[[], datetime] = _now,
        kernel: Kernel | None = None,
    ) -> None:
        self._capabilities = Capabilities(run)
        self._run = run
        self._kernel = Kernel() if run is process.run else kernel
        self._firewall = FirewallDriver(firewall, run, self._capabilities, now, self._kernel)
        self._taps = TapDriver(run, self._capabilities, self._kernel)

    async def chosen_firewall(self) -> FirewallChoice:
        """The firewall that cuts, never `auto`. Raises `HostCapabilityMissing` if none works."""
        return await self._firewall.chosen()

    async def require(self, impairment: Impairment) -> None:
        """Raise `HostCapabilityMissing` if this host is known to lack what an impairment needs.

        What this process may not try, because it does not run as root, shows when the links are set.
        """
        if not impairment.needs_netem:
            return
        try:
            complaint = await self._capabilities.complaint(NETEM)
        except HostCapabilityMissing:
            return
        if complaint:
            raise missing(NETEM, complaint)

    async def observe(self, cluster: str, ports: Ports) -> ObservedLinks:
        """The cluster's cuts, and the queues and state of those of its taps that exist.

        Raises `HostCapabilityMissing` and `HostCommandFailed` if something cannot be read.
        """
        taps = [port.tap for port in ports.nodes.values()]
        cuts, (cables, trees) = await together(self._firewall.observe(cluster), self._observe_taps(taps))
        return ObservedLinks(
            firewall=cuts.firewall,
            taps={tap: tree.shaping for tap, tree in trees.items() if tree.shaping.senders},
            down=frozenset(tap for tap, cable in cables.items() if not cable.up),
            cuts=cuts,
            trees=trees,
            cables=cables,
        )

    async def apply(self, cluster: str, wanted: HostLinks, observed: ObservedLinks, ports: Ports) -> None:
        """Make the links as wanted: one firewall transaction where cuts differ, one `tc -batch` for all changed taps.

        `observed` is what `observe` has just said, so after the taps came to be. What can be done is done before
        anything is raised: `HostCapabilityMissing` for what kernel or programs lack, with module and package;
        `Conflict` for a tap with somebody else's queue; `HostCommandFailed` and `OperationFailed`, which may pass.
        Killed anywhere, it is finished by the next observe and apply.
        """
        nodes = {port.tap: node for node, port in ports.nodes.items()}
        recut = not same_cuts(observed.firewall, wanted.firewall)
        changed = {tap: wanted.taps.get(tap, TapQdisc()) for tap in changed_taps(observed.taps, wanted.taps)}
        errors = [
            *(await _attempted(self._firewall.apply(cluster, wanted.firewall, observed.cuts)) if recut else []),
            *await self._taps.apply(changed, observed.trees, nodes),
            *await _attempted(set_cables(observed.cables, wanted.down, self._run)),
            *(_gone(tap, nodes.get(tap)) for tap in sorted(wanted.down - observed.cables.keys())),
        ]
        _raise_first(errors)

    async def clear(self, cluster: str, taps: Iterable[str], *, cuts: bool = True) -> None:
        """Remove all that is ours, by marks alone: the queues of those taps and, with `cuts`, the cluster's cuts.

        Missing taps are ignored. Those that are down are set up.
        """
        cables, trees = await self._observe_taps(taps)
        ours = {tap: TapQdisc() for tap, tree in trees.items() if tree.ours}
        errors = [
            *(await _attempted(self._firewall.clear(cluster)) if cuts else ()),
            *await self._taps.apply(ours, trees, {}),
            *await _attempted(set_cables(cables, (), self._run)),
        ]
        _raise_first(errors)

    async def has_cuts(self, cluster: str) -> bool:
        """Whether a firewall on the host has something of a cluster, even if it no longer cuts anything."""
        return await self._firewall.has_any(cluster)

    async def shaped_taps(self, taps: Iterable[str]) -> frozenset[str]:
        """Those of the taps that have a queue with our mark."""
        _, trees = await self._observe_taps(taps)
        return frozenset(tap for tap, tree in trees.items() if tree.ours)

    async def _observe_taps(self, taps: Iterable[str]) -> tuple[dict[str, Cable], dict[str, TapTree]]:
        cables = await observe_cables(taps, self._run) if self._kernel is None else read_cables(taps)
        trees = await self._taps.observe(cables.keys())
        return {tap: cable for tap, cable in cables.items() if tap in trees}, trees


def _gone(tap: str, node: str | None) -> ClusterError:
    return OperationFailed(f"the tap {tap} does not exist, or no longer", node=node)


async def _attempted(work: Awaitable[None]) -> list[ClusterError]:
    try:
        await work
    except ClusterError as error:
        return [error]
    return []


def _raise_first(errors: list[ClusterError]) -> None:
    """Raise an error that waiting does not fix before one that it may; its message names the others."""
    if not errors:
        return
    first, *others = sorted(errors, key=lambda error: not error.terminal)
    first.message = "; also: ".join([first.message, *(str(error) for error in others)])
    raise first
