"""Compares what was measured on a link with what faults do to it. Pure.

Only a measurement that the faults make all but impossible is a mismatch; one that has several explanations is
inconclusive, such as few packets against a small loss, or a machine too busy to answer.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from pydantic import Field

from reconciler.model.abridging import Abridgeable
from reconciler.model.faults import LinkExplanation
from reconciler.model.links import Impairment

SIGMAS = 4.0
SLACK_MS = 5.0
BUSY_MS = 60.0
"""How long an emulated machine on a busy host may take to answer, at the shortest of many round trips."""
BUSY_FACTOR = 4.0
"""An answer from one end to the other may take this many times as long as both ends need to answer themselves."""

PROBABLE = 0.001
DEFAULT_COUNT = 20
MAX_COUNT = 500
_LOSSES_WANTED = 10


class Verdict(StrEnum):
    """Whether a link behaves as the faults say."""

    CONFIRMED = "confirmed"
    MISMATCH = "mismatch"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Measured:
    """Probes of one directed link: sent and arrived, each counted once; round trips in ms.

    `own_answers_ms` is how long both ends together take to answer their own probes, which pass no link.
    """

    sent: int
    arrived: int
    round_trips_ms: tuple[float, ...] = ()
    own_answers_ms: float = 0.0


class LinkVerdict(Abridgeable):
    """One directed pair: what was expected, what was measured, and whether they agree."""

    sender: str = Field(description="The sending node.")
    receiver: str = Field(description="The receiving node.")
    verdict: Verdict = Field(description="Whether the measurement agrees with the faults.")
    reason: str = Field(description="Why, as text.")
    expected: str = Field(description="What the faults are expected to do.")
    sent: int = Field(default=0, description="Number of probes sent.")
    arrived: int = Field(default=0, description="Number of probes that arrived.")
    loss_pct: float | None = Field(default=None, description="Loss in this direction alone.")
    rtt_ms: float | None = Field(default=None, description="Median of the completed round trips.")


class FaultVerification(Abridgeable):
    """The verdict on every directed pair of nodes."""

    cluster_name: str = Field(description="Name of the cluster.")
    links: tuple[LinkVerdict, ...] = Field(description="One per directed pair of nodes.")

    @property
    def sound(self) -> bool:
        """Whether no measurement contradicts the faults."""
        return all(link.verdict is not Verdict.MISMATCH for link in self.links)


def probes_needed(impairments: list[Impairment]) -> int:
    """Enough probes for the smallest loss to show several times, within bounds."""
    losses = [loss for impairment in impairments if (loss := _loss(impairment)) > 0]
    if not losses:
        return DEFAULT_COUNT
    return min(max(DEFAULT_COUNT, math.ceil(_LOSSES_WANTED / min(losses))), MAX_COUNT)


def judge(expected: LinkExplanation, measured: Measured | None, reason: str = "") -> LinkVerdict:
    """The verdict on one link; `reason` says why nothing was measured."""
    verdict, why = (Verdict.INCONCLUSIVE, reason) if measured is None else _judge(expected, measured)
    sent, arrived = (measured.sent, measured.arrived) if measured else (0, 0)
    return LinkVerdict(
        sender=expected.sender,
        receiver=expected.receiver,
        verdict=verdict,
        reason=why,
        expected=expected.summary,
        sent=sent,
        arrived=arrived,
        loss_pct=round(100 * (1 - arrived / sent), 2) if sent else None,
        rtt_ms=round(median(measured.round_trips_ms), 2) if measured and measured.round_trips_ms else None,
    )


def _judge(expected: LinkExplanation, measured: Measured) -> tuple[Verdict, str]:
    impairment = expected.impairment or Impairment()
    if expected.cut or _loss(impairment) == 1:
        return _judge_cut(measured)
    if not measured.arrived:
        return Verdict.MISMATCH, f"none of {measured.sent} packets arrived"
    verdicts = [_judge_loss(impairment, measured), _judge_delay(expected, measured)]
    if impairment.rate_kbit:
        verdicts.append((Verdict.INCONCLUSIVE, "packets arrive; the bandwidth is not measured"))
    worst = [Verdict.MISMATCH, Verdict.INCONCLUSIVE, Verdict.CONFIRMED]
    verdict = min((one for one, _ in verdicts), key=worst.index)
    return verdict, "; ".join(why for one, why in verdicts if one is verdict and why)


def _judge_cut(measured: Measured) -> tuple[Verdict, str]:
    if measured.arrived:
        return Verdict.MISMATCH, f"{measured.arrived} of {measured.sent} packets arrived over a cut link"
    return Verdict.CONFIRMED, f"none of {measured.sent} packets arrived"


def _judge_loss(impairment: Impairment, measured: Measured) -> tuple[Verdict, str]:
    chance, sent = _loss(impairment), measured.sent
    lost = sent - measured.arrived
    said = f"{lost} of {sent} packets lost, {100 * chance:.3g} % expected"
    spread = SIGMAS * math.sqrt(sent * chance * (1 - chance))
    if impairment.loss_correlation_pct:
        return Verdict.INCONCLUSIVE, f"{said}, in bursts"
    if abs(lost - sent * chance) > max(spread, 0.1 * sent if chance == 0 else 1):
        return Verdict.MISMATCH, said
    if chance and (1 - chance) ** sent > PROBABLE:
        return Verdict.INCONCLUSIVE, f"{said}: too few packets to tell"
    if chance == 0 and lost:
        return Verdict.INCONCLUSIVE, said
    return Verdict.CONFIRMED, said


def _judge_delay(expected: LinkExplanation, measured: Measured) -> tuple[Verdict, str]:
    added_ms, trips = expected.added_rtt_ms, measured.round_trips_ms
    if added_ms is None:
        return Verdict.CONFIRMED, "nothing can come back"
    if not trips:
        return Verdict.INCONCLUSIVE, "no packet came back to be timed"
    jitter_ms = expected.impairment.jitter_ms if expected.impairment else 0.0
    slack_ms = max(SLACK_MS, 0.1 * added_ms) + jitter_ms
    said = f"round trips of {median(trips):.1f} ms, at least {added_ms:g} ms expected"
    if median(trips) < added_ms - slack_ms:
        return Verdict.MISMATCH, said
    if min(trips) > added_ms + slack_ms + max(BUSY_MS, BUSY_FACTOR * measured.own_answers_ms):
        return Verdict.MISMATCH if not added_ms else Verdict.INCONCLUSIVE, f"{said}: slower than that"
    return Verdict.CONFIRMED, said


def _loss(impairment: Impairment) -> float:
    """The chance that a packet does not arrive intact; a datagram with a flipped bit fails its checksum."""
    return round(1 - (1 - impairment.loss_pct / 100) * (1 - impairment.corrupt_pct / 100), 9)
