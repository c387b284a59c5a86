"""Cuts through `iptables` and `ip6tables`, where the kernel passes them the frames that cross a bridge."""

from collections.abc import Callable, Iterable
from datetime import datetime

from reconciler.concurrency import together
from reconciler.errors import HostCapabilityMissing, HostCommandFailed
from reconciler.host.capabilities import Capabilities
from reconciler.host.features import IP6TABLES, IPTABLES
from reconciler.host.firewall.firewall_interface import BROKEN, FoundCuts
from reconciler.host.firewall.iptables_codec import ARP_PASSES, Chains, chain_name, parse_save, render_iptables_restore
from reconciler.host.netlink.dump import Kernel
from reconciler.host.netlink.dump_codec import Family
from reconciler.model.links import FirewallState
from reconciler.process import RunCommand, replay_line

_FEATURES = {"iptables": IPTABLES, "ip6tables": IP6TABLES}
_FAMILIES = {"iptables": Family.IPV4, "ip6tables": Family.IPV6}
PROGRAMS = tuple(_FEATURES)

_SWITCHES = tuple(f"/proc/sys/net/bridge/bridge-nf-call-{program}" for program in PROGRAMS)
_NO_TABLE = b"Table does not exist"  # libiptc/libiptc.c 1.8.9, on a kernel without iptables
_LOCK_WAIT_S = "10"  # others hold /run/xtables.lock; the nf_tables variant needs no lock and ignores this
_BLIND = "iptables does not see frames that cross a bridge: br_netfilter is not loaded or is disabled"
_OPEN_EYES = (
    "use `firewall: nftables`; or load br_netfilter and set net.bridge.bridge-nf-call-iptables and -ip6tables to 1, "
    f"which also makes every other rule of iptables apply to the guests' traffic. Note that {ARP_PASSES}"
)


class Iptables:
    """A `Firewall` for IPv4 and IPv6; ARP passes."""

    def __init__(
        self,
        run: RunCommand,
        capabilities: Capabilities,
        now: Callable[[], datetime],
        kernel: Kernel | None = None,
    ) -> None:
        self._run = run
        self._capabilities = capabilities
        self._now = now
        self._kernel = kernel

    async def refusal(self) -> str | None:
        for feature in _FEATURES.values():
            if complaint := await self._capabilities.complaint(feature):
                return complaint
        return _BLIND if await self._blind() else None

    async def observe(self, cluster: str) -> FoundCuts:
        saves = (self._save(program, cluster) for program in PROGRAMS)
        saved, blind = await together(together(*saves), self._blind())
        chains = {program: parse_save(text, cluster) for program, text in zip(PROGRAMS, saved, strict=True)}
        return FoundCuts(_together(chains.values(), blind=blind), chains, blind=blind)

    async def apply(self, cluster: str, wanted: FirewallState, found: FoundCuts) -> None:
        if found.blind and wanted.cuts:
            raise HostCapabilityMissing(_BLIND, hint=_OPEN_EYES)
        now = self._now()
        inputs = {
            program: render_iptables_restore(cluster, wanted, found.chains.get(program, Chains()), now)
            for program in PROGRAMS
        }
        # Both are waited for: nothing of this round may still be running when the next one looks.
        await together(*(self._restore(program, text) for program, text in inputs.items() if text))

    async def _save(self, program: str, cluster: str) -> bytes:
        """What is in the table; empty if the kernel says that it has nothing of the cluster."""
        try:
            done = await self._run([f"{program}-save", "-t", "filter"], check=False)
        except HostCapabilityMissing:
            if self._has_none(program, cluster):
                return b""
            raise
        if done.exit_code == 0:
            return done.stdout
        if _NO_TABLE in done.stderr or self._has_none(program, cluster):
            return b""
        complaint = done.stderr.decode(errors="replace").strip()
        raise HostCommandFailed(f"exit code {done.exit_code} from: {replay_line(done.argv)}\n{complaint}")

    def _has_none(self, program: str, cluster: str) -> bool:
        """Whether the kernel itself says so; no rule leads to a chain that does not exist."""
        chains = None if self._kernel is None else self._kernel.iptables_chains(_FAMILIES[program])
        return chains is not None and chain_name(cluster) not in chains

    async def _restore(self, program: str, text: str) -> None:
        await self._run([f"{program}-restore", "--noflush", "--wait", _LOCK_WAIT_S], stdin=text.encode())

    async def _blind(self) -> bool:
        done = await self._run(["cat", *_SWITCHES], check=False)
        return done.stdout.split() != [b"1"] * len(_SWITCHES)


def _together(chains: Iterable[Chains], *, blind: bool) -> FirewallState:
    """The cuts that both families have; one that they do not share, or that is never reached, is useless."""
    first, *others = (found.firewall for found in chains)
    if not first.cuts and not any(other.cuts for other in others):
        return first
    return BROKEN if blind or any(other != first for other in others) else first
