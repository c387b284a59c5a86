"""Faults as text and as the tools' parameters. Pure."""

from collections.abc import Collection, Iterator
from typing import Any

from reconciler.model.choices import Direction, Distribution
from reconciler.model.faults import Groups, Grudge, ImpairRequest, PartitionFault, WantedFault
from reconciler.model.links import Impairment

_CONTRACT_NAMES = {
    "delay_ms": "latency_ms",
    "jitter_ms": "jitter_ms",
    "loss_pct": "loss_pct",
    "corrupt_pct": "corrupt_pct",
    "reorder_pct": "reorder_pct",
}
_ARROWS = {Direction.TO: "→", Direction.FROM: "←", Direction.BOTH: "↔"}
_WORDS = {
    "loss_pct": "loses {:g} %",
    "duplicate_pct": "duplicates {:g} %",
    "corrupt_pct": "flips a bit in {:g} %",
    "reorder_pct": "lets {:g} % overtake",
    "rate_kbit": "limits to {:g} kbit/s",
}


def sides_in_words(fault: PartitionFault) -> str:
    """The sides of a partition: `a,b | c, bridge d`; if only one direction is cut, or sides overlap, `a,b -x> c`."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for receiver, senders in fault.grudge.items():
        groups.setdefault(senders, []).append(receiver)
    bridge = f", bridge {fault.bridge}" if fault.bridge else ""
    if all(senders == _others(group, fault.grudge) for senders, group in groups.items()):
        return " | ".join(",".join(group) for group in groups.values()) + bridge
    return "; ".join(f"{','.join(senders)} -x> {','.join(group)}" for senders, group in groups.items()) + bridge


def _others(group: Collection[str], grudge: Grudge) -> tuple[str, ...]:
    return tuple(sorted(grudge.keys() - set(group)))


def fault_in_words(fault: WantedFault) -> str:
    """A fault as one line: the sides of a partition, or what an impairment does to which packets."""
    if isinstance(fault, PartitionFault):
        return sides_in_words(fault)
    request = fault.request
    targets = "all" if request.targets is None else ",".join(request.targets)
    return f"{request.source} {_ARROWS[request.direction]} {targets}: {impairment_in_words(request.impairment)}"


def impairment_in_words(impairment: Impairment) -> str:
    """Everything that an impairment does, in one line."""
    return ", ".join(_impairment_words(impairment))


def parameters_of_partition(fault: PartitionFault) -> dict[str, Any]:
    """What was requested, by the tools' parameter names, and the cuts that it was resolved to."""
    request = fault.request
    sides = request.shape.groups if isinstance(request.shape, Groups) else ()
    names = dict(zip(("partition_a", "partition_b"), map(list, sides), strict=True)) if len(sides) == 2 else {}  # noqa: PLR2004
    asked = request.model_dump(mode="json", exclude_none=True, exclude={"shape"})
    shape = request.shape.model_dump(mode="json", exclude_none=True, exclude={"grudge"})
    grudge = {receiver: list(senders) for receiver, senders in fault.grudge.items()}
    return {**names, **shape, **asked, "sides": sides_in_words(fault), "grudge": grudge}


def parameters_of_impairment(request: ImpairRequest) -> dict[str, Any]:
    """What was requested, by the tools' parameter names."""
    targets = "all" if request.targets is None else list(request.targets)
    return {
        "source_node": request.source,
        "target_node": targets[0] if isinstance(targets, list) and len(targets) == 1 else targets,
        "direction": request.direction.value,
        "include_host": request.include_host,
        **impairment_parameters(request.impairment),
    }


def impairment_parameters(impairment: Impairment) -> dict[str, Any]:
    """An impairment by the contract's names: those of the contract always, ours only if set."""
    asked = impairment.model_dump(mode="json", exclude_defaults=True)
    contract = {tool: getattr(impairment, name) for name, tool in _CONTRACT_NAMES.items()}
    return {**contract, **{name: value for name, value in asked.items() if name not in _CONTRACT_NAMES}}


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
