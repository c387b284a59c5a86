"""Folds the desired faults into links: every directed pair of nodes, cut or not, with one impairment.

Faults that affect the same pair combine as if the packets passed through one after the other: delays and jitters add
(jitter is a bound, and the bound of a sum is the sum of the bounds); the chances of loss, duplication, corruption and
reordering combine as independent events; the lowest rate, the shortest queue and the smallest gap win, as do the
highest correlation and the distribution with the heaviest tail. The order of the faults never matters.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime

from reconciler.faults.kinds import Effect, effect_of
from reconciler.model.choices import Distribution
from reconciler.model.faults import WantedFault
from reconciler.model.links import Impairment, Inbound, Link

Fault = WantedFault
Cuts = dict[str, dict[str, datetime | None]]

COMBINED_DELAY_MAX_MS = 270_000
"""iproute2 6.1 passes delays in 32 bits of 64 ns."""

COMBINED_JITTER_MAX_MS = 2000
"""Linux 6.1.192 truncates jitter at 2^31 ns."""

ASSUMED_RATE_KBIT = 10_000_000
ASSUMED_PACKET_BYTES = 512
QUEUE_PACKETS = 1000
"""Packets that may wait besides the delayed ones: the queue of a network card (tx_queue_len)."""

LIMIT_MAX_PACKETS = 2_000_000

_TAILS = tuple(Distribution)  # the lightest first


def wanted_at(faults: Iterable[Fault], now: datetime) -> tuple[Fault, ...]:
    """The faults that have not expired."""
    return tuple(fault for fault in faults if fault.expires_at is None or fault.expires_at > now)


def fold(faults: Sequence[Fault], nodes: Collection[str]) -> dict[str, Inbound]:
    """What each node that any fault affects receives. Nodes that are not in `nodes` are ignored."""
    known = frozenset(nodes)
    effects = [effect_of(fault, known) for fault in faults]
    cuts = _fold_cuts(faults, effects, known)
    impaired = _fold_impairments(effects)
    down = known.intersection(node for effect in effects for node in effect.pulled)
    link_of = _link_maker(effects)
    return {
        receiver: Inbound(
            links=_links(cuts.get(receiver, {}), impaired.get(receiver, {}), link_of), down=receiver in down
        )
        for receiver in sorted(cuts.keys() | impaired.keys() | down)
    }


def combine(impairments: Sequence[Impairment]) -> Impairment | None:
    """One impairment with the effect of all, in the resolution of the kernel; None if it has no effect."""
    combined = Impairment(
        delay_ms=min(math.fsum(item.delay_ms for item in impairments), COMBINED_DELAY_MAX_MS),
        jitter_ms=min(math.fsum(item.jitter_ms for item in impairments), COMBINED_JITTER_MAX_MS),
        delay_correlation_pct=max((item.delay_correlation_pct for item in impairments), default=0),
        distribution=max((item.distribution for item in impairments), key=_TAILS.index, default=Distribution.UNIFORM),
        loss_pct=_any_of(item.loss_pct for item in impairments),
        loss_correlation_pct=max((item.loss_correlation_pct for item in impairments), default=0),
        duplicate_pct=_any_of(item.duplicate_pct for item in impairments),
        corrupt_pct=_any_of(item.corrupt_pct for item in impairments),
        reorder_pct=_any_of(item.reorder_pct for item in impairments),
        reorder_correlation_pct=max((item.reorder_correlation_pct for item in impairments), default=0),
        reorder_gap=_least(item.reorder_gap for item in impairments),
        rate_kbit=_least(item.rate_kbit for item in impairments),
        limit_packets=_least(item.limit_packets for item in impairments),
    )
    return None if combined.is_zero else as_kernel_shows(combined)


def as_kernel_shows(impairment: Impairment) -> Impairment:
    """The same impairment as the kernel shows it: rounded to the kernel's resolution, with all defaults filled in.

    It is idempotent, so that what is read back equals what was desired.
    """
    shown = impairment.model_copy(
        update={
            "delay_ms": _in_ticks(impairment.delay_ms),
            "jitter_ms": _in_ticks(impairment.jitter_ms),
            "delay_correlation_pct": _pct(impairment.delay_correlation_pct) if impairment.jitter_ms else 0.0,
            "distribution": impairment.distribution if impairment.jitter_ms else Distribution.UNIFORM,
            "loss_pct": _pct(impairment.loss_pct),
            "loss_correlation_pct": _pct(impairment.loss_correlation_pct) if impairment.loss_pct else 0.0,
            "duplicate_pct": _pct(impairment.duplicate_pct),
            "corrupt_pct": _pct(impairment.corrupt_pct),
            "reorder_pct": _pct(impairment.reorder_pct),
            "reorder_correlation_pct": _pct(impairment.reorder_correlation_pct) if impairment.reorder_pct else 0.0,
            "reorder_gap": max(impairment.reorder_gap, 1) if impairment.reorder_pct else 0,
            "rate_kbit": _rate(impairment.rate_kbit),
        }
    )
    return shown if shown.limit_packets else shown.model_copy(update={"limit_packets": _limit(shown)})


def _fold_cuts(faults: Sequence[Fault], effects: Sequence[Effect], known: frozenset[str]) -> Cuts:
    cuts: Cuts = {}
    for fault, effect in zip(faults, effects, strict=True):
        for receiver in effect.cuts.keys() & known:
            into = cuts.setdefault(receiver, {})
            for sender in known.intersection(effect.cuts[receiver]):
                into[sender] = _later(into[sender], fault.expires_at) if sender in into else fault.expires_at
    return {receiver: senders for receiver, senders in cuts.items() if senders}


def _fold_impairments(effects: Sequence[Effect]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Receiver -> sender -> the effects that impair it, as indexes into `effects`."""
    hit: dict[str, dict[str, tuple[int, ...]]] = {}
    for index, effect in enumerate(effects):
        for sender, receiver in effect.impaired:
            into = hit.setdefault(receiver, {})
            into[sender] = (*into.get(sender, ()), index)
    return hit


