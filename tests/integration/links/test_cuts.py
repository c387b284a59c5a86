"""Cuts on a real bridge, through nft and through iptables, seen by what nodes hear of each other."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.errors import HostCapabilityMissing
from reconciler.host.firewall.iptables_codec import chain_name
from reconciler.host.links.link_driver import LinkDriver, ObservedLinks
from reconciler.model.links import FirewallChoice, FirewallState, HostLinks, TapPair, changed_taps, same_cuts
from reconciler.process import RunCommand
from tests.integration.links.conftest import CLUSTER, OnHost
from tests.integration.links.segment import KINDS, Pair, Segment, tap

BACK_ENDS = (FirewallChoice.NFTABLES, FirewallChoice.IPTABLES)
OTHERS_NFT = """
table bridge others {
  chain forward {
    type filter hook forward priority 0; policy accept;
    counter accept comment "theirs"
  }
}
table inet others {
  chain input {
    type filter hook input priority 0; policy accept;
    counter accept
  }
}
table bridge vmcluster-neighbour {
  set cuts {
    typeof iifname . oifname
    flags timeout
    elements = { "vmc-x" . "vmc-y" }
  }
  chain forward {
    type filter hook forward priority -250; policy accept;
    iifname . oifname @cuts counter drop comment "vmcluster"
  }
}
"""
OTHERS_IPTABLES = "*filter\n:THEIRS - [0:0]\n-A FORWARD -j THEIRS\n-A THEIRS -s 192.0.2.1 -j DROP\nCOMMIT\n"


def cuts(*pairs: Pair, until: datetime | None = None) -> HostLinks:
    return HostLinks(firewall=FirewallState({TapPair(tap(one), tap(other)): until for one, other in pairs}))


def both_ways(*pairs: Pair) -> HostLinks:
    return cuts(*pairs, *((other, one) for one, other in pairs))


async def reach(segment: Segment, driver: LinkDriver, wanted: HostLinks) -> ObservedLinks:
    """One round: observe, apply, observe again, and expect the desired state."""
    await driver.apply(CLUSTER, wanted, await driver.observe(CLUSTER, segment.ports), segment.ports)
    observed = await driver.observe(CLUSTER, segment.ports)
    assert same_cuts(observed.firewall, wanted.firewall)
    assert not changed_taps(observed.taps, wanted.taps)
    assert observed.down == wanted.down
    return observed


async def ruleset(run: RunCommand) -> str:
    """Every rule of the host, no matter who made it."""
    commands = (["nft", "-s", "list", "ruleset"], ["iptables-save"], ["ip6tables-save"])
    shown = [(await run(command)).stdout.decode() for command in commands]
    return "\n".join(line for text in shown for line in text.splitlines() if not line.startswith(("#", ":")))


async def made_by_others(run: RunCommand) -> None:
    """Rules of other users, and of another of our clusters."""
    await run(["nft", "-f", "-"], stdin=OTHERS_NFT.encode())
    for program in ("iptables", "ip6tables"):
        rules = OTHERS_IPTABLES.replace("192.0.2.1", "192.0.2.1" if program == "iptables" else "2001:db8::1")
        await run([f"{program}-restore", "--noflush"], stdin=rules.encode())


@pytest.mark.parametrize("choice", BACK_ENDS)
async def test_a_cut_separates_exactly_its_pairs_and_heals(four: Segment, choice: FirewallChoice, host: OnHost) -> None:
    driver = LinkDriver(choice, host)
    before = await ruleset(host)
    await reach(four, driver, both_ways(("n0", "n2"), ("n1", "n2")))
    heard = await four.between_nodes()
    lost = {("n0", "n2"), ("n2", "n0"), ("n1", "n2"), ("n2", "n1")}
    passes_arp = choice is FirewallChoice.IPTABLES
    assert heard == {kind: four.pairs - (set() if passes_arp and kind == "arp" else lost) for kind in KINDS}
    await reach(four, driver, HostLinks())
    assert await four.between_nodes() == dict.fromkeys(KINDS, four.pairs)
    assert await ruleset(host) == before


@pytest.mark.parametrize("choice", BACK_ENDS)
async def test_a_one_way_cut_leaves_the_way_back(four: Segment, choice: FirewallChoice, host: OnHost) -> None:
    await reach(four, LinkDriver(choice, host), cuts(("n0", "n1"), ("n3", "n1")))
    heard = await four.between_nodes()
    assert heard["ipv4"] == heard["ipv6"] == heard["broadcast"] == four.pairs - {("n0", "n1"), ("n3", "n1")}


@pytest.mark.parametrize("choice", BACK_ENDS)
async def test_a_cut_is_replaced_by_another_in_one_step(four: Segment, choice: FirewallChoice, host: OnHost) -> None:
    driver = LinkDriver(choice, host)
    observed = await reach(four, driver, cuts(("n0", "n1")))
    host.commands.clear()
    await driver.apply(CLUSTER, cuts(("n2", "n3")), observed, four.ports)
    assert len(host.commands) == (1 if choice is FirewallChoice.NFTABLES else 2)
    assert (await four.between_nodes())["ipv4"] == four.pairs - {("n2", "n3")}


@pytest.mark.parametrize("choice", BACK_ENDS)
async def test_nothing_is_run_where_nothing_differs(four: Segment, choice: FirewallChoice, host: OnHost) -> None:
    driver = LinkDriver(choice, host)
    wanted = both_ways(("n0", "n1"))
    observed = await reach(four, driver, wanted)
    host.commands.clear()
    await driver.apply(CLUSTER, wanted, observed, four.ports)
    assert host.commands == []


@pytest.mark.parametrize("choice", BACK_ENDS)
async def test_a_cut_ends_at_its_time_with_nobody_there_to_end_it(
    four: Segment, choice: FirewallChoice, host: OnHost
) -> None:
    driver = LinkDriver(choice, host)
    began = datetime.now(UTC)
    assert (await four.between_nodes())["ipv4"] == four.pairs
    ends = datetime.now(UTC) + timedelta(seconds=2) + 3 * (datetime.now(UTC) - began)  # it must be seen before
    await reach(four, driver, cuts(("n0", "n1"), until=ends))
    host.commands.clear()
    assert (await four.between_nodes())["ipv4"] == four.pairs - {("n0", "n1")}
    await asyncio.sleep((ends - datetime.now(UTC)).total_seconds() + 1.5)
    assert (await four.between_nodes())["ipv4"] == four.pairs
    assert {command[0] for command in host.commands} == {four.python}, "only those who listened were there"
    await reach(four, driver, HostLinks())
    assert "vmc-" not in await ruleset(host)
    assert "vmcluster" not in await ruleset(host)


@pytest.mark.parametrize("choice", BACK_ENDS)
async def test_what_is_somebody_elses_is_never_touched(four: Segment, choice: FirewallChoice, host: OnHost) -> None:
    await made_by_others(host)
    before = await ruleset(host)
    driver = LinkDriver(choice, host)
    await reach(four, driver, both_ways(("n0", "n1")))
    with_cuts = (await ruleset(host)).splitlines()
    assert not [line for line in before.splitlines() if line not in with_cuts]
    assert await driver.has_cuts(CLUSTER)
    assert await driver.has_cuts("neighbour")
    await reach(four, driver, HostLinks())
    assert await ruleset(host) == before
    await reach(four, driver, both_ways(("n0", "n1")))
    await driver.clear(CLUSTER, [])
    assert await ruleset(host) == before
    assert not await driver.has_cuts(CLUSTER)
    assert await driver.has_cuts("neighbour")


@pytest.mark.parametrize("choice", BACK_ENDS)
@pytest.mark.parametrize("program", ["iptables", "ip6tables"])
async def test_our_chain_that_nobody_jumps_to_is_seen_and_removed(
    four: Segment, choice: FirewallChoice, program: str, host: OnHost
) -> None:
    await host([program, "-N", chain_name(CLUSTER)])
    driver = LinkDriver(choice, host)
    assert await driver.has_cuts(CLUSTER)
    await reach(four, driver, HostLinks())
    assert not await driver.has_cuts(CLUSTER)
    assert chain_name(CLUSTER) not in await ruleset(host)


@pytest.mark.parametrize(
    ("choice", "flush"),
    [
        (FirewallChoice.NFTABLES, ["nft", "flush", "ruleset"]),
        (FirewallChoice.NFTABLES, ["nft", "flush", "chain", "bridge", f"vmcluster-{CLUSTER}", "forward"]),
        (FirewallChoice.NFTABLES, ["nft", "flush", "set", "bridge", f"vmcluster-{CLUSTER}", "cuts"]),
        (FirewallChoice.IPTABLES, ["iptables", "-F"]),
        (FirewallChoice.IPTABLES, ["ip6tables", "-F", "FORWARD"]),
        (FirewallChoice.IPTABLES, ["iptables", "-I", "FORWARD", "-j", "ACCEPT"]),
    ],
)
async def test_what_others_flush_is_a_difference_and_put_back(
    four: Segment, choice: FirewallChoice, flush: list[str], host: OnHost
) -> None:
    driver = LinkDriver(choice, host)
    wanted = both_ways(("n0", "n1"))
    await reach(four, driver, wanted)
    await host(flush)
    observed = await driver.observe(CLUSTER, four.ports)
    assert not same_cuts(observed.firewall, wanted.firewall)
    await reach(four, driver, wanted)
    heard = await four.between_nodes()
    assert heard["ipv4"] == heard["ipv6"] == four.pairs - {("n0", "n1"), ("n1", "n0")}


@pytest.mark.parametrize(("before", "after"), [BACK_ENDS, BACK_ENDS[::-1]])
async def test_a_host_whose_setting_changed_is_moved_to_the_other_firewall(
    four: Segment, before: FirewallChoice, after: FirewallChoice, host: OnHost
) -> None:
    clean = await ruleset(host)
    wanted = both_ways(("n0", "n1"))
    await reach(four, LinkDriver(before, host), wanted)
    observed = await LinkDriver(after, host).observe(CLUSTER, four.ports)
    assert not same_cuts(observed.firewall, wanted.firewall)
    await reach(four, LinkDriver(after, host), wanted)
    assert (await LinkDriver(before, host).observe(CLUSTER, four.ports)).firewall != wanted.firewall
    await reach(four, LinkDriver(after, host), HostLinks())
    assert await ruleset(host) == clean


async def test_clearing_removes_cuts_from_every_firewall(four: Segment, host: OnHost) -> None:
    clean = await ruleset(host)
    drivers = [LinkDriver(choice, host) for choice in BACK_ENDS]
    seen = [await driver.observe(CLUSTER, four.ports) for driver in drivers]
    for driver, observed in zip(drivers, seen, strict=True):
        await driver.apply(CLUSTER, cuts(("n0", "n1")), observed, four.ports)
    assert "vmcluster-lab" in await ruleset(host)
    assert "VMC-" in await ruleset(host)
    await LinkDriver(run=host).clear(CLUSTER, [])
    assert await ruleset(host) == clean


async def test_auto_takes_nftables_where_it_works(four: Segment, host: OnHost) -> None:
    driver = LinkDriver(FirewallChoice.AUTO, host)
    assert await driver.chosen_firewall() is FirewallChoice.NFTABLES
    await reach(four, driver, cuts(("n0", "n1")))
    assert "table bridge vmcluster-lab" in await ruleset(host)


async def test_iptables_refuses_where_it_does_not_see_bridged_frames(four: Segment, host: OnHost) -> None:
    driver = LinkDriver(FirewallChoice.IPTABLES, host)
    wanted = cuts(("n0", "n1"))
    await reach(four, driver, wanted)
    await host(["sysctl", "-q", "-w", "net.bridge.bridge-nf-call-ip6tables=0"])
    try:
        observed = await driver.observe(CLUSTER, four.ports)
        assert not same_cuts(observed.firewall, wanted.firewall)
        with pytest.raises(HostCapabilityMissing, match="br_netfilter") as refused:
            await driver.apply(CLUSTER, wanted, observed, four.ports)
        assert "ARP still passes" in str(refused.value)
        await reach(four, driver, HostLinks())
    finally:
        await host(["sysctl", "-q", "-w", "net.bridge.bridge-nf-call-ip6tables=1"])
