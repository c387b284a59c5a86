"""Links on a real host: set before a node runs, even if a process is killed meanwhile, and removed without a trace.

What needs netem is tested inside a guest: cuts and rates work on every host.
"""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import libvirt
import pytest

from reconciler.errors import ClusterError
from reconciler.host.firewall.iptables_codec import chain_name
from reconciler.host.firewall.nftables_codec import table_name
from reconciler.model import names
from reconciler.model.choices import CutMode
from reconciler.model.faults import Groups, ImpairRequest, One, PartitionRequest
from reconciler.model.links import FirewallChoice, Impairment
from tests.integration.bed import Bed, Session, audit, host_libvirt
from tests.integration.kills import MOST_BOUNDARIES, Killer, Verbs, kill_at_every_boundary, run, run_in_child, wait_for
from tests.waiting import PATIENCE_S

CLUSTER = "linked"
VERBS = Verbs(CLUSTER)
define, start, start_paused, stop, destroy = VERBS.define, VERBS.start, VERBS.start_paused, VERBS.stop, VERBS.destroy
ask_for_power_cycle, carry_out = VERBS.ask_for_power_cycle, VERBS.carry_out
TAPS = {node: names.tap_name(CLUSTER, node) for node in ("n0", "n1")}
BOTH_WAYS = {(TAPS["n0"], TAPS["n1"]), (TAPS["n1"], TAPS["n0"])}
CUT = PartitionRequest(shape=Groups(groups=(("n0",), ("n1",))))
SLOW = ImpairRequest(source="n1", targets=("n0",), impairment=Impairment(rate_kbit=5000))


async def inject(session: Session) -> None:
    await session.faults.inject(CLUSTER, CUT)
    await session.faults.inject(CLUSTER, SLOW)


async def heal(session: Session) -> None:
    await session.faults.heal_all(CLUSTER)


# The host, seen with other eyes than the product's.


def output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PATIENCE_S).stdout


def cuts() -> set[tuple[str, str]] | None:
    """The pairs of taps that are cut; None where the cluster has no table."""
    listed = output("nft", "-j", "list", "table", "bridge", table_name(CLUSTER))
    if not listed:
        return None
    (pairs,) = [entry["set"]["elem"] for entry in json.loads(listed)["nftables"] if "set" in entry]
    return {(pair["concat"][0], pair["concat"][1]) for pair in pairs}


def filtered() -> set[tuple[str, str]] | None:
    """The same as iptables has them, for IPv4 and IPv6 alike; None where no rule of either names us."""
    four, six = (output(f"{program}-save", "-t", "filter") for program in ("iptables", "ip6tables"))
    pairs, same = (set(re.findall(r"--physdev-in (\S+) --physdev-out (\S+) -j DROP", rules)) for rules in (four, six))
    assert pairs == same
    return pairs if "vmcluster" in four + six or chain_name(CLUSTER) in four + six else None


CUTS_SEEN = {FirewallChoice.NFTABLES: cuts, FirewallChoice.IPTABLES: filtered}


def root_queue(node: str) -> str | None:
    """The kind of the root queue of a node's tap; None where there is no tap."""
    shown = json.loads(output("tc", "-j", "qdisc", "show", "dev", TAPS[node]) or "[]")
    return next((qdisc["kind"] for qdisc in shown if qdisc.get("root")), None)


def is_slowed(node: str) -> bool:
    return "rate 5Mbit" in output("tc", "class", "show", "dev", TAPS[node])


def is_plugged_in(node: str) -> bool:
    (link,) = json.loads(output("ip", "-json", "link", "show", "dev", TAPS[node]))
    return "UP" in link["flags"]


def state_of(node: str) -> tuple[int, int]:
    """What libvirt says of the machine, and its running number: a new one for each boot."""
    with host_libvirt() as handle:
        domain = handle.lookupByName(f"{CLUSTER}.{node}")
        return domain.state()[0], domain.ID()


def assert_linked(firewall: FirewallChoice = FirewallChoice.NFTABLES) -> None:
    assert CUTS_SEEN[firewall]() == BOTH_WAYS
    assert is_slowed("n0")
    assert root_queue("n1") == "noqueue"


def assert_healed() -> None:
    assert (cuts(), filtered()) == (None, None)
    assert {root_queue("n0"), root_queue("n1")} <= {"noqueue", None}


@pytest.fixture
def defined(bed: Bed) -> Bed:
    bed.write_topology(CLUSTER)
    run(bed, define)
    return bed


