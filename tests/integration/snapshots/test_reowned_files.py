"""Disks that are the user's own files come back as they were, whatever became of the machine that had them."""

import os
import stat
from functools import partial
from pathlib import Path
from typing import Any

import libvirt
import pytest

from reconciler.errors import ClusterNotFound
from reconciler.host.virt_type.kvm_access import qemu_account
from reconciler.model.choices import StopMode
from tests.integration.bed import Bed, Session
from tests.integration.kills import Verb, kill_at_every_boundary, run
from tests.integration.snapshots.films import small_nodes, states

CLUSTER = "film"
OWNER, GROUP, MODE = 4242, 4343, 0o640
CONTENT = b"\0mine\xff\xfe\1" * (128 << 10)  # what is text is taken for no disk
RUNNING = {"n0": libvirt.VIR_DOMAIN_RUNNING}


@pytest.fixture
def disk(bed: Bed) -> Path:
    """A raw disk of somebody's who is neither root nor QEMU."""
    path = bed.directory / "mine.raw"
    path.write_bytes(CONTENT)
    os.chown(path, OWNER, GROUP)
    path.chmod(MODE)
    return path


@pytest.fixture
def film(bed: Bed, disk: Path) -> Bed:
    """One node with that disk that is off, and a snapshot of it."""

    def edit(document: dict[str, Any]) -> None:
        small_nodes(document)
        document["nodes"][0]["extra_disks"] = [{"path": str(disk), "existing": True}]

    bed.write_topology(CLUSTER, nodes=1, edit=edit)
    run(bed, define, create)
    return bed


async def define(session: Session) -> None:
    await session.clusters.define(CLUSTER)


async def start(session: Session) -> None:
    await session.clusters.start(CLUSTER, wait_for_ssh=False)


async def create(session: Session) -> None:
    await session.snapshots.create(CLUSTER, "one")


async def create_live(session: Session) -> None:
    await session.snapshots.create(CLUSTER, "live")


async def create_if_gone(session: Session) -> None:
    if not await session.snapshots.listing(CLUSTER):
        await create(session)


async def revert(session: Session) -> None:
    await session.snapshots.revert(CLUSTER, "live", wait=False)


async def stop(session: Session) -> None:
    await session.clusters.stop(CLUSTER, mode=StopMode.DESTROY)


async def destroy(session: Session) -> None:
    await session.clusters.destroy(CLUSTER)


async def destroy_with_disks(session: Session) -> None:
    try:
        await session.clusters.destroy(CLUSTER, remove_overlays=True)
    except ClusterNotFound:  # it is gone since an attempt that was killed
        return


def assert_is_lent(disk: Path) -> None:
    assert states(CLUSTER) == RUNNING
    account = qemu_account()
    assert account is not None
    assert disk.stat().st_uid == account.uid


def assert_is_mine(disk: Path) -> None:
    found = disk.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (OWNER, GROUP, MODE)
    assert disk.read_bytes() == CONTENT


def test_it_is_its_owners_again_each_time_the_machine_is_off(film: Bed, disk: Path) -> None:
    run(film, start)
    assert_is_lent(disk)
    run(film, stop)
    assert_is_mine(disk)
    run(film, start, create_live, revert)
    assert_is_lent(disk)
    run(film, destroy)
    assert_is_mine(disk)
    run(film, define, start)
    assert_is_lent(disk)
    run(film, destroy_with_disks)
    assert_is_mine(disk)


def test_it_is_its_owners_again_where_the_machine_ran_when_its_first_snapshot_was_taken(film: Bed, disk: Path) -> None:
    run(film, destroy_with_disks, define, start, create)
    assert_is_lent(disk)
    run(film, stop)
    assert_is_mine(disk)


@pytest.mark.parametrize("verb", [define, destroy_with_disks])
def test_a_return_that_is_killed_anywhere_is_finished_by_the_next_process(film: Bed, disk: Path, verb: Verb) -> None:
    async def lend(_session: Session) -> None:
        account = qemu_account()
        assert account is not None
        os.chown(disk, account.uid, -1)

    prepare: list[Verb] = [define, lend] if verb is define else [define, create_if_gone, lend]
    assert kill_at_every_boundary(film, prepare, verb, verb, partial(assert_is_mine, disk)) >= 2


def test_one_that_was_replaced_meanwhile_is_left_to_who_did_it(film: Bed, disk: Path) -> None:
    run(film, start)
    lent_to = disk.stat().st_uid
    disk.unlink()
    disk.write_bytes(CONTENT)
    os.chown(disk, lent_to, -1)
    run(film, stop)
    assert disk.stat().st_uid == lent_to
