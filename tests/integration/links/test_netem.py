"""Impairments as the kernel makes them, in a guest that plays the host: this host's kernel may have no netem.

The driver is the one that runs on hosts; only its commands go through SSH. The guest is emulated and its clock is
noisy, so delays are compared by their medians, with a stream through the same machine right before.
"""

import math
import re
import shlex
import statistics
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from reconciler.errors import HostCapabilityMissing
from reconciler.guest.address import GuestAddress
from reconciler.guest.pool import SshPool
from reconciler.host.links.link_driver import LinkDriver
from reconciler.model.choices import Distribution
from reconciler.model.links import FirewallChoice, HostLinks, Impairment, Ports, TapQdisc
from reconciler.process import Completed
from tests.integration.bed import Session, temporary_bed
from tests.integration.links.conftest import CLUSTER
from tests.integration.links.segment import BRIDGE, HOST_MAC, NETWORK, Arrival, Segment, mac, segment, tap
from tests.integration.links.test_cuts import both_ways, reach
from tests.waiting import BOOT_TIMEOUT_S

GUEST_CLUSTER = "playhost"
NODES = ("n0", "n1", "n2")
OUTPUT_LIMIT_BYTES = 16 << 20
PROGRAM_MISSING = 127

PACKETS = 1500
INTERVAL_S = 0.003
LIMIT = 4000


class OverSsh:
    """Runs commands on a guest as root, in the place of `process.run`."""

    def __init__(self, pool: SshPool, address: GuestAddress) -> None:
        self._pool = pool
        self._address = address

    async def __call__(
        self, argv: Sequence[str], *, timeout_s: float = 60.0, stdin: bytes | None = None, check: bool = True
    ) -> Completed:
        command = shlex.join(argv)
        done = await self._pool.run(
            self._address, command, timeout_s=timeout_s, stdin=stdin, output_limit_bytes=OUTPUT_LIMIT_BYTES
        )
        if done.exit_code == PROGRAM_MISSING:
            raise HostCapabilityMissing(f"the program {argv[0]!r} is not installed")
        assert not check or done.exit_code == 0, f"{command}: {done.stderr}"
        return Completed(tuple(argv), done.exit_code, done.stdout.encode(), done.stderr.encode(), done.duration_s)


@pytest.fixture(scope="module")
async def playhost() -> AsyncIterator[Segment]:
    """Three nodes on a bridge of a guest."""
    with temporary_bed() as bed:
        bed.write_topology(GUEST_CLUSTER, nodes=1, boots=True)
        async with bed.runtime() as runtime:
            session = Session(runtime)
            await session.clusters.apply(GUEST_CLUSTER, timeout_s=BOOT_TIMEOUT_S)
            run = OverSsh(runtime.ssh, await session.nodes.address(GUEST_CLUSTER, "n0"))
            async with segment(run, NODES, python="python3") as made:
                yield made
            await session.clusters.destroy(GUEST_CLUSTER, remove_overlays=True)


@pytest.fixture
async def driver(playhost: Segment) -> AsyncIterator[LinkDriver]:
    """The driver for that host; afterwards all our rules are gone, and everything passes."""
    made = LinkDriver(run=playhost.run)
    yield made
    await reach(playhost, made, HostLinks())
    assert await made.shaped_taps(port.tap for port in playhost.ports.nodes.values()) == frozenset()
    healed = await playhost.stream("n0", "n1", packets=100, interval_s=INTERVAL_S)
    assert [arrival.number for arrival in healed] == list(range(100))


def impaired(impairment: Impairment, sender: int = 0, receiver: str = "n1") -> HostLinks:
    return HostLinks(taps={tap(receiver): TapQdisc({mac(sender): impairment})})


async def stream(segment: Segment, sender: str = "n0", receiver: str = "n1", packets: int = PACKETS) -> list[Arrival]:
    return await segment.stream(sender, receiver, packets=packets, interval_s=INTERVAL_S)


def median_ms(arrivals: Sequence[Arrival]) -> float:
    return statistics.median(arrival.delay_ms for arrival in arrivals)


