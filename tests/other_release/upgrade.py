"""A cluster that was made under another libvirt and QEMU is taken up as it is: its record, definitions, layers, memory.

Not found by its name, as it needs `earlier`'s archive: `python -m tests.other_release` runs it.
"""

import re

import libvirt
import pytest

from reconciler.model.plan import StartNetwork
from reconciler.model.results import DomainState
from reconciler.usecases.snapshot_upkeep import SnapshotUpkeep
from tests.integration.bed import Session, host_libvirt
from tests.integration.conftest import TEST_TIMEOUT_S
from tests.other_release.earlier import CLUSTER, DISKS, IN_MEMORY, MEMORY, ON_DISK, TIMEOUT_S

pytestmark = pytest.mark.timeout(TEST_TIMEOUT_S)


def machine_type(*, live: bool) -> str:
    with host_libvirt() as handle:
        xml = handle.lookupByName(f"{CLUSTER}.n0").XMLDesc(0 if live else libvirt.VIR_DOMAIN_XML_INACTIVE)
    (found,) = re.findall(r"machine='([^']+)'", xml)
    return str(found)


async def test_what_stands_there_is_as_desired(taken_up: Session) -> None:
    actions = (await taken_up.clusters.plan(CLUSTER, start=False)).plan.actions
    assert [type(action) for action in actions] == [StartNetwork], "as on any host that was rebooted"
    snapshots = await taken_up.snapshots.listing(CLUSTER)
    assert {each.snapshot_name: bool(each.per_node["n0"].memory_path) for each in snapshots} == {
        MEMORY: True,
        DISKS: False,
    }


async def test_a_memory_goes_on_where_it_was_saved(taken_up: Session) -> None:
    before = machine_type(live=False)
    status = await taken_up.snapshots.revert(CLUSTER, MEMORY, ssh_timeout_s=TIMEOUT_S)
    assert [node.ssh_reachable for node in status.nodes] == [True]
    said = await taken_up.nodes.run(CLUSTER, "n0", f"cat {IN_MEMORY} {ON_DISK}", timeout_s=60)
    assert said.stdout.split() == ["kept", "kept"]
    assert machine_type(live=True) == before


async def test_what_it_saves_there_it_takes_up_again(taken_up: Session) -> None:
    await taken_up.nodes.run(CLUSTER, "n0", f"echo later > {IN_MEMORY}", timeout_s=60)
    await taken_up.snapshots.create(CLUSTER, "there", include_memory=True)
    await taken_up.snapshots.revert(CLUSTER, "there", ssh_timeout_s=TIMEOUT_S)
    assert (await taken_up.nodes.run(CLUSTER, "n0", f"cat {IN_MEMORY}", timeout_s=60)).stdout.split() == ["later"]


async def test_disks_are_whole_and_are_gone_back_to(taken_up: Session) -> None:
    status = await taken_up.snapshots.revert(CLUSTER, DISKS, restart_after=False)
    assert [node.domain_state for node in status.nodes] == [DomainState.SHUT_OFF]
    assert (await SnapshotUpkeep(taken_up.runtime).verify(CLUSTER)).sound
    assert (await taken_up.clusters.plan(CLUSTER, start=False)).plan.converged
