"""Samples of nft and iptables; they are taken in the network namespace that this process is in."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from subprocess import run

from reconciler.host.firewall.iptables_codec import parse_save, render_iptables_restore
from reconciler.host.firewall.nftables_codec import render_transaction
from reconciler.model.links import FirewallState, TapPair
from tests.golden_samples import UNIT_TESTS, Sample

GOLDEN = UNIT_TESTS / "firewall" / "golden"
CLUSTER = "lab"
UNTIL = datetime(2026, 11, 22, 18, tzinfo=UTC)
"""When the cuts of the iptables samples end; in those of nft, 300 s after they were made."""

_NOW = UNTIL - timedelta(seconds=300)
_CUTS = FirewallState({TapPair("vmc-0a", "vmc-0b"): None, TapPair("vmc-0b", "vmc-0c"): UNTIL})
_FROM_OTHER_HOSTS = FirewallState(
    {
        TapPair("vmc-0a", "vmc-0b"): None,
        TapPair("52:00:00:00:00:0c", "vmc-0b"): UNTIL,
        TapPair("52:00:00:00:00:0d", "vmc-0b"): None,
    }
)
"""Senders on other hosts are known by their MAC addresses."""
_TABLE = ("bridge", "vmcluster-lab")
_CHANGED_BY_PEOPLE = {
    "table": (),
    "emptied": ("flush", "set", *_TABLE, "cuts"),
    "accepting": ("insert", "rule", *_TABLE, "forward", "accept"),
    "without-rule": ("flush", "chain", *_TABLE, "forward"),
    "dormant": ("add", "table", *_TABLE, "{ flags dormant; }"),
}
_OTHERS_CHAINS = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
COMMIT
"""


def take() -> Iterator[Sample]:
    """All of them; afterwards there are no rules."""
    yield from _nft()
    yield from _iptables("iptables")
    for program in ("ip6tables", "iptables-legacy"):
        yield next(_iptables(program))


def _nft() -> Iterator[Sample]:
    version = _version("nft")
    for name, change in _CHANGED_BY_PEOPLE.items():
        _call("nft", "flush", "ruleset")
        _call("nft", "-f", "-", stdin=render_transaction(CLUSTER, _CUTS, _NOW))
        if change:
            _call("nft", *change)
        listed = _call("nft", "-j", "list", "table", *_TABLE)
        yield Sample(GOLDEN / f"{name}.nftables-{version}.json", listed)
    _call("nft", "flush", "ruleset")
    _call("nft", "-f", "-", stdin=render_transaction(CLUSTER, _FROM_OTHER_HOSTS, _NOW))
    yield Sample(GOLDEN / f"by_mac.nftables-{version}.json", _call("nft", "-j", "list", "table", *_TABLE))
    _call("nft", "flush", "ruleset")
    for table in ("vmcluster-lab", "other", "vmcluster-lab-2"):
        _call("nft", "add", "table", "bridge", table)
    yield Sample(GOLDEN / f"tables.nftables-{version}.txt", _call("nft", "list", "tables", "bridge"))
    _call("nft", "flush", "ruleset")


def _iptables(program: str) -> Iterator[Sample]:
    version = _version(program)
    save, restore = f"{program}-save", f"{program}-restore"

    def saved() -> str:
        return _call(save, "-t", "filter")

    def cut() -> str:
        _call(restore, stdin=_OTHERS_CHAINS)
        rules = render_iptables_restore(CLUSTER, _CUTS, parse_save(saved(), CLUSTER), _NOW)
        _call(restore, "--noflush", stdin=rules)
        return saved()

    chain = next(iter(re.findall(r"^:(VMC-\w+)", cut(), re.MULTILINE)))
    changes: dict[str, Callable[[], object]] = {
        "cuts": lambda: None,
        "unhooked": lambda: _call(program, "-F", "FORWARD"),
        "overtaken": lambda: _call(program, "-I", "FORWARD", "1", "-j", "ACCEPT"),
        "returning": lambda: _call(program, "-I", chain, "1", "-j", "RETURN"),
        "healed": lambda: _call(restore, stdin=_OTHERS_CHAINS),
    }
    for name, change in changes.items():
        cut()
        change()
        yield Sample(GOLDEN / f"{name}.{program}-{version}.txt", saved())


def _version(program: str) -> str:
    (found,) = re.findall(r"v([0-9.]+)", _call(program, "--version").partition("\n")[0])
    return str(found)


def _call(*command: str, stdin: str = "") -> str:
    done = run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout
