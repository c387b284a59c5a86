"""What the driver makes of hosts that lack something, which no one machine does in every way."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import HostCapabilityMissing, HostCommandFailed
from reconciler.host.firewall.iptables_codec import chain_name
from reconciler.host.firewall.nftables_codec import table_name
from reconciler.host.links.link_driver import LinkDriver
from reconciler.host.netlink.dump import Kernel
from reconciler.host.netlink.dump_codec import Family
from reconciler.model.links import FirewallChoice, FirewallState, HostLinks, Impairment, Port, Ports, TapPair
from reconciler.process import Completed

PORTS = Ports({"n0": Port("vmc-a", "52:00:00:00:00:0a"), "n1": Port("vmc-b", "52:00:00:00:00:0b")})
CUT = HostLinks(FirewallState({TapPair("vmc-a", "vmc-b"): None}))
NO_NFT = {"unshare nft": (1, "unshare: failed to execute nft: No such file or directory")}
NO_IPTABLES = {"unshare iptables-restore": (1, "iptables-restore: Couldn't load match `physdev'")}


class Host:
    """A host without taps, on which programs are missing or answer as told; all else succeeds silently.

    What `ip` shows is `taps`.
    """

    def __init__(self, missing: Sequence[str], answers: Mapping[str, tuple[int, str]], taps: str = "") -> None:
        self._missing = missing
        self._answers = answers
        self._shown = {"ip": json.dumps([{"ifname": taps, "flags": ["UP"]}])} if taps else {}
        self.commands: list[str] = []

    async def __call__(
        self, argv: Sequence[str], *, timeout_s: float = 60.0, stdin: bytes | None = None, check: bool = True
    ) -> Completed:
        program = argv[argv.index("--") + 1] if "--" in argv else argv[0]
        name = f"unshare {program}" if argv[0] == "unshare" else program
        self.commands.append(name)
        if name in self._missing:
            raise HostCapabilityMissing(f"the program {name!r} is not installed")
        code, complaint = self._answers.get(name, (0, ""))
        return Completed(tuple(argv), code, self._shown.get(name, "").encode(), complaint.encode(), 0.0)


def driver(
    missing: Sequence[str] = (), choice: FirewallChoice = FirewallChoice.AUTO, **answers: tuple[int, str]
) -> tuple[LinkDriver, Host]:
    host = Host(missing, {name.replace("_", " "): answer for name, answer in answers.items()})
    return LinkDriver(choice, host), host


class Seen(Kernel):
    """A kernel that has these tables of nftables, and in those of iptables these chains."""

    def __init__(self, tables: Iterable[str] = (), chains: Iterable[str] = ()) -> None:
        self._tables, self._chains = frozenset(tables), frozenset(chains)

    def bridge_tables(self) -> frozenset[str]:
        return self._tables

    def iptables_chains(self, family: Family) -> frozenset[str]:
        return self._chains

    def root_queues(self, taps: Collection[str]) -> Mapping[str, None]:
        return dict.fromkeys(taps)


NO_PROGRAMS = ("nft", "iptables-save", "ip6tables-save", "tc", "ip")


async def test_a_host_with_no_firewall_at_all_has_no_cuts_and_refuses_to_make_any() -> None:
    host = Host(NO_PROGRAMS, {**NO_NFT, **NO_IPTABLES})
    links = LinkDriver(run=host, kernel=Seen(tables=["others"], chains=["FORWARD"]))
    observed = await links.observe("lab", PORTS)
    assert observed.firewall == FirewallState()
    with pytest.raises(HostCapabilityMissing, match=r"nftables: .*nft.*; iptables: .*physdev"):
        await links.apply("lab", CUT, observed, PORTS)
    await links.clear("lab", ["vmc-a"])
    assert not await links.has_cuts("lab")


@pytest.mark.parametrize(
    ("kernel", "missing", "program"),
    [
        (Seen(tables=[table_name("lab")]), NO_PROGRAMS, "nft"),
        (Seen(chains=[chain_name("lab")]), NO_PROGRAMS, "iptables-save"),
        (Seen(chains=[chain_name("lab")]), ["ip6tables-save"], "ip6tables-save"),
        (None, ["nft", "iptables-save", "ip6tables-save"], "nft"),
        (None, ["ip6tables-save"], "ip6tables-save"),
        (None, ["tc"], "tc"),
    ],
)
async def test_without_the_program_that_shows_them_cuts_are_not_taken_for_gone(
    kernel: Kernel | None, missing: Sequence[str], program: str
) -> None:
    answers = {**NO_NFT, **NO_IPTABLES} if "nft" in missing else {}
    links = LinkDriver(run=Host(missing, answers, taps="vmc-a"), kernel=kernel)
    for look in (links.observe("lab", PORTS), links.clear("lab", ["vmc-a"])):
        with pytest.raises(HostCapabilityMissing, match=f"'{program}' is not installed"):
            await look


@pytest.mark.parametrize(
    "complaint",
    ["nft: error while loading shared libraries: libnftables.so.1: No such file or directory", "Segmentation fault"],
)
async def test_a_program_that_is_broken_has_not_seen_that_there_is_nothing(complaint: str) -> None:
    answers = {"nft": (127, complaint), "unshare nft": (127, complaint), **NO_IPTABLES}
    for kernel in (None, Seen(tables=[table_name("lab")])):
        with pytest.raises(HostCommandFailed, match="exit code 127 from: nft"):
            await LinkDriver(run=Host((), answers), kernel=kernel).observe("lab", PORTS)


async def test_what_cannot_be_read_is_an_error_and_not_an_empty_host() -> None:
    links, _ = driver(nft=(1, "Operation not permitted (you must be root)"))
    with pytest.raises(HostCommandFailed, match="Operation not permitted"):
        await links.observe("lab", PORTS)


async def test_a_host_that_forbids_trying_is_an_error_and_not_an_empty_host() -> None:
    links, _ = driver(unshare_nft=(1, "unshare: unshare failed: Operation not permitted"))
    with pytest.raises(HostCapabilityMissing, match="cannot be tried"):
        await links.observe("lab", PORTS)


async def test_what_works_is_tried_once() -> None:
    links, host = driver(nft=(1, "Error: No such file or directory"))
    for _ in range(3):
        await links.observe("lab", PORTS)
    assert host.commands.count("unshare nft") == 1
    assert host.commands.count("iptables-save") == 1, "the other firewall is looked at once"


async def test_a_firewall_that_was_asked_for_is_not_replaced_by_another() -> None:
    host = Host(["nft"], NO_NFT)
    links = LinkDriver(FirewallChoice.NFTABLES, host, kernel=Seen())
    with pytest.raises(HostCapabilityMissing) as refused:
        await links.apply("lab", CUT, await links.observe("lab", PORTS), PORTS)
    assert refused.value.code is ErrorCode.HOST_CAPABILITY_MISSING
    assert not [command for command in host.commands if command.endswith("-restore")]


async def test_auto_falls_back_to_iptables_only_where_bridges_are_filtered() -> None:
    blind = Host(["nft"], NO_NFT)
    with pytest.raises(HostCapabilityMissing, match="br_netfilter"):
        await LinkDriver(run=blind).chosen_firewall()


async def test_a_kernel_without_iptables_does_not_keep_nftables_from_working() -> None:
    no_table = (1, "can't initialize iptables table `filter': Table does not exist (do you need to insmod?)")
    no_tables = {"iptables-save": no_table, "ip6tables-save": no_table, **NO_IPTABLES}
    host = Host([], {"nft": (1, "Error: No such file or directory"), **no_tables})
    links = LinkDriver(run=host)
    assert (await links.observe("lab", PORTS)).firewall == FirewallState()
    assert await links.chosen_firewall() is FirewallChoice.NFTABLES


async def test_what_the_kernel_is_known_to_lack_is_refused_before_there_is_a_tap() -> None:
    links, host = driver(unshare_tc=(2, "Error: Specified qdisc kind is unknown."))
    await links.require(Impairment(rate_kbit=100))
    assert host.commands == []
    with pytest.raises(HostCapabilityMissing, match="sch_netem"):
        await links.require(Impairment(delay_ms=10))


async def test_what_may_not_be_tried_is_left_to_those_who_may() -> None:
    links, _ = driver(unshare_tc=(1, "unshare: unshare failed: Operation not permitted"))
    await links.require(Impairment(delay_ms=10))
