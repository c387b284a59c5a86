"""Disks that somebody exchanges, links or rewrites: no machine starts on them, and none of them is written to."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt
import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError, Conflict
from reconciler.host.disks.given_format import noted_format
from reconciler.model.choices import StopMode
from tests.integration.bed import Bed, Session
from tests.integration.snapshots.films import small_nodes, states
from tests.unit.desired.files import GIB, qcow2_header

CLUSTER = "swap"
OFF = {"n0": libvirt.VIR_DOMAIN_SHUTOFF, "n1": libvirt.VIR_DOMAIN_SHUTOFF}


def exchange(one: Path, other: Path) -> None:
    one.rename(one.with_name("between"))
    other.rename(one)
    one.with_name("between").rename(other)


def layers(bed: Bed) -> tuple[Path, Path]:
    directory = bed.settings.overlay_dir / CLUSTER
    return directory / "n0.vda.r0.0.qcow2", directory / "n1.vda.r0.0.qcow2"


def facts(*paths: Path) -> list[tuple[int, int, int]]:
    return [(path.stat().st_ino, path.stat().st_mtime_ns, path.stat().st_uid) for path in paths]


async def start(session: Session) -> None:
    await session.clusters.start(CLUSTER, wait_for_ssh=False)


async def test_two_nodes_whose_layers_are_exchanged_do_not_start(bed: Bed, session: Session) -> None:
    bed.write_topology(CLUSTER, edit=small_nodes)
    await session.clusters.define(CLUSTER)
    exchange(*layers(bed))
    before = facts(*layers(bed))
    with pytest.raises(ClusterError, match="is not the file that was created there: it was created as n1") as refused:
        await start(session)
    assert refused.value.code is ErrorCode.CONFLICT
    plan = (await session.clusters.plan(CLUSTER)).plan
    assert {of.node for of in plan.obstacles if of.code is ErrorCode.CONFLICT} == {"n0", "n1"}
    assert (states(CLUSTER), facts(*layers(bed))) == (OFF, before)
    exchange(*layers(bed))
    await start(session)
    assert set(states(CLUSTER).values()) == {libvirt.VIR_DOMAIN_RUNNING}


@pytest.mark.parametrize("how", ["exchanged", "linked", "fifo", "linked to the image"])
async def test_what_is_exchanged_after_the_look_is_found_before_the_start(bed: Bed, how: str) -> None:
    bed.write_topology(CLUSTER, edit=small_nodes)
    one, other = layers(bed)
    away = one.with_name("away")
    swaps: dict[str, Callable[[], object]] = {
        "exchanged": lambda: other.rename(one),
        "linked": lambda: one.symlink_to(away),
        "fifo": lambda: os.mkfifo(one),
        "linked to the image": lambda: one.hardlink_to(bed.empty_image),
    }

    def checkpoint(name: str) -> None:
        if name == "before Start:n0":
            one.rename(away)
            swaps[how]()

    async with bed.runtime(checkpoint) as runtime:
        session = Session(runtime)
        await session.clusters.define(CLUSTER)
        image = facts(bed.empty_image)
        with pytest.raises(ClusterError) as refused:
            await start(session)
        assert refused.value.code is ErrorCode.CONFLICT
        assert states(CLUSTER)["n0"] == libvirt.VIR_DOMAIN_SHUTOFF
        assert facts(bed.empty_image) == image


async def test_a_guest_that_writes_a_header_on_its_raw_disk_changes_nothing(bed: Bed, session: Session) -> None:
    disk, secret = bed.directory / "mine.raw", bed.directory / "secret"
    disk.write_bytes(bytes(1 << 20))
    secret.write_bytes(b"secret".ljust(1 << 20, b"\0"))
    secret.chmod(0o600)

    def edit(document: dict[str, Any]) -> None:
        small_nodes(document)
        document["nodes"][0]["extra_disks"] = [{"path": str(disk), "existing": True}]

    bed.write_topology(CLUSTER, edit=edit)
    await session.clusters.apply(CLUSTER, wait_for_ssh=False)
    assert noted_format(disk) == "raw"
    with disk.open("r+b") as file:
        file.write(qcow2_header(GIB, os.fsencode(secret)))
    for _ in range(2):  # with the record, and without one
        assert (await session.clusters.plan(CLUSTER)).plan.converged
        await session.clusters.stop(CLUSTER, mode=StopMode.DESTROY)
        await session.clusters.apply(CLUSTER, wait_for_ssh=False)
        await session.snapshots.create(CLUSTER, "now")
        await session.snapshots.revert(CLUSTER, "now", wait=False)
        await session.snapshots.delete(CLUSTER, "now")
        assert secret.stat().st_uid == 0, "nobody has opened it"
        await session.clusters.destroy(CLUSTER, remove_overlays=True)
        await session.clusters.apply(CLUSTER, wait_for_ssh=False)


async def test_a_disk_of_a_running_machine_is_nobody_elses(bed: Bed, session: Session) -> None:
    disk = bed.directory / "mine.raw"
    disk.write_bytes(bytes(1 << 20))
    (bed.directory / "hard").hardlink_to(disk)
    (bed.directory / "image").symlink_to(bed.empty_image)

    def edit(name: str) -> Callable[[dict[str, Any]], None]:
        def with_disk(document: dict[str, Any]) -> None:
            small_nodes(document)
            document["nodes"][0]["extra_disks"] = [{"path": str(bed.directory / name), "existing": True}]
            document["network"]["subnet"] = f"192.168.{152 + len(name)}.0/24"
            for number, node in enumerate(document["nodes"]):
                node["ip"] = f"192.168.{152 + len(name)}.{10 + number}"

        return with_disk

    bed.write_topology(CLUSTER, edit=edit(disk.name))
    await session.clusters.apply(CLUSTER, wait_for_ssh=False)
    bed.write_topology("other", edit=edit("hard"))
    with pytest.raises(Conflict, match=f"hard is a disk of node n0 of cluster {CLUSTER}, which is up and writes to it"):
        await session.clusters.define("other")
    bed.write_topology("other", edit=edit("image"))
    with pytest.raises(ClusterError, match="image is the same file as base_image, which is never written to"):
        await session.clusters.define("other")
    await session.clusters.stop(CLUSTER, mode=StopMode.DESTROY)
    bed.write_topology("other", edit=edit("hard"))
    await session.clusters.define("other")
    await start(session)
    with pytest.raises(ClusterError, match=f"hard is a disk of node n0 of cluster {CLUSTER}, which is up"):
        await session.clusters.start("other", wait_for_ssh=False)
