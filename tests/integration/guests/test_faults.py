"""Faults between real machines, seen by traffic of every kind over every directed pair.

Every question to a node goes over SSH from the host, so that all of this also shows that SSH works under drops.
"""

import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import libvirt
import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError
from reconciler.faults.link_verdicts import Verdict
from reconciler.faults.requests import Sides, impair_request, partition_request
from reconciler.model.choices import CutMode, Direction, ShapeName
from reconciler.model.faults import PartitionRequest
from reconciler.model.links import FirewallChoice, Impairment
from reconciler.model.names import tap_name
from reconciler.runtime import Runtime
from reconciler.usecases.fault_verification import FaultVerifier
from reconciler.usecases.network_faults import Faults
from tests.integration.bed import SHARED_CLUSTER as CLUSTER
from tests.integration.bed import Bed, Session, host_libvirt
from tests.integration.guests.conftest import SharedCluster
from tests.integration.guests.hearing import KINDS, PAIRS, Hearing, Pair
from tests.waiting import BOOT_TIMEOUT_S, PATIENCE_S, eventually

N0_ALONE = frozenset({("n0", "n1"), ("n1", "n0"), ("n0", "n2"), ("n2", "n0")})
ENDS = frozenset({("n0", "n2"), ("n2", "n0")})
TWO_GROUPS = partition_request(Sides(partition_a=["n0"], partition_b=["n1", "n2"]))

SHAPES: dict[str, tuple[PartitionRequest, frozenset[Pair]]] = {
    "two groups": (TWO_GROUPS, N0_ALONE),
    "three groups": (partition_request(Sides(groups=[["n0"], ["n1"], ["n2"]])), PAIRS),
    "one way": (
        partition_request(Sides(partition_a=["n0"], partition_b=["n1"]), direction=Direction.TO),
        frozenset({("n0", "n1")}),
    ),
    "the other way": (
        partition_request(Sides(partition_a=["n0"], partition_b=["n1", "n2"]), direction=Direction.FROM),
        frozenset({("n1", "n0"), ("n2", "n0")}),
    ),
    "halves": (partition_request(Sides(shape=ShapeName.HALVES)), N0_ALONE),
    "one": (
        partition_request(Sides(shape=ShapeName.ONE, node="n2")),
        ENDS | {("n1", "n2"), ("n2", "n1")},
    ),
    "bridge": (partition_request(Sides(shape=ShapeName.BRIDGE, node="n1")), ENDS),
    "majorities-ring": (
        partition_request(Sides(shape=ShapeName.MAJORITIES_RING)),
        frozenset({("n1", "n0"), ("n2", "n1"), ("n0", "n2")}),
    ),
    "grudge": (
        partition_request(Sides(shape=ShapeName.GRUDGE, grudge={"n2": ["n0"]})),
        frozenset({("n0", "n2")}),
    ),
}


@pytest.fixture(scope="module")
async def chattering(shared_cluster: SharedCluster) -> AsyncIterator[Hearing]:
    """All nodes chatter from here on, also while they are not listened to; the next module gets them rewound."""
    await shared_cluster.rewind()
    shared_cluster.touched = True
    hearing = Hearing(shared_cluster.session)
    await hearing.begin()
    yield hearing
    shared_cluster.touched = True


@pytest.fixture
async def hearing(chattering: Hearing) -> AsyncIterator[Hearing]:
    """All nodes chatter, and there is no fault; a test that restarts one lets it chatter again."""
    yield chattering
    await chattering.session.faults.heal_all(CLUSTER)


@asynccontextmanager
async def through(bed: Bed, firewall: FirewallChoice) -> AsyncIterator[Faults]:
    """The verbs of another process, which is configured to cut by this firewall."""
    async with Runtime(bed.settings.model_copy(update={"firewall": firewall})) as runtime:
        yield Faults(runtime, actor="test")


@pytest.mark.parametrize("firewall", [FirewallChoice.NFTABLES, FirewallChoice.IPTABLES])
async def test_each_shape_cuts_every_kind_of_traffic_where_it_should_and_nowhere_else_until_it_is_healed(
    hearing: Hearing, guest_bed: Bed, firewall: FirewallChoice
) -> None:
    leaking = ["arp"] if firewall is FirewallChoice.IPTABLES else []
    async with through(guest_bed, firewall) as faults:
        await hearing.only_passes(PAIRS)
        for shape, (request, cut) in SHAPES.items():
            handle = await faults.inject(CLUSTER, request)
            (listed,) = await faults.listing(CLUSTER)
            assert listed.parameters["applied"] is True, shape
            await hearing.only_passes(PAIRS - cut, leaking=leaking)
            assert await faults.heal(CLUSTER, handle.handle_id)
        await hearing.only_passes(PAIRS)
    assert (await hearing.session.clusters.plan(CLUSTER)).plan.converged


