"""Signs of life that a machine has shown to its host. Pure data."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class LifeSigns:
    """Signs from a machine's present run; `restored`: it began from memory; `console_idle_s`: None if silent."""

    started_at: datetime
    age_s: float
    restored: bool
    console_idle_s: float | None
    packets: int
