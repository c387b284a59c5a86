"""Once per verb with a machine that really boots: killed in the middle, begun again, the same end."""

from reconciler.model.record import StopMode
from tests.integration.bed import Bed, Session, audit, host_libvirt
from tests.integration.guests.conftest import BOOT_TIMEOUT_S
from tests.integration.kills import Killer, Verb, run, run_in_child, wait_for

CLUSTER = "solo"
MARK = "/root/mark"


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


async def leave_a_mark(session: Session) -> None:
    await session.nodes.run(CLUSTER, "n0", f"echo kept > {MARK}; sync", timeout_s=60)


async def find_the_mark(session: Session) -> None:
    assert (await session.nodes.run(CLUSTER, "n0", f"cat {MARK}", timeout_s=60)).stdout == "kept\n"


def killed_in_the_middle(bed: Bed, verb: Verb, boundary: int, again: Verb) -> None:
    assert not wait_for(run_in_child(bed, verb, Killer(boundary))), "it got through before it was killed"
    run(bed, again)


def machine_number() -> int:
    """libvirt's running number of the machine: a new one for each boot, -1 for none."""
    with host_libvirt() as handle:
        return int(handle.lookupByName(f"{CLUSTER}.n0").ID())


def test_every_verb_killed_once_on_a_real_machine_ends_as_asked(bed: Bed) -> None:
    bed.write_topology(CLUSTER, nodes=1)
    killed_in_the_middle(bed, define, 5, define)
    killed_in_the_middle(bed, start, 1, start)
    run(bed, leave_a_mark)
    before = machine_number()
    killed_in_the_middle(bed, crash, 1, start)
    run(bed, find_the_mark)
    assert machine_number() == before + 1
    killed_in_the_middle(bed, stop, 1, stop)
    assert machine_number() == -1
    killed_in_the_middle(bed, destroy, 1, destroy)
    assert audit(bed).clean
