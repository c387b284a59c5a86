"""One measured figure, the bound it is held to, and what it is compared with."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A median with its range; `limit` is absolute in `unit`, and `reference` names where it comes from.

    Where `baseline` is given it was measured in the same run, and `limit_ratio` bounds value / baseline.
    """

    name: str
    value: float
    unit: str = "s"
    lowest: float | None = None
    highest: float | None = None
    samples: int = 1
    limit: float | None = None
    baseline: float | None = None
    limit_ratio: float | None = None
    reference: str = ""

    @property
    def ratio(self) -> float | None:
        return None if not self.baseline else self.value / self.baseline

    @property
    def holds(self) -> bool:
        """Whether every bound that is given is kept."""
        within = self.limit is None or self.value <= self.limit
        return within and (self.limit_ratio is None or (self.ratio or 0.0) <= self.limit_ratio)


def median_figure(
    name: str,
    samples: Sequence[float],
    *,
    limit: float | None = None,
    baseline: Sequence[float] | None = None,
    limit_ratio: float | None = None,
    reference: str = "",
) -> Figure:
    """The figure of several samples in seconds, against a baseline's median where there is one."""
    return Figure(
        name=name,
        value=statistics.median(samples),
        lowest=min(samples),
        highest=max(samples),
        samples=len(samples),
        limit=limit,
        baseline=None if baseline is None else statistics.median(baseline),
        limit_ratio=limit_ratio,
        reference=reference,
    )