async def median_rtt_ms(segment: Segment, receiver: str, *, sender: str | None) -> float:
    """By ping; without a sender from the host itself."""
    address = f"{NETWORK}.{NODES.index(receiver) + 10}"
    inside = ["ip", "netns", "exec", sender] if sender else []
    done = await segment.run([*inside, "ping", "-n", "-c", "60", "-i", "0.02", "-W", "2", address])
    return statistics.median(float(found) for found in re.findall(rb"time=([0-9.]+) ms", done.stdout))


def assert_added(measured_ms: float, before_ms: float, expected_ms: float) -> None:
    assert measured_ms - before_ms == pytest.approx(expected_ms, abs=max(5.0, expected_ms / 10))


def assert_share(found: int, of: int, share_pct: float) -> None:
    """As many as chance allows: four standard deviations of a binomial distribution."""
    share = share_pct / 100
    assert found / of == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / of))


async def test_a_delay_is_added_for_one_pair_in_one_direction(playhost: Segment, driver: LinkDriver) -> None:
    before = {pair: median_ms(await stream(playhost, *pair, packets=150)) for pair in playhost.pairs}
    await reach(playhost, driver, impaired(Impairment(delay_ms=80, limit_packets=LIMIT)))
    for pair in playhost.pairs:
        after = median_ms(await stream(playhost, *pair, packets=150))
        assert_added(after, before[pair], 80 if pair == ("n0", "n1") else 0)


async def test_a_round_trip_is_longer_by_what_each_way_adds_and_the_host_is_left_alone(
    playhost: Segment, driver: LinkDriver
) -> None:
    node = await median_rtt_ms(playhost, "n1", sender="n0")
    host = await median_rtt_ms(playhost, "n1", sender=None)
    there, back = Impairment(delay_ms=30, limit_packets=LIMIT), Impairment(delay_ms=50, limit_packets=LIMIT)
    await reach(playhost, driver, HostLinks(taps={**impaired(there).taps, **impaired(back, 1, "n0").taps}))
    assert_added(await median_rtt_ms(playhost, "n1", sender="n0"), node, 80)
    assert_added(await median_rtt_ms(playhost, "n1", sender=None), host, 0)


async def test_what_the_host_sends_is_late_where_asked(playhost: Segment, driver: LinkDriver) -> None:
    node = await median_rtt_ms(playhost, "n1", sender="n0")
    host = await median_rtt_ms(playhost, "n1", sender=None)
    late = Impairment(delay_ms=60, limit_packets=LIMIT)
    await reach(playhost, driver, HostLinks(taps={tap("n1"): TapQdisc({HOST_MAC: late})}))
    assert_added(await median_rtt_ms(playhost, "n1", sender=None), host, 60)
    assert_added(await median_rtt_ms(playhost, "n1", sender="n0"), node, 0)


