"""From links to the configuration of a host, and from what a host shows back to links.

An end of a link that is not a node of the cluster (a node that was removed, a foreign tap) is named by its tap
or address in angle brackets, so that it counts as drift and is healed.
"""

from collections.abc import Mapping
from datetime import datetime

from reconciler.errors import OperationFailed
from reconciler.model.links import (
    EXPIRY_TOLERANCE,
    HOST,
    FirewallState,
    HostLinks,
    Impairment,
    Inbound,
    Link,
    Ports,
    TapPair,
    TapQdisc,
    same_time,
)


def compile_host(links: Mapping[str, Inbound], ports: Ports) -> HostLinks:
    """The configuration for the host of these ports; nodes without a port are ignored.

    Raises `OperationFailed` if the host's own address is needed and not known.
    """
    nodes = ports.nodes
    here = {node: inbound for node, inbound in links.items() if node in nodes}
    taps = {nodes[node].tap: _tap(node, inbound, ports) for node, inbound in here.items()}
    return HostLinks(
        firewall=FirewallState(
            {
                TapPair(_origin(sender, ports), nodes[receiver].tap): link.cut_expires_at
                for receiver, inbound in here.items()
                for sender, link in inbound.links.items()
                if link.cut and (sender in nodes or sender in ports.elsewhere)
            }
        ),
        taps={tap: qdisc for tap, qdisc in taps.items() if qdisc.senders},
        down=frozenset(nodes[node].tap for node, inbound in here.items() if inbound.down),
    )


def read_links(host: HostLinks, ports: Ports) -> dict[str, Inbound]:
    """The links that a host's state means: the inverse of `compile_host`."""
    by_tap = {port.tap: node for node, port in ports.nodes.items()}
    outside = {mac: node for node, mac in ports.elsewhere.items()}
    by_origin = by_tap | outside
    by_mac = {port.mac: node for node, port in ports.nodes.items()} | outside
    if ports.host_mac:
        by_mac[ports.host_mac] = HOST
    links: dict[str, dict[str, Link]] = {}
    made: dict[datetime | None, Link] = {}
    for pair, expires_at in host.firewall.cuts.items():
        cut = made.setdefault(expires_at, Link(cut=True, cut_expires_at=expires_at))
        links.setdefault(_name(by_tap, pair.receiver), {})[_name(by_origin, pair.sender)] = cut
    for tap, qdisc in host.taps.items():
        inbound = links.setdefault(_name(by_tap, tap), {})
        for mac, impairment in qdisc.senders.items():
            cut = inbound.get(_name(by_mac, mac), Link())
            inbound[_name(by_mac, mac)] = cut.model_copy(update={"impairment": impairment})
    down = {_name(by_tap, tap) for tap in host.down}
    return {
        receiver: Inbound(links=dict(sorted(links.get(receiver, {}).items())), down=receiver in down)
        for receiver in sorted(links.keys() | down)
    }


def without_lapsing_cuts(
    links: Mapping[str, Inbound], found: Mapping[str, Inbound], now: datetime
) -> dict[str, Inbound]:
    """The links without cuts that expire about now and are already gone from the host: that is not drift."""
    lapsed = {
        receiver: frozenset(sender for sender, link in inbound.links.items() if _lapsing(link, now))
        - {sender for sender, link in found.get(receiver, Inbound()).links.items() if link.cut}
        for receiver, inbound in links.items()
    }
    return {
        receiver: _without_cuts(inbound, lapsed[receiver]) if lapsed[receiver] else inbound
        for receiver, inbound in links.items()
    }


def same_inbound(have: Inbound | None, want: Inbound | None) -> bool:
    """Whether a node receives the same, within the host's precision; None means everything that is sent to it."""
    one, other = have or Inbound(), want or Inbound()
    return (
        one.down == other.down
        and one.links.keys() == other.links.keys()
        and all(_same_link(link, other.links[sender]) for sender, link in one.links.items())
    )


def _lapsing(link: Link, now: datetime) -> bool:
    return link.cut_expires_at is not None and link.cut_expires_at <= now + EXPIRY_TOLERANCE


def _without_cuts(inbound: Inbound, senders: frozenset[str]) -> Inbound:
    healed = {"cut": False, "cut_expires_at": None}
    links = {
        sender: link.model_copy(update=healed) if sender in senders else link
        for sender, link in inbound.links.items()
        if sender not in senders or link.impairment is not None
    }
    return inbound.model_copy(update={"links": links})


def _tap(node: str, inbound: Inbound, ports: Ports) -> TapQdisc:
    senders: dict[str, Impairment] = {}
    for sender, link in inbound.links.items():
        if link.impairment is None or not (sender == HOST or sender in ports.nodes or sender in ports.elsewhere):
            continue
        senders[_mac(sender, ports, receiver=node)] = link.impairment
    return TapQdisc(senders)


def _origin(sender: str, ports: Ports) -> str:
    """What the firewall knows a node's frames by: a guest can change its MAC address, but not its tap."""
    return ports.nodes[sender].tap if sender in ports.nodes else ports.elsewhere[sender]


def _mac(sender: str, ports: Ports, receiver: str) -> str:
    if sender != HOST:
        return ports.nodes[sender].mac if sender in ports.nodes else ports.elsewhere[sender]
    if ports.host_mac is None:
        raise OperationFailed("the bridge has no address yet, which identifies the host's own packets", node=receiver)
    return ports.host_mac


def _name(known: Mapping[str, str], found: str) -> str:
    return known.get(found) or f"<{found}>"


def _same_link(have: Link, want: Link) -> bool:
    return have is want or (
        have.cut == want.cut
        and have.impairment == want.impairment
        and same_time(have.cut_expires_at, want.cut_expires_at)
    )
