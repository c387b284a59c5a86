"""The effects of faults, as text and data: on one link, and as the tools list them."""

from collections.abc import Collection, Iterator, Sequence

from reconciler.faults.combine import Fault, fold
from reconciler.faults.kinds import KINDS, effect_of
from reconciler.faults.words import impairment_in_words
from reconciler.model.document import PULLED
from reconciler.model.faults import FaultEffect, LinkExplanation, NetFaultHandle, NetFaultInfo
from reconciler.model.links import Inbound, Link
from reconciler.model.timestamps import utc_text


def explain_link(faults: Sequence[Fault], nodes: Sequence[str], sender: str, receiver: str) -> LinkExplanation:
    """What happens to packets from `sender` to `receiver`, and which faults cause it; both may be `@host`."""
    links = fold(faults, nodes)
    there, back = link_between(links, sender, receiver), link_between(links, receiver, sender)
    return LinkExplanation(
        sender=sender,
        receiver=receiver,
        cut=there.cut,
        impairment=there.impairment,
        added_rtt_ms=None if there.cut or back.cut else _delay_ms(there) + _delay_ms(back),
        faults=tuple(_effects(faults, nodes, sender, receiver)),
        summary=_summary(there),
    )


def link_between(links: dict[str, Inbound], sender: str, receiver: str) -> Link:
    """The link as a packet experiences it: a pulled cable at either end counts as a cut."""
    nobody = Inbound()
    to, of = links.get(receiver, nobody), links.get(sender, nobody)
    link = to.links.get(sender, Link())
    return link.model_copy(update={"cut": True, "cut_expires_at": None}) if to.down or of.down else link


def handle_of(fault: Fault, nodes: Sequence[str]) -> NetFaultHandle:
    """The fault as the tool that made it returns it; affected are the nodes at both ends of every link it affects."""
    return NetFaultHandle(
        handle_id=fault.handle_id,
        fault_type=fault.fault_type,
        affected_nodes=_affected(fault, nodes),
        created_at=fault.created_at,
        expires_at=fault.expires_at,
        declared_as=fault.declared_as,
    )


def fault_info(fault: Fault, nodes: Sequence[str]) -> NetFaultInfo:
    """The fault as a list shows it: what was requested, by the tools' parameter names.

    A partition also shows the cuts that it was resolved to.
    """
    parameters = KINDS[fault.fault_type].parameters(fault)
    return NetFaultInfo(**handle_of(fault, nodes).model_dump(), parameters=parameters, requested=parameters)


def causes_of(
    faults: Sequence[Fault], nodes: Sequence[str], receivers: Collection[str]
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Receiver -> sender -> the handles of the faults that want the link; a pulled cable is under `PULLED`."""
    causes: dict[str, dict[str, tuple[str, ...]]] = {}
    for fault in faults if receivers else ():
        for receiver, inbound in fold([fault], nodes).items():
            if receiver in receivers:
                of = causes.setdefault(receiver, {})
                for place in [*inbound.links, *([PULLED] if inbound.down else [])]:
                    of[place] = (*of.get(place, ()), fault.handle_id)
    return causes


def _affected(fault: Fault, nodes: Sequence[str]) -> tuple[str, ...]:
    ends = effect_of(fault, nodes).ends
    return tuple(node for node in nodes if node in ends)


def _effects(faults: Sequence[Fault], nodes: Sequence[str], sender: str, receiver: str) -> Iterator[FaultEffect]:
    for fault in faults:
        link = link_between(fold([fault], nodes), sender, receiver)
        if link.cut or link.impairment is not None:
            yield FaultEffect(
                handle_id=fault.handle_id, effect=f"{KINDS[fault.fault_type].told(fault, link)}{_until(fault)}"
            )


def _until(fault: Fault) -> str:
    return f", until {utc_text(fault.expires_at.replace(microsecond=0))}" if fault.expires_at else ""


def _summary(link: Link) -> str:
    if link.cut:
        return "nothing arrives"
    return impairment_in_words(link.impairment) if link.impairment else "arrives as if there were no faults"


def _delay_ms(link: Link) -> float:
    return link.impairment.delay_ms if link.impairment else 0.0
