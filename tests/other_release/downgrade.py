"""A cluster that was made under a newer libvirt and QEMU: what older ones can read is taken up, all else is refused.

Not found by its name, as it needs `earlier`'s archive: `python -m tests.other_release` runs it.
"""

import pytest

from reconciler.errors import RevertFailed
from reconciler.model.results import DomainState
from reconciler.usecases.snapshot_upkeep import SnapshotUpkeep
from tests.integration.bed import Session
from tests.integration.conftest import TEST_TIMEOUT_S
from tests.other_release.earlier import CLUSTER, DISKS, MEMORY

pytestmark = pytest.mark.timeout(TEST_TIMEOUT_S)


async def test_a_definition_that_it_cannot_read_is_made_again(taken_up: Session) -> None:
    await taken_up.clusters.apply(CLUSTER, start=False)
    assert (await taken_up.clusters.plan(CLUSTER, start=False)).plan.converged


async def test_a_memory_of_a_newer_qemu_is_refused_and_nothing_is_touched(taken_up: Session) -> None:
    with pytest.raises(RevertFailed, match="which this host's QEMU does not have"):
        await taken_up.snapshots.revert(CLUSTER, MEMORY)
    assert (await taken_up.clusters.plan(CLUSTER, start=False)).plan.converged


async def test_disks_are_whole_and_are_gone_back_to(taken_up: Session) -> None:
    status = await taken_up.snapshots.revert(CLUSTER, DISKS, restart_after=False)
    assert [node.domain_state for node in status.nodes] == [DomainState.SHUT_OFF]
    assert (await SnapshotUpkeep(taken_up.runtime).verify(CLUSTER)).sound
