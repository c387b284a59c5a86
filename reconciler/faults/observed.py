"""What the host shows of one fault: whether it is in effect, and the values that the kernel uses. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from reconciler.faults.combine import Fault, fold, wanted_at
from reconciler.faults.explain import fault_info
from reconciler.faults.words import impairment_parameters
from reconciler.model.document import Unknown
from reconciler.model.faults import NetFaultInfo
from reconciler.model.links import Inbound, Link, same_time
from reconciler.model.timestamps import utc_text


def active_faults(
    faults: Iterable[Fault],
    nodes: Sequence[str],
    links: Mapping[str, Inbound | Unknown] | None,
    now: datetime,
    receivers: Collection[str] | None = None,
) -> tuple[NetFaultInfo, ...]:
    """Those of the faults that have not expired, oldest first, with what is observed of the links.

    If `links` is None, or one of them is unknown, the host could not be observed. `receivers` are the nodes whose links
    are looked at, by default all.
    """
    wanted = wanted_at(faults, now)
    known = {node: of for node, of in (links or {}).items() if not isinstance(of, Unknown)}
    observed = known if links is not None and len(known) == len(links) else None
    here = nodes if receivers is None else receivers
    all_of_it = _received(wanted, nodes, here)
    return tuple(
        with_observed(fault_info(of, nodes), _received([of], nodes, here), all_of_it, observed) for of in wanted
    )


def _received(faults: Sequence[Fault], nodes: Sequence[str], receivers: Collection[str]) -> dict[str, Inbound]:
    return {node: of for node, of in fold(faults, nodes).items() if node in receivers}


def with_observed(
    info: NetFaultInfo,
    hit: Mapping[str, Inbound],
    wanted: Mapping[str, Inbound],
    observed: Mapping[str, Inbound] | None,
) -> NetFaultInfo:
    """The fault with what is observed of the links that it affects, `hit`; None if the host could not be observed.

    `wanted` are the links that all desired faults together result in.
    """
    if observed is None:
        return _with(info, applied=None, observed={})
    nothing = Inbound()
    applied = all(_holds(inbound, wanted[node], observed.get(node, nothing)) for node, inbound in hit.items())
    shown = {node: _shown(inbound, wanted[node], observed.get(node, nothing)) for node, inbound in hit.items()}
    return _with(info, applied=bool(hit) and applied, observed=shown)


def _with(info: NetFaultInfo, *, applied: bool | None, observed: dict[str, Any]) -> NetFaultInfo:
    """Set `applied` and `observed` as fields and among the parameters, where they first were."""
    parameters = {**info.parameters, "applied": applied, "observed": observed}
    return info.model_copy(update={"parameters": parameters, "applied": applied, "observed": observed})


def _holds(hit: Inbound, wanted: Inbound, found: Inbound) -> bool:
    """Whether the links of `hit` are as all faults together require."""
    return (not hit.down or found.down) and all(
        sender in found.links
        and found.links[sender].cut == wanted.links[sender].cut
        and found.links[sender].impairment == wanted.links[sender].impairment
        for sender in hit.links
    )


def _shown(hit: Inbound, wanted: Inbound, found: Inbound) -> dict[str, Any]:
    links = {
        sender: _in_words(found.links[sender], wanted.links[sender]) for sender in hit.links if sender in found.links
    }
    return {**links, **({"down": True} if found.down else {})}


def _in_words(link: Link, wanted: Link) -> dict[str, Any]:
    """The link as text and numbers; its end is the desired one, as a host that counts down shows another each time."""
    as_wanted = same_time(link.cut_expires_at, wanted.cut_expires_at)
    expires_at = wanted.cut_expires_at if as_wanted else link.cut_expires_at
    until = {"cut_expires_at": utc_text(expires_at)} if expires_at else {}
    impairment = impairment_parameters(link.impairment) if link.impairment else {}
    return {"cut": link.cut, **until, **impairment}
