"""Queues and cables of real taps, as far as any kernel goes: rates, and what was there before."""

import json
from collections.abc import Iterator, Sequence

import pytest

from reconciler.errors import Conflict, HostCapabilityMissing, OperationFailed
from reconciler.host.features import NETEM, complaint_about
from reconciler.host.links.link_driver import LinkDriver
from reconciler.model.links import (
    HOST,
    FirewallChoice,
    FirewallState,
    HostLinks,
    Impairment,
    TapPair,
    TapQdisc,
    changed_taps,
    same_cuts,
)
from reconciler.process import Completed, RunCommand
from tests.integration.links.conftest import CLUSTER, OnHost
from tests.integration.links.segment import Segment, mac, tap
from tests.integration.links.test_cuts import both_ways, cuts, reach

SLOW = Impairment(rate_kbit=2000)


def slowed(*receivers: str, by: Impairment = SLOW, sender: int = 0) -> HostLinks:
    return HostLinks(taps={tap(node): TapQdisc({mac(sender): by}) for node in receivers})


async def roots(run: RunCommand) -> dict[str, tuple[str, str]]:
    """Kind and handle of each tap's root queue."""
    shown = json.loads((await run(["tc", "-j", "qdisc", "show"])).stdout)
    return {
        qdisc["dev"]: (qdisc["kind"], qdisc["handle"])
        for qdisc in shown
        if qdisc.get("root") and qdisc["dev"].startswith("vmc-")
    }


class Killed(BaseException):
    """This process is no more."""


class Doomed:
    """A runner that dies before or after the command of that number."""

    def __init__(self, run: RunCommand, at: int) -> None:
        self._run = run
        self._boundaries: Iterator[int] = iter(range(at, -1, -1))

    async def __call__(
        self, argv: Sequence[str], *, timeout_s: float = 60.0, stdin: bytes | None = None, check: bool = True
    ) -> Completed:
        self._pass()
        done = await self._run(argv, timeout_s=timeout_s, stdin=stdin, check=check)
        self._pass()
        return done

    def _pass(self) -> None:
        if next(self._boundaries, -1) == 0:
            raise Killed


async def test_a_rate_holds_for_its_sender_only(four: Segment, host: OnHost) -> None:
    await reach(four, LinkDriver(run=host), slowed("n1"))

    slow = await four.stream("n0", "n1", packets=200, interval_s=0, payload_bytes=1400, wait_s=1.6)
    other = await four.stream("n2", "n1", packets=200, interval_s=0, payload_bytes=1400, wait_s=0.3)
    back = await four.stream("n1", "n0", packets=200, interval_s=0, payload_bytes=1400, wait_s=0.3)
    frame_bits = 8 * (1400 + 42)
    seconds = (slow[-1].received_ns - slow[20].received_ns) / 1e9
    assert (len(slow) - 21) * frame_bits / seconds == pytest.approx(2_000_000, rel=0.15)
    for stream in (other, back):
        assert len(stream) == 200
        assert max(arrival.delay_ms for arrival in stream) < 200


async def test_what_the_host_sends_is_slowed_only_where_asked(four: Segment, host: OnHost) -> None:
    driver = LinkDriver(run=host)
    address = four.ports.host_mac
    assert address is not None
    await reach(four, driver, HostLinks(taps={tap("n1"): TapQdisc({address: SLOW})}))
    heard = await four.heard()
    assert {(HOST, "n1"), ("n0", "n1")} <= heard["ipv4"]
    await reach(four, driver, HostLinks())


@pytest.mark.parametrize("explicit", [False, True])
async def test_the_queue_that_was_there_is_put_back(four: Segment, explicit: bool, host: OnHost) -> None:
    if explicit:  # as libvirt does it
        await host(["tc", "qdisc", "replace", "dev", tap("n1"), "root", "noqueue"])
    before = await roots(host)
    assert (before[tap("n1")][1] != "0:") == explicit
    driver = LinkDriver(run=host)
    await reach(four, driver, slowed("n1", "n2"))
    assert {(await roots(host))[tap(node)][0] for node in ("n1", "n2")} == {"htb"}
    await reach(four, driver, HostLinks())
    after = await roots(host)
    assert {name: kind for name, (kind, _) in after.items()} == {name: kind for name, (kind, _) in before.items()}
    assert (after[tap("n1")][1] != "0:") == explicit


async def test_a_queue_of_somebody_elses_is_a_conflict_and_all_else_is_done(four: Segment, host: OnHost) -> None:
    driver = LinkDriver(run=host)
    await host(["tc", "qdisc", "replace", "dev", tap("n1"), "root", "handle", "77:", "pfifo", "limit", "50"])
    before = (await roots(host))[tap("n1")]
    wanted = HostLinks(cuts(("n0", "n3")).firewall, slowed("n1", "n2").taps)
    with pytest.raises(Conflict, match=r"vmc-n1 .*pfifo 77:") as refused:
        await driver.apply(CLUSTER, wanted, await driver.observe(CLUSTER, four.ports), four.ports)
    assert refused.value.node == "n1"
    observed = await driver.observe(CLUSTER, four.ports)
    assert same_cuts(observed.firewall, wanted.firewall)
    assert changed_taps(observed.taps, wanted.taps) == (tap("n1"),)
    await driver.clear(CLUSTER, [port.tap for port in four.ports.nodes.values()])
    assert (await roots(host))[tap("n1")] == before


