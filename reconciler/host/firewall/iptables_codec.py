"""Cuts as one chain per cluster, for both `iptables-restore --noflush` and `ip6tables-restore`.

Frames reach these rules only if the kernel passes bridged packets to iptables (`br_netfilter` loaded, the sysctls
`net.bridge.bridge-nf-call-iptables` and `-ip6tables` on), and ARP never does: `ARP_PASSES` tells the user. A rule
with a date (xt_time) heals without any process.

Facts: iptables 1.8.9 (nf_tables and legacy), iptables-extensions(8).
"""

import hashlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from reconciler.model.links import LEFTOVER, FirewallState, TapPair

OWNER = "vmcluster"
ARP_PASSES = "the iptables back end cuts IPv4 and IPv6; ARP still passes, so neighbours stay known"

_HOOK = "FORWARD"
_DATE = "%Y-%m-%dT%H:%M:%S"  # UTC, and to the second: iptables-extensions(8), time
_RULE = re.compile(
    r"-A (?P<chain>\S+) -m physdev (?:--physdev-in (?P<sender>\S+) )?--physdev-out (?P<receiver>\S+)"
    r"(?: -m mac --mac-source (?P<mac>\S+))?(?: -m time --datestop (?P<until>\S+))? -j DROP"
)
_ANY_JUMP = re.compile(rf'^-A {_HOOK} -m comment --comment "?{OWNER}-[a-z0-9-]+"? -j VMC-')


@dataclass(frozen=True, slots=True)
class Chains:
    """The state of one table of one address family. `firewall` contains only cuts that work.

    `jumps` counts our rules that lead to the chain; with `jumps_first`, only those of our other clusters come before.
    """

    firewall: FirewallState = field(default_factory=FirewallState)
    exists: bool = False
    jumps: int = 0
    jumps_first: bool = False


def chain_name(cluster: str) -> str:
    """The chain of a cluster; iptables allows 28 characters, so it is a digest of the name."""
    return f"VMC-{hashlib.sha256(cluster.encode()).hexdigest()[:16]}"


def render_iptables_restore(cluster: str, state: FirewallState, found: Chains, now: datetime) -> str:
    """Render the input of `iptables-restore --noflush` that replaces the cuts in `found`; none: no chain is left.

    One transaction, which names nothing but our chain and the jump to it. Empty if there is nothing to do.
    """
    rules = list(_rules(cluster, state, now))
    if not rules and not found.exists and not found.jumps:
        return ""
    body = [*_chain(cluster, found, rules)] if rules else [*_removal(cluster, found)]
    return "\n".join(["*filter", *body, "COMMIT", ""])


def parse_save(text: str | bytes, cluster: str) -> Chains:
    """Parse the state from `iptables-save -t filter`.

    A chain that does not work (empty, not reached first, or with a rule that is not ours) is a `LEFTOVER`.
    """
    lines = (text.decode(errors="replace") if isinstance(text, bytes) else text).splitlines()
    chain = chain_name(cluster)
    hook = [line for line in lines if line.startswith(f"-A {_HOOK} ")]
    jumps = [place for place, line in enumerate(hook) if _is_jump(line, cluster)]
    rules = [_RULE.fullmatch(line) for line in lines if line.startswith(f"-A {chain} ")]
    exists = any(line.startswith(f":{chain} ") for line in lines)
    first = bool(jumps) and all(map(_ANY_JUMP.match, hook[: jumps[0]]))
    cuts = dict(_cut(rule) for rule in rules if rule) if first and None not in rules else {}
    if not cuts and (exists or jumps):
        cuts = {TapPair(LEFTOVER, LEFTOVER): None}
    return Chains(firewall=FirewallState(cuts), exists=exists, jumps=len(jumps), jumps_first=first)


def _jump(cluster: str) -> str:
    return f"-m comment --comment {OWNER}-{cluster} -j {chain_name(cluster)}"


def _is_jump(line: str, cluster: str) -> bool:
    try:
        return shlex.split(line) == shlex.split(f"-A {_HOOK} {_jump(cluster)}")
    except ValueError:  # unbalanced quotes: not one of our rules
        return False


def _chain(cluster: str, found: Chains, rules: list[str]) -> Iterator[str]:
    yield f":{chain_name(cluster)} - [0:0]"  # creates it, or empties it
    if not (found.jumps_first and found.jumps == 1):
        yield from [f"-D {_HOOK} {_jump(cluster)}"] * found.jumps
        yield f"-I {_HOOK} 1 {_jump(cluster)}"
    yield from rules


def _removal(cluster: str, found: Chains) -> Iterator[str]:
    yield from [f"-D {_HOOK} {_jump(cluster)}"] * found.jumps
    if found.exists:
        yield f"-F {chain_name(cluster)}"
        yield f"-X {chain_name(cluster)}"


def _rules(cluster: str, state: FirewallState, now: datetime) -> Iterator[str]:
    for pair, expires_at in sorted(state.cuts.items()):
        if expires_at is None or expires_at > now:
            until = "" if expires_at is None else f" -m time --datestop {_date(expires_at)}"
            yield f"-A {chain_name(cluster)} -m physdev {_ends(pair)}{until} -j DROP"


def _ends(pair: TapPair) -> str:
    if pair.by_mac:
        return f"--physdev-out {pair.receiver} -m mac --mac-source {pair.sender}"
    return f"--physdev-in {pair.sender} --physdev-out {pair.receiver}"


def _date(expires_at: datetime) -> str:
    return (expires_at.astimezone(UTC) + timedelta(seconds=0.5)).strftime(_DATE)


def _cut(rule: re.Match[str]) -> tuple[TapPair, datetime | None]:
    until = rule["until"] and datetime.strptime(rule["until"], _DATE).replace(tzinfo=UTC)
    sender = rule["sender"] or (rule["mac"] or LEFTOVER).lower()
    return TapPair(sender, rule["receiver"]), until or None
