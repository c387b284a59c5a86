"""Controllers, members of etcd and the ways between them fail at any moment: nothing is done twice, lost or left half.

These are a few seeds; `python -m tests.simulation.storms` runs as many as you like.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.etcd import RunningEtcd, running_members
from tests.simulation.storms import FORGETFUL, Storm

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RunningEtcd]]:
    with running_members(tmp_path_factory.mktemp("members"), arguments=FORGETFUL) as running:
        yield running


@pytest.mark.parametrize(("seed", "duration_s"), [(2, None), (5, None), (11, None), (1, 10.0)])
async def test_after_a_storm_all_is_as_wanted_and_no_act_was_done_twice(
    seed: int, duration_s: float | None, members: list[RunningEtcd], tmp_path: Path
) -> None:
    storm = Storm(seed, members, tmp_path, duration_s)
    try:
        await storm.run()
    except AssertionError as error:
        raise AssertionError("\n".join([f"seed {seed}: {error}", *storm.story])) from error