async def test_connections_stall_under_a_cut_and_go_on_when_it_is_healed(hearing: Hearing) -> None:
    kinds = (*KINDS, "flow")
    await hearing.only_passes(PAIRS, kinds=kinds)
    await hearing.session.faults.inject(CLUSTER, TWO_GROUPS)
    await hearing.only_passes(PAIRS - N0_ALONE, kinds=kinds)
    verified = await FaultVerifier(hearing.session.runtime).verify(CLUSTER)
    assert {link.verdict for link in verified.links} == {Verdict.CONFIRMED}, verified
    await hearing.session.faults.heal_all(CLUSTER)
    await hearing.only_passes(PAIRS, kinds=kinds)


async def test_a_pulled_cable_takes_a_node_from_the_others_and_from_the_host_until_it_is_healed(
    hearing: Hearing,
) -> None:
    sides = Sides(shape=ShapeName.ONE, node="n0")
    await hearing.session.faults.inject(CLUSTER, partition_request(sides, mode=CutMode.LINK_DOWN))
    await hearing.only_passes(PAIRS - N0_ALONE, nodes=["n1", "n2"])
    delivered = packets("n0", "tx")
    status = await hearing.session.inspection.status(CLUSTER)
    assert [node.ssh_reachable for node in status.nodes] == [False, True, True]
    assert packets("n0", "tx") == delivered
    await hearing.session.faults.heal_all(CLUSTER)
    await hearing.only_passes(PAIRS)


class FirstLook:
    """Looks at the host when a node that was cut off is about to run."""

    def __init__(self) -> None:
        self.state = 0
        self.rates: list[str] = []
        self.cuts = 0

    def __call__(self, name: str) -> None:
        if name == "before Resume:n0":
            with host_libvirt() as handle:
                self.state = handle.lookupByName(f"{CLUSTER}.n0").state()[0]
            self.rates = output("tc", "class", "show", "dev", tap_name(CLUSTER, "n0")).splitlines()
            self.cuts = output("nft", "list", "ruleset", "bridge").count(f'"{tap_name(CLUSTER, "n0")}" . ')


async def test_a_node_that_crashes_and_boots_under_faults_sends_nothing_over_the_cut(
    hearing: Hearing, guest_bed: Bed
) -> None:
    """Its frames are counted where they would arrive, of whatever kind they are, from before the crash on."""
    others = ["n1", "n2"]
    look = FirstLook()
    async with guest_bed.runtime(look) as runtime:
        session = Session(runtime)
        await session.faults.inject(CLUSTER, TWO_GROUPS)
        await session.faults.inject(CLUSTER, impair_request("n1", ["n0"], Impairment(rate_kbit=2000)))
        await hearing.settle()
        before = await hearing.heard(others)
        await session.clusters.crash(CLUSTER, "n0", ssh_timeout_s=BOOT_TIMEOUT_S)
        await hearing.settle(others)
        new = await hearing.heard(others) - before
        assert [of for of in new if of[0] == "frame" and of[1][0] == "n0"] == []
        assert new["frame", ("n1", "n2")] > 0
        said = await session.nodes.run(CLUSTER, "n0", "awk '/Icmp6OutMsgs/ {print $2}' /proc/net/snmp6", timeout_s=60)
        assert int(said.stdout) > 0, "it spoke to all on its way up"
        await session.faults.heal_all(CLUSTER)
    assert look.state == libvirt.VIR_DOMAIN_PAUSED
    assert any("rate 2Mbit" in line for line in look.rates)
    assert look.cuts > 0
    await hearing.begin(["n0"])
    await hearing.only_passes(PAIRS)


async def test_a_rate_works_without_netem_and_a_delay_is_refused_and_not_left_desired(hearing: Hearing) -> None:
    faults = hearing.session.faults
    await faults.inject(CLUSTER, impair_request("n0", ["n1"], Impairment(rate_kbit=1000)))
    (listed,) = await faults.listing(CLUSTER)
    assert (listed.parameters["applied"], listed.parameters["observed"]["n1"]["n0"]["rate_kbit"]) == (True, 1000)
    with pytest.raises(ClusterError) as refused:
        await faults.inject(CLUSTER, impair_request("n0", ["n1"], Impairment(delay_ms=20)))
    assert refused.value.code is ErrorCode.HOST_CAPABILITY_MISSING
    assert "sch_netem" in str(refused.value)
    assert await faults.listing(CLUSTER) == [listed]
    assert await faults.heal_all(CLUSTER) == 1


FAULT_S = 25.0
"""Longer than it takes to see that a fault is there, also on a busy host."""


async def test_a_fault_with_a_duration_heals_by_itself(hearing: Hearing) -> None:
    begin = time.monotonic()
    await hearing.session.faults.inject(CLUSTER, TWO_GROUPS, duration_s=FAULT_S)
    await hearing.only_passes(PAIRS - N0_ALONE)

    async def has_ended() -> bool:
        return not await hearing.session.faults.listing(CLUSTER)

    await eventually(has_ended)
    assert time.monotonic() - begin > 0.9 * FAULT_S
    await hearing.only_passes(PAIRS)


# The host, seen with other eyes than the product's.


def output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout


def packets(node: str, way: str) -> int:
    """How many packets the host has brought to the node (`tx`) or taken from it (`rx`)."""
    return int(Path(f"/sys/class/net/{tap_name(CLUSTER, node)}/statistics/{way}_packets").read_text())
