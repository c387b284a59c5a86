"""Reads, sets and removes what a host does with frames between taps.

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
    """Reads and changes the links of one host. Keeps no state that it could not read from the host again.

    `run` runs a command on that host, and `kernel` reads its kernel; with `process.run` it is this host's own.
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
        """Set the desired links: one firewall transaction if cuts differ, one `tc -batch` for all changed taps.

        `observed` is the result of `observe`, called after the taps were created. Everything that can be set is set
        before an error is raised: `HostCapabilityMissing` for a missing kernel module or program, with its name and
        package; `Conflict` for a tap with somebody else's queue; `HostCommandFailed` and `OperationFailed`, which may
        pass. If the process is killed, the next observe and apply finish the work.
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
        """Remove the queues with our mark from those taps, set the taps up and, with `cuts`, remove the cluster's cuts.

        Needs no record: it finds everything by its mark. Missing taps are ignored.
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
        """Whether a firewall on the host has rules of a cluster, even if they no longer cut anything."""
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
    """Raise the first terminal error, or else the first one; its message includes the others'."""
    if not errors:
        return
    first, *others = sorted(errors, key=lambda error: not error.terminal)
    first.message = "; also: ".join([first.message, *(str(error) for error in others)])
    raise first