async def test_without_netem_what_needs_it_is_refused_and_rates_and_cuts_work(four: Segment, host: OnHost) -> None:
    if await complaint_about(NETEM, host) is None:
        pytest.skip("this kernel has netem")
    driver = LinkDriver(run=host)
    late = Impairment(delay_ms=10, limit_packets=1000)
    wanted = HostLinks(
        cuts(("n0", "n3")).firewall,
        {tap("n1"): TapQdisc({mac(0): SLOW, mac(2): late}), tap("n2"): TapQdisc({mac(0): late})},
    )
    with pytest.raises(HostCapabilityMissing, match="sch_netem") as refused:
        await driver.apply(CLUSTER, wanted, await driver.observe(CLUSTER, four.ports), four.ports)
    assert "linux-image-amd64" in str(refused.value)
    observed = await driver.observe(CLUSTER, four.ports)
    assert observed.taps == {tap("n1"): TapQdisc({mac(0): SLOW})}
    assert same_cuts(observed.firewall, wanted.firewall)


@pytest.mark.parametrize(
    "damage",
    [
        ("qdisc", "del", "dev", "vmc-n1", "root"),
        ("filter", "del", "dev", "vmc-n1", "parent", "4d41:"),
        ("qdisc", "replace", "dev", "vmc-n1", "root", "noqueue"),
    ],
)
async def test_what_others_delete_is_a_difference_and_put_back(
    four: Segment, damage: tuple[str, ...], host: OnHost
) -> None:
    driver = LinkDriver(run=host)
    wanted = slowed("n1", "n2")
    await reach(four, driver, wanted)
    await host(["tc", *damage])
    observed = await driver.observe(CLUSTER, four.ports)
    assert changed_taps(observed.taps, wanted.taps) == (tap("n1"),)
    await reach(four, driver, wanted)
    await reach(four, driver, HostLinks())


async def test_a_change_of_cuts_and_of_many_taps_takes_two_commands(four: Segment, host: OnHost) -> None:
    driver = LinkDriver(run=host)
    observed = await reach(four, driver, slowed("n0", "n1"))
    wanted = HostLinks(both_ways(("n0", "n3")).firewall, slowed("n1", "n2", "n3", sender=2).taps)
    host.commands.clear()
    await driver.apply(CLUSTER, wanted, observed, four.ports)
    assert [command[0] for command in host.commands] == ["nft", "tc"]
    assert changed_taps((await driver.observe(CLUSTER, four.ports)).taps, wanted.taps) == ()


async def test_a_pulled_cable_is_heard_by_nobody_and_is_put_back(four: Segment, host: OnHost) -> None:
    driver = LinkDriver(run=host)
    await reach(four, driver, HostLinks(down=frozenset({tap("n2")})))
    heard = await four.heard()
    assert not [pair for pairs in heard.values() for pair in pairs if "n2" in pair]
    assert ("n0", "n1") in heard["ipv4"]
    await reach(four, driver, HostLinks())
    assert (await four.between_nodes())["ipv4"] == four.pairs


async def test_a_missing_tap_is_an_error_that_may_pass_and_the_others_are_shaped(four: Segment, host: OnHost) -> None:
    driver = LinkDriver(run=host)
    await host(["ip", "link", "del", tap("n3")])
    wanted = HostLinks(FirewallState({TapPair(tap("n0"), tap("n3")): None}), slowed("n1", "n3").taps)
    with pytest.raises(OperationFailed, match="vmc-n3") as failed:
        await driver.apply(CLUSTER, wanted, await driver.observe(CLUSTER, four.ports), four.ports)
    assert not failed.value.terminal
    observed = await driver.observe(CLUSTER, four.ports)
    assert observed.taps == slowed("n1").taps
    assert same_cuts(observed.firewall, wanted.firewall)


async def test_clearing_takes_everything_that_is_ours_off_the_taps(four: Segment, host: OnHost) -> None:
    driver = LinkDriver(run=host)
    before = await roots(host)
    wanted = HostLinks(taps=slowed("n1", "n2").taps, down=frozenset({tap("n0")}))
    await reach(four, driver, wanted)
    taps = [*(port.tap for port in four.ports.nodes.values()), "vmc-gone"]
    assert await driver.shaped_taps(taps) == {tap("n1"), tap("n2")}
    await LinkDriver(run=host).clear(CLUSTER, taps)
    assert await driver.shaped_taps(taps) == frozenset()
    assert await roots(host) == before
    assert (await four.between_nodes())["ipv4"] == four.pairs


@pytest.mark.parametrize("choice", [FirewallChoice.NFTABLES, FirewallChoice.IPTABLES])
@pytest.mark.parametrize("boundary", range(8))
async def test_killed_anywhere_the_next_round_ends_as_desired(
    four: Segment, boundary: int, choice: FirewallChoice, host: OnHost
) -> None:
    first = HostLinks(both_ways(("n0", "n1")).firewall, slowed("n1", "n2").taps, frozenset({tap("n3")}))
    second = HostLinks(cuts(("n2", "n3")).firewall, slowed("n2", by=Impairment(rate_kbit=500)).taps)
    for wanted in (first, second, HostLinks()):
        observed = await LinkDriver(choice, host).observe(CLUSTER, four.ports)
        try:
            await LinkDriver(choice, Doomed(host, boundary)).apply(CLUSTER, wanted, observed, four.ports)
        except Killed:
            await reach(four, LinkDriver(choice, host), wanted)
    await reach(four, LinkDriver(choice, host), HostLinks())
    assert not await LinkDriver(choice, host).has_cuts(CLUSTER)
    assert await LinkDriver(choice, host).shaped_taps(port.tap for port in four.ports.nodes.values()) == frozenset()
