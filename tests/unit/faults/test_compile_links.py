"""Links to a host and back: what a (simulated) host then shows is the desired state."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from time import process_time

import pytest
from hypothesis import given

from reconciler.errors import OperationFailed
from reconciler.faults.combine import Fault, fold
from reconciler.faults.compile_links import (
    compile_host,
    read_links,
    same_inbound,
)
from reconciler.host.firewall.iptables_codec import Chains, parse_save, render_iptables_restore
from reconciler.host.firewall.nftables_codec import render_transaction
from reconciler.host.tc.tap_codec import parse_tap, render_batch
from reconciler.model.choices import CutMode
from reconciler.model.faults import ExplicitGrudge, Halves, One
from reconciler.model.links import (
    LEFTOVER,
    FirewallState,
    HostLinks,
    Impairment,
    Inbound,
    TapPair,
    TapQdisc,
    changed_taps,
    same_cuts,
)
from tests.unit.faults.samples import NODES, NOW, fault_sets, impair, partition, ports
from tests.unit.host.tc.simulated import SimulatedTap

PORTS = ports()


def mixes_duplicates(links: Mapping[str, Inbound]) -> bool:
    """Whether a kernel may refuse the links: "netem: cannot mix duplicating netems with other netems in tree"."""
    shaped = [
        [link.impairment for link in of.links.values() if link.impairment and link.impairment.needs_netem]
        for of in links.values()
    ]
    return any(len(of) > 1 and any(impairment.duplicate_pct for impairment in of) for of in shaped)


class SimulatedLinks:
    """A host's links: told by what the codecs render, seen by what they parse."""

    def __init__(self) -> None:
        self.filter_table = ""
        self.taps = {port.tap: SimulatedTap() for port in PORTS.nodes.values()}
        self.down: frozenset[str] = frozenset()

    def apply(self, want: HostLinks) -> None:
        rules = render_iptables_restore("lab", want.firewall, Chains(), NOW).splitlines()
        self.filter_table = "\n".join(rules).replace("-I FORWARD 1", "-A FORWARD")
        for name, tap in self.taps.items():
            tap.batch(render_batch(name, parse_tap(*tap.show()), want.taps.get(name, TapQdisc())))
        self.down = want.down

    def observe(self) -> HostLinks:
        shapings = {name: parse_tap(*tap.show()).shaping for name, tap in self.taps.items()}
        return HostLinks(
            firewall=parse_save(self.filter_table, "lab").firewall,
            taps={name: shaping for name, shaping in shapings.items() if shaping.senders},
            down=self.down,
        )


@given(fault_sets, fault_sets)
def test_what_is_applied_is_observed_without_a_difference(first: list[Fault], second: list[Fault]) -> None:
    host = SimulatedLinks()
    for faults in (first, second, []):
        links = fold(faults, NODES)
        if mixes_duplicates(links):
            continue
        want = compile_host(links, PORTS)
        host.apply(want)
        found = host.observe()
        assert same_cuts(found.firewall, want.firewall)
        assert changed_taps(found.taps, want.taps) == ()
        assert found.down == want.down
        seen = read_links(found, PORTS)
        assert all(same_inbound(seen.get(node), links.get(node)) for node in seen.keys() | links.keys())
    assert mixes_duplicates(links) or host.observe() == HostLinks()


@given(fault_sets)
def test_reading_is_the_inverse_of_compiling(faults: list[Fault]) -> None:
    links = fold(faults, NODES)
    assert read_links(compile_host(links, PORTS), PORTS) == links


@given(fault_sets)
def test_nodes_on_other_hosts_send_here_and_receive_elsewhere(faults: list[Fault]) -> None:
    away = dict(list(PORTS.nodes.items())[::2])
    here = {node: port for node, port in PORTS.nodes.items() if node not in away}
    part = replace(PORTS, nodes=here, elsewhere={node: port.mac for node, port in away.items()})
    links = {node: of for node, of in fold(faults, NODES).items() if node in here}
    if mixes_duplicates(links):
        return
    want, host = compile_host(links, part), SimulatedLinks()
    host.apply(want)
    assert same_cuts(host.observe().firewall, want.firewall)
    assert read_links(want, part) == links
    assert not {tap for pair in want.firewall.cuts for tap in pair} & {port.tap for port in away.values()}