@pytest.mark.parametrize("distribution", [Distribution.UNIFORM, Distribution.NORMAL])
async def test_a_jitter_spreads_the_delay(playhost: Segment, driver: LinkDriver, distribution: Distribution) -> None:
    before = median_ms(await stream(playhost, packets=300))
    jitter = Impairment(delay_ms=100, jitter_ms=30, distribution=distribution, limit_packets=LIMIT)
    await reach(playhost, driver, impaired(jitter))
    # Nine tenths of a uniform spread of 60 ms less one tenth; of a normal one with a deviation of 30 ms, 2.56 of it.
    expected = pytest.approx(48 if distribution is Distribution.UNIFORM else 76.9, rel=0.2)
    spreads: list[float] = []
    while expected not in spreads and len(spreads) < 3:  # a busy host adds delays of its own
        delays = sorted(arrival.delay_ms for arrival in await stream(playhost))
        assert_added(statistics.median(delays), before, 100)
        spreads.append(delays[-len(delays) // 10] - delays[len(delays) // 10])
    assert expected in spreads


async def test_packets_are_lost(playhost: Segment, driver: LinkDriver) -> None:
    await reach(playhost, driver, impaired(Impairment(loss_pct=10, limit_packets=LIMIT)))
    assert_share(PACKETS - len(await stream(playhost)), PACKETS, 10)
    assert len(await stream(playhost, "n1", "n0", packets=300)) == 300
    assert len(await stream(playhost, "n2", "n1", packets=300)) == 300


async def test_packets_are_duplicated(playhost: Segment, driver: LinkDriver) -> None:
    await reach(playhost, driver, impaired(Impairment(duplicate_pct=20, limit_packets=LIMIT)))
    arrivals = await stream(playhost)
    assert {arrival.number for arrival in arrivals} == set(range(PACKETS))
    assert_share(len(arrivals) - PACKETS, PACKETS, 20)


async def test_packets_are_corrupted(playhost: Segment, driver: LinkDriver) -> None:
    await reach(playhost, driver, impaired(Impairment(corrupt_pct=15, limit_packets=LIMIT)))
    arrivals = await playhost.stream("n0", "n1", packets=PACKETS, interval_s=INTERVAL_S, payload_bytes=1200)
    # A flipped bit in a header may have the packet thrown away instead.
    assert any(not arrival.intact for arrival in arrivals)
    assert_share(PACKETS - sum(arrival.intact for arrival in arrivals), PACKETS, 15)


async def test_packets_overtake_delayed_ones(playhost: Segment, driver: LinkDriver) -> None:
    await reach(
        playhost, driver, impaired(Impairment(delay_ms=100, reorder_pct=25, reorder_gap=1, limit_packets=LIMIT))
    )
    arrivals = await stream(playhost)
    assert len(arrivals) == PACKETS
    assert_share(sum(arrival.delay_ms < 60 for arrival in arrivals), PACKETS, 25)
    assert [arrival.number for arrival in arrivals] != sorted(arrival.number for arrival in arrivals)


@pytest.mark.parametrize("delay_ms", [0, 40])
async def test_a_rate_is_kept(playhost: Segment, driver: LinkDriver, delay_ms: float) -> None:
    await reach(playhost, driver, impaired(Impairment(rate_kbit=1500, delay_ms=delay_ms, limit_packets=LIMIT)))
    whole: list[float] = []
    usual: list[float] = []
    while pytest.approx(1500, rel=0.15) not in usual and len(usual) < 3:  # a busy host holds packets up in between
        arrivals = await playhost.stream("n0", "n1", packets=300, interval_s=0, payload_bytes=1400, wait_s=6)
        assert len(arrivals) == 300
        whole.append(kbit_per_s(arrivals[20:]))
        usual.append(statistics.median(kbit_per_s(arrivals[at : at + 20]) for at in range(20, 281, 10)))
    assert max(whole) < 1.15 * 1500
    assert pytest.approx(1500, rel=0.15) in usual


def kbit_per_s(arrivals: Sequence[Arrival]) -> float:
    """How fast packets of 1,400 bytes came, with their headers."""
    kbit = (len(arrivals) - 1) * 8 * (1400 + 42) / 1000
    return kbit / ((arrivals[-1].received_ns - arrivals[0].received_ns) / 1e9)


async def test_everything_at_once_for_two_senders_and_nothing_for_the_third(
    playhost: Segment, driver: LinkDriver
) -> None:
    before = median_ms(await stream(playhost, packets=300))
    one = Impairment(delay_ms=60, loss_pct=5, corrupt_pct=5, rate_kbit=20_000, limit_packets=LIMIT)
    other = Impairment(loss_pct=20, limit_packets=LIMIT)
    await reach(playhost, driver, HostLinks(taps={tap("n1"): TapQdisc({mac(0): one, mac(2): other})}))
    arrivals = await stream(playhost)
    assert_added(median_ms(arrivals), before, 60)
    assert_share(PACKETS - sum(arrival.intact for arrival in arrivals), PACKETS, 100 * (1 - 0.95 * 0.95))
    assert_share(PACKETS - len(await stream(playhost, "n2", "n1")), PACKETS, 20)
    assert len(await stream(playhost, "n1", "n2", packets=300)) == 300


async def test_a_change_touches_what_differs_and_what_is_under_way_arrives(
    playhost: Segment, driver: LinkDriver
) -> None:
    before = median_ms(await stream(playhost, packets=300))
    for delay_ms, distribution in ((40.0, Distribution.NORMAL), (80.0, Distribution.UNIFORM)):
        jitter = Impairment(delay_ms=delay_ms, jitter_ms=5, distribution=distribution, limit_packets=LIMIT)
        await reach(playhost, driver, impaired(jitter))
        assert_added(median_ms(await stream(playhost, packets=500)), before, delay_ms)


async def test_duplicating_beside_another_impairment_is_refused_by_name_and_heals(
    playhost: Segment, driver: LinkDriver
) -> None:
    lossy = Impairment(loss_pct=1, limit_packets=LIMIT)
    double = Impairment(duplicate_pct=5, limit_packets=LIMIT)
    wanted = HostLinks(taps={tap("n1"): TapQdisc({mac(0): lossy, mac(2): double})})
    observed = await driver.observe(CLUSTER, playhost.ports)
    with pytest.raises(HostCapabilityMissing, match="duplicat") as refused:
        await driver.apply(CLUSTER, wanted, observed, playhost.ports)
    assert refused.value.node == "n1"


async def test_the_same_driver_cuts_there_and_iptables_is_refused_where_bridges_are_not_filtered(
    playhost: Segment, driver: LinkDriver
) -> None:
    wanted = both_ways(("n0", "n1"))
    await reach(playhost, driver, wanted)
    heard = await playhost.between_nodes()
    assert heard == dict.fromkeys(heard, playhost.pairs - {("n0", "n1"), ("n1", "n0")})
    await reach(playhost, driver, HostLinks())
    by_iptables = LinkDriver(FirewallChoice.IPTABLES, playhost.run)
    with pytest.raises(HostCapabilityMissing, match="br_netfilter"):
        await reach(playhost, by_iptables, wanted)


AWAY_MAC = "52:aa:bb:cc:ee:01"
AWAY = f"""
netns add away
link add toaway type veth peer name uplink netns away
addr add 10.77.0.1/24 dev toaway
link set toaway up
link add vx0 type vxlan id 9 dstport 4789 local 10.77.0.1 remote 10.77.0.2
link set vx0 mtu 1450 master {BRIDGE} up
"""
IN_AWAY = f"""
addr add 10.77.0.2/24 dev uplink
link set uplink up
link add vx0 address {AWAY_MAC} type vxlan id 9 dstport 4789 local 10.77.0.2 remote 10.77.0.1
link set vx0 mtu 1450 up
addr add {NETWORK}.50/24 dev vx0
"""
"""A node on another host, whose frames come by a tunnel."""


class Joined(Segment):
    """A segment with a node on another host."""

    @property
    def ports(self) -> Ports:
        return replace(super().ports, elsewhere={"away": AWAY_MAC})


@pytest.fixture
async def joined(playhost: Segment) -> AsyncIterator[Joined]:
    """The segment of the host, and a node on another one."""
    await playhost.run(["ip", "-batch", "-"], stdin=AWAY.encode())
    await playhost.run(["ip", "-netns", "away", "-batch", "-"], stdin=IN_AWAY.encode())
    yield Joined(playhost.nodes, playhost.run, playhost.python)
    await playhost.run(["ip", "-batch", "-"], stdin=b"link delete vx0\nnetns delete away\n")


async def test_what_a_node_on_another_host_sends_is_late_where_it_arrives_and_nothing_else_is(
    joined: Joined, driver: LinkDriver
) -> None:
    before = {sender: await median_rtt_ms(joined, "n1", sender=sender) for sender in ("away", "n0")}
    late = Impairment(delay_ms=200, limit_packets=LIMIT)
    await reach(joined, driver, HostLinks(taps={tap("n1"): TapQdisc({AWAY_MAC: late})}))
    for sender, added_ms in (("away", 200), ("n0", 0)):
        assert_added(await median_rtt_ms(joined, "n1", sender=sender), before[sender], added_ms)
    await reach(joined, driver, HostLinks())
    assert_added(await median_rtt_ms(joined, "n1", sender="away"), before["away"], 0)
