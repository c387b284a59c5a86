"""Cuts through `iptables` and `ip6tables`, where the kernel shows them the frames that cross a bridge."""

from collections.abc import Callable, Iterable
from datetime import datetime

from reconciler.errors import HostCapabilityMissing, HostCommandFailed
from reconciler.host.capabilities import Capabilities
from reconciler.host.features import IP6TABLES, IPTABLES
from reconciler.host.firewall.backend import BROKEN, FoundCuts
from reconciler.host.firewall.iptables_codec import ARP_PASSES, Chains, parse_save, render_restore
from reconciler.model.links import FirewallState
from reconciler.process import RunCommand, replay_line
from reconciler.together import together

_FEATURES = {"iptables": IPTABLES, "ip6tables": IP6TABLES}
PROGRAMS = tuple(_FEATURES)

_SWITCHES = tuple(f"/proc/sys/net/bridge/bridge-nf-call-{program}" for program in PROGRAMS)
_LOCK_WAIT_S = "10"  # others hold /run/xtables.lock; the nf_tables variant needs no lock and ignores this
_BLIND = "iptables does not see what crosses a bridge: br_netfilter is not loaded or switched off"
_OPEN_EYES = (
    "use `firewall: nftables`; or load br_netfilter and set net.bridge.bridge-nf-call-iptables and -ip6tables to 1, "
    f"which also puts the guests' traffic under every other rule of iptables. Note that {ARP_PASSES}"
)


class Iptables:
    """A `Firewall` for IPv4 and IPv6; ARP passes."""

    def __init__(self, run: RunCommand, capabilities: Capabilities, now: Callable[[], datetime]) -> None:
        self._run = run
        self._capabilities = capabilities
        self._now = now

    async def refusal(self) -> str | None:
        for feature in _FEATURES.values():
            if complaint := await self._capabilities.complaint(feature):
                return complaint
        return _BLIND if await self._blind() else None

    async def observe(self, cluster: str) -> FoundCuts:
        saved, blind = await together(together(*map(self._save, PROGRAMS)), self._blind())
        chains = {program: parse_save(text, cluster) for program, text in zip(PROGRAMS, saved, strict=True)}
        return FoundCuts(_together(chains.values(), blind=blind), chains, blind=blind)

    async def apply(self, cluster: str, wanted: FirewallState, found: FoundCuts) -> None:
        if found.blind and wanted.cuts:
            raise HostCapabilityMissing(_BLIND, hint=_OPEN_EYES)
        now = self._now()
        inputs = {
            program: render_restore(cluster, wanted, found.chains.get(program, Chains()), now) for program in PROGRAMS
        }
        # Both are waited for: nothing of this round may still be at work when the next one looks.
        await together(*(self._restore(program, text) for program, text in inputs.items() if text))

    async def _save(self, program: str) -> bytes:
        """What stands in the table; nothing where the program is missing, or the kernel has no such table."""
        try:
            done = await self._run([f"{program}-save", "-t", "filter"], check=False)
        except HostCapabilityMissing:
            return b""
        if done.exit_code == 0 or await self._capabilities.complaint(_FEATURES[program]):
            return done.stdout
        complaint = done.stderr.decode(errors="replace").strip()
        raise HostCommandFailed(f"exit code {done.exit_code} from: {replay_line(done.argv)}\n{complaint}")

    async def _restore(self, program: str, text: str) -> None:
        await self._run([f"{program}-restore", "--noflush", "--wait", _LOCK_WAIT_S], stdin=text.encode())

    async def _blind(self) -> bool:
        done = await self._run(["cat", *_SWITCHES], check=False)
        return done.stdout.split() != [b"1"] * len(_SWITCHES)


def _together(chains: Iterable[Chains], *, blind: bool) -> FirewallState:
    """The cuts that both families have; where they differ or are not asked, they are of no use."""
    first, *others = (found.firewall for found in chains)
    if not first.cuts and not any(other.cuts for other in others):
        return first
    return BROKEN if blind or any(other != first for other in others) else first
