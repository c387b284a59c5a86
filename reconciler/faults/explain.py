"""What faults do, in words and data: to one link, and as the tools list them."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, assert_never

from reconciler.faults.combine import Fault, fold, hit_pairs
from reconciler.model.document import PULLED
from reconciler.model.faults import (
    CutMode,
    FaultEffect,
    Groups,
    Grudge,
    ImpairFault,
    ImpairRequest,
    LinkExplanation,
    NetFaultHandle,
    NetFaultInfo,
    PartitionFault,
)
from reconciler.model.links import Distribution, Impairment, Inbound, Link
from reconciler.model.moments import utc_text

_CONTRACT_NAMES = {
    "delay_ms": "latency_ms",
    "jitter_ms": "jitter_ms",
    "loss_pct": "loss_pct",
    "corrupt_pct": "corrupt_pct",
    "reorder_pct": "reorder_pct",
}
_WORDS = {
    "loss_pct": "loses {:g} %",
    "duplicate_pct": "doubles {:g} %",
    "corrupt_pct": "flips a bit in {:g} %",
    "reorder_pct": "lets {:g} % overtake",
    "rate_kbit": "passes {:g} kbit/s",
}


def explain(faults: Sequence[Fault], nodes: Sequence[str], sender: str, receiver: str) -> LinkExplanation:
    """What packets from `sender` to `receiver` meet, and because of which faults; both may be `@host`."""
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
    """The link as a packet meets it: pulled cables of both ends count as a cut."""
    nobody = Inbound()
    to, of = links.get(receiver, nobody), links.get(sender, nobody)
    link = to.links.get(sender, Link())
    return link.model_copy(update={"cut": True, "cut_expires_at": None}) if to.down or of.down else link


def handle_of(fault: Fault, nodes: Sequence[str]) -> NetFaultHandle:
    """The fault as the tool that made it answers; affected are the nodes at both ends of every link it hits."""
    return NetFaultHandle(
        handle_id=fault.handle_id,
        fault_type=fault.fault_type,
        affected_nodes=_affected(fault, nodes),
        created_at=fault.created_at,
        expires_at=fault.expires_at,
        declared_as=fault.declared_as,
    )


def info_of(fault: Fault, nodes: Sequence[str]) -> NetFaultInfo:
    """The fault as a list shows it: what was asked for, by the names that the tools have for it.

    A partition shows the cuts that it came to as well.
    """
    match fault:
        case PartitionFault():
            parameters = _parameters_of_partition(fault)
        case ImpairFault():
            parameters = _parameters_of_impairment(fault.request)
        case _:
            assert_never(fault)
    return NetFaultInfo(**handle_of(fault, nodes).model_dump(), parameters=parameters, requested=parameters)


def causes_of(
    faults: Sequence[Fault], nodes: Sequence[str], receivers: Collection[str]
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Receiver -> sender -> the handles of the faults that want the link; a pulled cable stands at `PULLED`."""
    causes: dict[str, dict[str, tuple[str, ...]]] = {}
    for fault in faults if receivers else ():
        for receiver, inbound in fold([fault], nodes).items():
            if receiver in receivers:
                of = causes.setdefault(receiver, {})
                for place in [*inbound.links, *([PULLED] if inbound.down else [])]:
                    of[place] = (*of.get(place, ()), fault.handle_id)
    return causes


