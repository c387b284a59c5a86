"""A short soak; `make soak` runs a long one, and so does VMCLUSTER_TEST_SOAK_S, from a seed that is printed."""

import os
import secrets

from tests.integration.bed import Bed
from tests.soak.run import soak

SHORT_SEED = 878
SHORT_S = 25.0


async def test_whatever_clients_and_intruders_ask_for_and_whatever_is_damaged_all_is_as_its_owner_wants(
    bed: Bed,
) -> None:
    long_s = float(os.environ.get("VMCLUSTER_TEST_SOAK_S", "0"))
    seed = int(os.environ.get("VMCLUSTER_TEST_SOAK_SEED", secrets.randbelow(10**6) if long_s else SHORT_SEED))
    print(f"soak: seed {seed}")
    soaked = await soak(bed, seed=seed, duration_s=long_s or SHORT_S, say=print)
    assert soaked.steps >= 3
    assert soaked.done >= 3
    assert soaked.intruders_refused >= 1