class Witness:
    """Looks at the host each time that a node is about to run."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, name: str) -> None:
        action, _, node = name.removeprefix("before ").partition(":")
        if name.startswith("before ") and action == "Resume":
            assert state_of(node)[0] == libvirt.VIR_DOMAIN_PAUSED
            assert_linked()
            self.seen.append(node)


async def test_a_node_that_comes_up_or_is_power_cycled_has_its_links_before_it_runs(defined: Bed) -> None:
    witness = Witness()
    async with defined.runtime(witness) as runtime:
        session = Session(runtime)
        await inject(session)
        assert cuts() == BOTH_WAYS, "a cut needs no tap"
        await start(session)
        assert sorted(witness.seen) == ["n0", "n1"], "who sends over a slow link waits for it too"
        await session.clusters.crash(CLUSTER, "n0", wait_for_ssh=False)
        assert witness.seen[2:] == ["n0"]
        assert {state_of(node)[0] for node in TAPS} == {libvirt.VIR_DOMAIN_RUNNING}
        await heal(session)
        assert_healed()
        await stop(session)


async def test_what_others_flush_or_delete_is_put_back_and_what_is_theirs_stays(defined: Bed) -> None:
    async with defined.runtime() as runtime:
        session = Session(runtime)
        await start_paused(session)
        await inject(session)
        output("nft", "add", "table", "bridge", "theirs")
        output("nft", "delete", "table", "bridge", table_name(CLUSTER))
        output("tc", "qdisc", "replace", "dev", TAPS["n0"], "root", "noqueue")
        assert cuts() is None
        await carry_out(session)
        assert_linked()
        await destroy(session)
        assert_healed()
        assert "theirs" in output("nft", "list", "tables", "bridge")
        output("nft", "delete", "table", "bridge", "theirs")


async def test_links_that_nobody_wants_are_healed(defined: Bed) -> None:
    async with defined.runtime() as runtime:
        await inject(Session(runtime))
    for path in defined.settings.state_dir.glob("records.sqlite*"):
        path.unlink()
    async with defined.runtime() as runtime:
        session = Session(runtime)
        with pytest.raises(ClusterError, match="cluster_adopt"):
            await define(session)
        await session.clusters.adopt(CLUSTER)
        assert_healed()


async def test_a_pulled_cable_stays_pulled_when_the_network_is_recreated(defined: Bed) -> None:
    async with defined.runtime() as runtime:
        session = Session(runtime)
        await start_paused(session)
        await session.faults.inject(CLUSTER, PartitionRequest(shape=One(node="n0"), mode=CutMode.LINK_DOWN))
        assert not is_plugged_in("n0")
        assert not is_plugged_in("n1"), "of two nodes, each is cut off from all others"
        with host_libvirt() as handle:
            handle.networkLookupByName(f"net-{CLUSTER}").destroy()
        await carry_out(session)
        assert not is_plugged_in("n0")
        assert not is_plugged_in("n1"), "of two nodes, each is cut off from all others"
        await heal(session)
        assert is_plugged_in("n0")
        assert is_plugged_in("n1")


@pytest.mark.parametrize("firewall", CUTS_SEEN)
def test_a_fault_injected_or_healed_and_killed_at_every_boundary_ends_in_exactly_what_is_desired(
    defined: Bed, firewall: FirewallChoice
) -> None:
    bed = replace(defined, settings=defined.settings.model_copy(update={"firewall": firewall}))
    run(bed, start_paused)
    assert kill_at_every_boundary(bed, [heal], inject, inject, lambda: assert_linked(firewall)) >= 4
    assert kill_at_every_boundary(bed, [inject], heal, heal, assert_healed) >= 2
    run(bed, destroy)
    assert audit(bed).clean


def test_a_power_cycle_under_faults_killed_at_every_boundary_happens_once_and_ends_running(defined: Bed) -> None:
    run(defined, inject, start)
    for boundary in range(MOST_BOUNDARIES):
        before = state_of("n0")[1], state_of("n1")[1]
        run(defined, ask_for_power_cycle)
        survived = wait_for(run_in_child(defined, carry_out, Killer(boundary)))
        run(defined, carry_out)
        assert state_of("n0") == (libvirt.VIR_DOMAIN_RUNNING, max(before) + 1)
        assert_linked()
        if survived:
            assert boundary >= 8
            break
    run(defined, destroy)
    assert_healed()


def test_deleting_a_cluster_under_faults_killed_at_every_boundary_leaves_nothing(defined: Bed) -> None:
    def check() -> None:
        assert_healed()
        assert audit(defined).clean

    assert kill_at_every_boundary(defined, [define, start_paused, inject], destroy, destroy, check) >= 20


async def test_other_programs_find_in_the_registry_what_the_list_answers(defined: Bed) -> None:
    registry = defined.settings.fault_registry
    async with defined.runtime() as runtime:
        session = Session(runtime)
        await start_paused(session)
        await session.faults.inject(CLUSTER, CUT, duration_s=60)
        await session.faults.inject(CLUSTER, SLOW)
        listed = await session.faults.listing(CLUSTER)
        assert [of.parameters["applied"] for of in listed] == [True, True]
        assert exported(registry) == {CLUSTER: [of.model_dump(mode="json") for of in listed]}
        await session.faults.heal(CLUSTER, listed[0].handle_id)
        assert [of["handle_id"] for of in exported(registry)[CLUSTER]] == [listed[1].handle_id]
        await destroy(session)
        assert exported(registry) == {}


def exported(registry: Path) -> dict[str, Any]:
    clusters: dict[str, Any] = json.loads(registry.read_text())["clusters"]
    return clusters
