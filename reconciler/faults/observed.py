"""What the host shows of one fault: whether it is there, and the values that the kernel took. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.faults.combine import Fault, fold
from reconciler.faults.explain import impairment_parameters
from reconciler.model.faults import NetFaultInfo
from reconciler.model.links import Inbound, Link


def with_observed(
    info: NetFaultInfo,
    fault: Fault,
    wanted: Sequence[Fault],
    nodes: Sequence[str],
    observed: Mapping[str, Inbound] | None,
) -> NetFaultInfo:
    """The fault with what is observed of the links that it hits; None where the host could not be looked at."""
    if observed is None:
        return info.model_copy(update={"parameters": {**info.parameters, "applied": None, "observed": {}}})
    hit, all_of_it = fold([fault], nodes), fold(wanted, nodes)
    nothing = Inbound()
    applied = all(_holds(inbound, all_of_it[node], observed.get(node, nothing)) for node, inbound in hit.items())
    shown = {node: _shown(inbound, observed.get(node, nothing)) for node, inbound in hit.items()}
    return info.model_copy(
        update={"parameters": {**info.parameters, "applied": bool(hit) and applied, "observed": shown}}
    )


def _holds(hit: Inbound, wanted: Inbound, found: Inbound) -> bool:
    """Whether the links of `hit` are as all faults together want them."""
    return (not hit.down or found.down) and all(
        sender in found.links
        and found.links[sender].cut == wanted.links[sender].cut
        and found.links[sender].impairment == wanted.links[sender].impairment
        for sender in hit.links
    )


def _shown(hit: Inbound, found: Inbound) -> dict[str, Any]:
    links = {sender: _in_words(found.links[sender]) for sender in hit.links if sender in found.links}
    return {**links, **({"down": True} if found.down else {})}


def _in_words(link: Link) -> dict[str, Any]:
    until = {"cut_expires_at": link.cut_expires_at.isoformat()} if link.cut_expires_at else {}
    impairment = impairment_parameters(link.impairment) if link.impairment else {}
    return {"cut": link.cut, **until, **impairment}
