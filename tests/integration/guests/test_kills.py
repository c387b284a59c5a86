"""Once per verb with a machine that really boots: killed in the middle, begun again, the same end.

Its power is cut the moment it took its first login: from then on a node must take logins whatever happens to it, as
only then is a snapshot with memory of that moment of any use, too (decision 0006).
"""

from reconciler.model.choices import StopMode
from tests.integration.bed import Bed, Session, audit, host_libvirt
from tests.integration.kills import Killer, Verb, run, run_in_child, wait_for
from tests.waiting import BOOT_TIMEOUT_S

CLUSTER = "solo"


async def define(session: Session) -> None:
    await session.clusters.define(CLUSTER)


async def start(session: Session) -> None:
    await session.clusters.start(CLUSTER, ssh_timeout_s=BOOT_TIMEOUT_S)


async def crash(session: Session) -> None:
    await session.clusters.crash(CLUSTER, "n0", ssh_timeout_s=BOOT_TIMEOUT_S)


async def stop(session: Session) -> None:
    await session.clusters.stop(CLUSTER, mode=StopMode.SHUTDOWN, timeout_s=120)


async def destroy(session: Session) -> None:
    await session.clusters.destroy(CLUSTER, remove_overlays=True)


def killed_in_the_middle(bed: Bed, verb: Verb, boundary: int, again: Verb) -> None:
    assert not wait_for(run_in_child(bed, verb, Killer(boundary))), "it got through before it was killed"
    run(bed, again)


def machine_number() -> int:
    """libvirt's running number of the machine: a new one for each boot, -1 for none."""
    with host_libvirt() as handle:
        return int(handle.lookupByName(f"{CLUSTER}.n0").ID())


def layer_inode(bed: Bed) -> int:
    """The file that the machine's root disk is: another one would have lost what is on it."""
    (layer,) = bed.settings.overlay_dir.glob(f"{CLUSTER}/n0.vda.*.qcow2")
    return layer.stat().st_ino


def test_every_verb_killed_once_on_a_real_machine_ends_as_asked(bed: Bed) -> None:
    bed.write_topology(CLUSTER, nodes=1, boots=True)
    killed_in_the_middle(bed, define, 5, define)
    killed_in_the_middle(bed, start, 1, start)
    before, disk = machine_number(), layer_inode(bed)
    killed_in_the_middle(bed, crash, 1, start)
    assert (machine_number(), layer_inode(bed)) == (before + 1, disk)
    killed_in_the_middle(bed, stop, 1, stop)
    assert machine_number() == -1
    killed_in_the_middle(bed, destroy, 1, destroy)
    assert audit(bed).clean
