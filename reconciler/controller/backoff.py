"""Capped exponential delays."""

from random import Random

FIRST_DELAY_S = 0.1
_JITTER = 0.2


def growing_delay_s(tries: int, longest_s: float, chance: Random | None = None, first_s: float | None = None) -> float:
    """Exponential from `first_s` after the first try, capped; with `chance`, up to a fifth shorter or longer."""
    delay_s = min((first_s or FIRST_DELAY_S) * 2.0 ** min(tries - 1, 30), longest_s)
    return delay_s if chance is None else delay_s * chance.uniform(1 - _JITTER, 1 + _JITTER)