def test_one_changed_pair_of_ten_thousand_touches_one_tap() -> None:
    nodes = [f"n{index:03}" for index in range(101)]
    plugged = ports(nodes)
    faults: list[Fault] = [impair(node, nodes=nodes, delay_ms=5) for node in nodes]
    before = compile_host(fold(faults, nodes), plugged)
    after = compile_host(fold([*faults, impair("n007", "n042", nodes=nodes, loss_pct=1)], nodes), plugged)
    assert sum(len(qdisc.senders) for qdisc in before.taps.values()) == 10_100
    (tap,) = changed_taps(before.taps, after.taps)
    assert tap == plugged.nodes["n042"].tap
    shaped = SimulatedTap()
    shaped.batch(render_batch(tap, parse_tap(*shaped.show()), before.taps[tap]))
    assert len(render_batch(tap, parse_tap(*shaped.show()), after.taps[tap]).splitlines()) == 1


def test_a_hundred_taps_split_in_halves_compile_fast() -> None:
    nodes = [f"n{index:03}" for index in range(100)]
    started = process_time()
    host = compile_host(fold([partition(Halves(), nodes)], nodes), ports(nodes))
    transaction = render_transaction("lab", host.firewall, NOW)
    assert process_time() - started < 3
    assert len(host.firewall.cuts) == 2 * 50 * 50
    assert transaction.count(" . ") == 2 * 50 * 50 + 2


def test_a_cut_is_from_the_senders_tap_to_the_receivers() -> None:
    host = compile_host(fold([partition(ExplicitGrudge(grudge={"n2": ("n1",)}))], NODES), PORTS)
    assert host == HostLinks(firewall=FirewallState({TapPair("vmc-0", "vmc-1"): None}))


def test_an_impairment_is_at_the_receivers_tap_by_the_senders_address() -> None:
    host = compile_host(fold([impair("n1", "n2", loss_pct=3)], NODES), PORTS)
    lossy = Impairment(loss_pct=3, limit_packets=1000)
    assert host == HostLinks(taps={"vmc-1": TapQdisc({"52:54:00:00:00:00": lossy})})


def test_a_pulled_cable_is_one_tap_and_no_rule() -> None:
    host = compile_host(fold([partition(One(node="n3"), mode=CutMode.LINK_DOWN)], NODES), PORTS)
    assert host == HostLinks(down=frozenset({"vmc-2"}))


def test_the_hosts_own_packets_need_its_address() -> None:
    links = fold([impair("n1", "n2", include_host=True, delay_ms=8)], NODES)
    assert PORTS.host_mac in compile_host(links, PORTS).taps["vmc-0"].senders
    with pytest.raises(OperationFailed, match="no address yet"):
        compile_host(links, replace(PORTS, host_mac=None))


def test_what_belongs_to_no_node_is_seen_as_a_difference() -> None:
    lossy = Impairment(loss_pct=1)
    found = HostLinks(
        firewall=FirewallState({TapPair("vmc-gone", "vmc-0"): None, TapPair(LEFTOVER, LEFTOVER): None}),
        taps={"vmc-0": TapQdisc({"52:ff:ff:ff:ff:ff": lossy})},
    )
    seen = read_links(found, PORTS)
    assert set(seen["n1"].links) == {"<vmc-gone>", "<52:ff:ff:ff:ff:ff>"}
    assert "<leftover>" in seen
    assert not any(same_inbound(inbound, None) for inbound in seen.values())


@pytest.mark.parametrize(
    ("found", "wanted", "same"),
    [(0, 1.5, True), (0, 3, False), (None, None, True), (None, 0, False), (0, None, False)],
)
def test_times_to_heal_are_compared_as_exactly_as_they_are_shown(
    found: float | None, wanted: float | None, same: bool
) -> None:
    def at(seconds: float | None) -> datetime | None:
        return None if seconds is None else NOW + timedelta(seconds=seconds)

    pair = TapPair("a", "b")
    assert same_cuts(FirewallState({pair: at(found)}), FirewallState({pair: at(wanted)})) == same


def test_a_node_that_hears_all_is_the_same_as_one_without_an_entry() -> None:
    assert same_inbound(None, Inbound())
    assert not same_inbound(None, Inbound(down=True))