def _link_maker(effects: Sequence[Effect]) -> Callable[[bool, datetime | None, tuple[int, ...]], Link]:
    """Makes each distinct link only once: thousands of pairs share a handful of links."""
    made: dict[tuple[bool, datetime | None, tuple[int, ...]], Link] = {}
    asked = {index: effect.impairment for index, effect in enumerate(effects) if effect.impairment}

    def link_of(cut: bool, expires_at: datetime | None, by: tuple[int, ...]) -> Link:
        key = (cut, expires_at, by)
        if key not in made:
            impairment = combine([asked[index] for index in by]) if by else None
            made[key] = Link(cut=cut, cut_expires_at=expires_at, impairment=impairment)
        return made[key]

    return link_of


def _links(
    cuts: Mapping[str, datetime | None],
    impaired: Mapping[str, tuple[int, ...]],
    link_of: Callable[[bool, datetime | None, tuple[int, ...]], Link],
) -> dict[str, Link]:
    return {
        sender: link_of(sender in cuts, cuts.get(sender), impaired.get(sender, ()))
        for sender in sorted(cuts.keys() | impaired.keys())
    }


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return None if one is None or other is None else max(one, other)


def _any_of(percentages: Iterable[float]) -> float:
    """The chance that at least one of independent events happens; sorted, so that the order changes no digit."""
    chances = sorted(percentage for percentage in percentages if percentage)
    if len(chances) <= 1:
        return chances[0] if chances else 0.0
    return 100 * (1 - math.prod(1 - chance / 100 for chance in chances))


def _least(values: Iterable[int]) -> int:
    return min((value for value in values if value), default=0)


def _pct(value: float) -> float:
    """Rounded to 0.0001, but never down to zero: `tc -j` shows fractions with six digits (iproute2 6.1)."""
    return max(round(value, 4), 0.0001) if value else 0.0


def _in_ticks(value_ms: float) -> float:
    """Rounded to steps that survive netem's ticks of 64 ns and the six digits of `tc -j`: 8 us below a second.

    iproute2 6.1 on Linux 6.1 shows 33333 us as 33332 us, and multiples of 8 us unchanged.
    """
    if not value_ms:
        return 0.0
    step_us = next((step for below, step in ((1e3, 8), (1e4, 40), (1e5, 200)) if value_ms < below), 1000)
    steps = max(round(value_ms * 1000 / step_us), 1)
    return steps * step_us / 1000


def _rate(kbit: int) -> int:
    """From a gigabit upward in whole megabits: `tc class show` truncates the rest (iproute2 6.1)."""
    return kbit - kbit % 1000 if kbit >= 1_000_000 else kbit  # noqa: PLR2004


def _limit(shown: Impairment) -> int:
    """Room for all packets that are being delayed: netem's default of 1000 drops silently at high rates."""
    if not shown.needs_netem:
        return 0
    under_way_bytes = (shown.rate_kbit or ASSUMED_RATE_KBIT) * (shown.delay_ms + shown.jitter_ms) / 8
    return min(QUEUE_PACKETS + math.ceil(under_way_bytes / ASSUMED_PACKET_BYTES), LIMIT_MAX_PACKETS)
