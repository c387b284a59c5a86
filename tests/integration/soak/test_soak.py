"""A short soak; `make soak` runs a long one."""

from tests.integration.bed import Bed
from tests.soak.run import soak

SEED = 6
DURATION_S = 30.0


async def test_whatever_two_clients_ask_for_and_whatever_is_damaged_meanwhile_all_is_as_wanted(bed: Bed) -> None:
    soaked = await soak(bed, seed=SEED, duration_s=DURATION_S, say=print)
    assert soaked.steps >= 3
    assert soaked.done >= 3
