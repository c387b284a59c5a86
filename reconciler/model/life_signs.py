"""What a machine has shown of itself to its host. Pure data."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class LifeSigns:
    """Of a machine's present run; `restored` ones began from memory, and `console_idle_s` is None without a word."""

    started_at: datetime
    age_s: float
    restored: bool
    console_idle_s: float | None
    packets: int