def sides_in_words(fault: PartitionFault) -> str:
    """Who is parted from whom: `a,b | c, bridge d`; where only one way is cut, or sides overlap, `a,b -x> c`."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for receiver, senders in fault.grudge.items():
        groups.setdefault(senders, []).append(receiver)
    bridge = f", bridge {fault.bridge}" if fault.bridge else ""
    if all(senders == _others(group, fault.grudge) for senders, group in groups.items()):
        return " | ".join(",".join(group) for group in groups.values()) + bridge
    return "; ".join(f"{','.join(senders)} -x> {','.join(group)}" for senders, group in groups.items()) + bridge


def _others(group: Collection[str], grudge: Grudge) -> tuple[str, ...]:
    return tuple(sorted(grudge.keys() - set(group)))


def impairment_in_words(impairment: Impairment) -> str:
    """Everything that an impairment does, in one line."""
    return ", ".join(_impairment_words(impairment))


def links_of(fault: Fault, nodes: Sequence[str]) -> dict[str, Inbound]:
    """The links that one fault hits, by receiver, as they are where no other fault hits them too."""
    return fold([fault], nodes)


def _parameters_of_partition(fault: PartitionFault) -> dict[str, Any]:
    request = fault.request
    sides = request.shape.groups if isinstance(request.shape, Groups) else ()
    names = dict(zip(("partition_a", "partition_b"), map(list, sides), strict=True)) if len(sides) == 2 else {}  # noqa: PLR2004
    asked = request.model_dump(mode="json", exclude_none=True, exclude={"shape"})
    shape = request.shape.model_dump(mode="json", exclude_none=True, exclude={"grudge"})
    grudge = {receiver: list(senders) for receiver, senders in fault.grudge.items()}
    return {**names, **shape, **asked, "sides": sides_in_words(fault), "grudge": grudge}


def _parameters_of_impairment(request: ImpairRequest) -> dict[str, Any]:
    targets = "all" if request.targets is None else list(request.targets)
    return {
        "source_node": request.source,
        "target_node": targets[0] if isinstance(targets, list) and len(targets) == 1 else targets,
        "direction": request.direction.value,
        "include_host": request.include_host,
        **impairment_parameters(request.impairment),
    }


def impairment_parameters(impairment: Impairment) -> dict[str, Any]:
    """An impairment by the names of the contract, those of the contract always and ours where they are set."""
    asked = impairment.model_dump(mode="json", exclude_defaults=True)
    contract = {tool: getattr(impairment, name) for name, tool in _CONTRACT_NAMES.items()}
    return {**contract, **{name: value for name, value in asked.items() if name not in _CONTRACT_NAMES}}


def _affected(fault: Fault, nodes: Sequence[str]) -> tuple[str, ...]:
    if isinstance(fault, PartitionFault):
        hit = {*fault.grudge, *(sender for senders in fault.grudge.values() for sender in senders)}
    else:
        hit = {node for pair in hit_pairs(fault, nodes) for node in pair}
    return tuple(node for node in nodes if node in hit)


def _effects(faults: Sequence[Fault], nodes: Sequence[str], sender: str, receiver: str) -> Iterator[FaultEffect]:
    for fault in faults:
        link = link_between(fold([fault], nodes), sender, receiver)
        if link.cut or link.impairment is not None:
            yield FaultEffect(handle_id=fault.handle_id, effect=f"{_effect(fault, link)}{_until(fault)}")


def _effect(fault: Fault, link: Link) -> str:
    match fault:
        case PartitionFault():
            how = "pulls the cable" if fault.request.mode is CutMode.LINK_DOWN else "drops every packet"
            return f"partition ({fault.request.shape.shape}) {sides_in_words(fault)}: {how}"
        case ImpairFault():
            assert link.impairment is not None
            return f"impairment: {impairment_in_words(link.impairment)}"
        case _:
            assert_never(fault)


def _until(fault: Fault) -> str:
    return f", until {utc_text(fault.expires_at.replace(microsecond=0))}" if fault.expires_at else ""


def _summary(link: Link) -> str:
    if link.cut:
        return "nothing arrives"
    return impairment_in_words(link.impairment) if link.impairment else "arrives as if there were no faults"


def _impairment_words(impairment: Impairment) -> Iterator[str]:
    if impairment.delay_ms:
        yield f"delays by {impairment.delay_ms:g} ms{_jitter_words(impairment)}"
    for name, words in _WORDS.items():
        if value := getattr(impairment, name):
            yield words.format(value)


def _jitter_words(impairment: Impairment) -> str:
    if not impairment.jitter_ms:
        return ""
    shape = "" if impairment.distribution is Distribution.UNIFORM else f" ({impairment.distribution})"
    return f" ± {impairment.jitter_ms:g} ms{shape}"


def _delay_ms(link: Link) -> float:
    return link.impairment.delay_ms if link.impairment else 0.0
