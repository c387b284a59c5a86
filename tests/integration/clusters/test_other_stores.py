"""Several stores over the same disks: older copies, somebody else's, backups. What one has made is lost to none.

On a real libvirtd, with domains that are only powered on.
"""

import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError, ClusterNotFound, Conflict, Obstructed
from reconciler.files.ownership import ATTRIBUTE, OwnerMark
from reconciler.host.disks.manifests import snapshot_dir
from reconciler.model.choices import StopMode
from reconciler.model.document import Mark
from reconciler.model.status import ConditionType
from reconciler.observe.cluster import observe_cluster
from tests.integration.bed import Bed, Session, audit, host_libvirt
from tests.integration.kills import kill_at_every_boundary, run
from tests.integration.snapshots.films import small_nodes

CLUSTER = "shared"


def other_bed(bed: Bed, state_dir: str) -> Bed:
    """The same overlays, topologies and libvirt with another state directory."""
    return replace(bed, settings=bed.settings.model_copy(update={"state_dir": bed.directory / state_dir}))


def copied_bed(bed: Bed, state_dir: str = "older") -> Bed:
    """A bed with the state as it is now."""
    copy = other_bed(bed, state_dir)
    shutil.copytree(bed.settings.state_dir, copy.settings.state_dir)
    return copy


@dataclass(frozen=True)
class Everything:
    """All that is on the host, down to definitions, contents and marks."""

    found: object
    definitions: dict[str, str]
    files: dict[str, tuple[int, bytes, bytes | None]]

    @classmethod
    def now(cls, bed: Bed) -> "Everything":
        with host_libvirt() as handle:
            things = (*handle.listAllDomains(), *handle.listAllNetworks())
            definitions = {of.name(): of.XMLDesc() for of in things if CLUSTER in of.name()}
        overlays = bed.settings.overlay_dir
        seen = {str(path.relative_to(overlays)): _file(path) for path in sorted(overlays.rglob("*"))}
        return cls(audit(bed), definitions, {name: of for name, of in seen.items() if not name.endswith(".log")})


def _file(path: Path) -> tuple[int, bytes, bytes | None]:
    try:
        mark = os.getxattr(path, ATTRIBUTE)
    except OSError:
        mark = None
    return path.stat().st_ino, b"" if path.is_dir() else path.read_bytes(), mark


@contextmanager
def nothing_touched(bed: Bed) -> Iterator[None]:
    before = Everything.now(bed)
    yield
    assert Everything.now(bed) == before


async def define(session: Session) -> None:
    await session.clusters.define(CLUSTER)


async def start(session: Session) -> None:
    await session.clusters.start(CLUSTER, paused=True)


async def snap(session: Session) -> None:
    await session.snapshots.create(CLUSTER, "kept")


async def revert(session: Session) -> None:
    await session.snapshots.revert(CLUSTER, "kept", wait=False)


async def adopt(session: Session) -> None:
    await session.clusters.adopt(CLUSTER)


async def destroy(session: Session) -> None:
    await session.clusters.destroy(CLUSTER, remove_overlays=True)


async def as_wanted(session: Session) -> None:
    """The record holds, and everything on the host carries an origin that its store knows."""
    record = await session.runtime.store.get(CLUSTER)
    assert record is not None
    assert (await session.runtime.looks.compare(record)).plan.converged
    observed = await observe_cluster(record, session.runtime.libvirt, session.runtime.links)
    origins = {of.origin for of in observed.marks.values() if isinstance(of, Mark)}
    lineage = await session.runtime.store.lineage(CLUSTER, [of for of in origins if of is not None])
    assert origins == lineage.known
    assert {key.partition("/")[0] for key in observed.marks} >= {"directory", "domains", "layers", "networks", "seeds"}


async def refused(session: Session) -> None:
    """Whatever is asked of the cluster is a conflict that says whose it is and what helps."""
    verbs: list[Any] = [
        session.clusters.define(CLUSTER),
        session.clusters.apply(CLUSTER, wait_for_ssh=False),
        session.clusters.stop(CLUSTER),
        session.clusters.crash(CLUSTER, "n0", wait_for_ssh=False),
        session.clusters.destroy(CLUSTER, remove_overlays=True),
    ]
    for verb in verbs:
        with pytest.raises((Conflict, Obstructed), match="cluster_adopt") as caught:
            await verb
        assert caught.value.code is ErrorCode.CONFLICT


async def shown(session: Session) -> None:
    """Looking at the cluster says so as well."""
    assert (await session.clusters.plan(CLUSTER)).plan.foreign
    status = await session.inspection.status(CLUSTER)
    ready = next(of for of in status.conditions if of.type is ConditionType.READY)
    assert (ready.reason, "cluster_adopt" in ready.message) == ("OwnedElsewhere", True)


@pytest.mark.parametrize("later", [(snap,), (snap, revert), (start, snap, revert)])
def test_an_older_copy_of_the_state_touches_nothing_of_what_was_made_since(bed: Bed, later: tuple[Any, ...]) -> None:
    bed.write_topology(CLUSTER, edit=small_nodes)
    run(bed, define, start)
    older = copied_bed(bed)
    run(bed, *later)
    with nothing_touched(bed):
        run(older, shown, refused)
    run(bed, as_wanted)


def test_an_older_copy_is_known_for_one_also_where_nothing_was_made_since(bed: Bed) -> None:
    """It would turn the nodes on again: the cluster's directory says which generation acted last."""
    bed.write_topology(CLUSTER, edit=small_nodes)
    run(bed, define, start)
    older = copied_bed(bed)

    async def stop(session: Session) -> None:
        await session.clusters.stop(CLUSTER, mode=StopMode.DESTROY)

    async def one_round(session: Session) -> None:
        result = await session.runtime.rounds.run(CLUSTER)
        assert (result.plan.foreign, result.outcomes) == (True, ())

    run(bed, stop)
    with nothing_touched(bed):
        run(older, one_round, shown)
    run(bed, as_wanted)


def test_two_copies_of_a_state_that_both_go_on_do_not_take_each_others_generations(bed: Bed) -> None:
    bed.write_topology(CLUSTER, edit=small_nodes)
    run(bed, define)
    older = copied_bed(bed)
    run(bed, start, snap, revert)

    async def go_on(session: Session) -> None:
        for _ in range(5):
            record = await session.runtime.store.get(CLUSTER)
            assert record is not None
            changed = record.model_copy(update={"fault_requests": record.fault_requests + 1})
            await session.runtime.store.put(changed, expected_generation=record.generation, actor="test")

    with nothing_touched(bed):
        run(older, go_on, refused)
    run(bed, as_wanted)


def test_what_an_older_copy_finds_is_adopted_and_the_other_store_is_refused_from_then_on(bed: Bed) -> None:
    bed.write_topology(CLUSTER, edit=small_nodes)
    run(bed, define, start)
    older = copied_bed(bed)
    run(bed, snap, revert)
    before = audit(bed)
    run(older, adopt, as_wanted)
    assert audit(bed) == before, "what stands is taken as it is"

    async def snapshots(session: Session) -> None:
        assert [of.snapshot_name for of in await session.snapshots.listing(CLUSTER)] == ["kept"]

    run(older, snapshots)
    with nothing_touched(bed):
        run(bed, refused)
    run(older, destroy)
    assert audit(bed).clean


@pytest.mark.parametrize("shares_overlays", [True, False])
def test_a_second_user_with_the_same_cluster_name_is_refused_before_anything_is_touched(
    bed: Bed, shares_overlays: bool
) -> None:
    bed.write_topology(CLUSTER, edit=small_nodes)
    run(bed, define, start)
    second = other_bed(bed, "second")
    elsewhere = second.settings.model_copy(update={"overlay_dir": bed.directory / "second-overlays"})
    second = second if shares_overlays else replace(second, settings=elsewhere)

    async def refused_at_once(session: Session) -> None:
        for verb in (session.clusters.define(CLUSTER), session.clusters.apply(CLUSTER, wait_for_ssh=False)):
            with pytest.raises((Conflict, Obstructed), match=r"another store.*state.*cluster_adopt"):
                await verb
        assert await session.runtime.store.names() == []

    async def not_destroyed(session: Session) -> None:
        with pytest.raises((Conflict, ClusterNotFound), match=r"another store.*take_over"):
            await session.clusters.destroy_by_marks(CLUSTER, remove_overlays=True)
        assert await session.runtime.store.names() == []

    with nothing_touched(bed):
        run(second, refused_at_once, not_destroyed)
    assert not elsewhere.overlay_dir.exists()
    run(bed, as_wanted)


def test_another_stores_things_are_destroyed_when_that_is_said(bed: Bed) -> None:
    bed.write_topology(CLUSTER, edit=small_nodes)
    run(bed, define, start, snap)

    async def destroy_all(session: Session) -> None:
        await session.clusters.destroy_by_marks(CLUSTER, remove_overlays=True, take_over=True)

    run(other_bed(bed, "second"), destroy_all)
    assert audit(bed).clean


def test_adopting_from_another_store_is_resumed_wherever_it_is_killed(bed: Bed) -> None:
    bed.write_topology(CLUSTER, nodes=1, edit=small_nodes)
    second = other_bed(bed, "second")

    async def define_first(_session: Session) -> None:
        async with bed.runtime() as runtime:
            await define(first := Session(runtime))
            await start(first)
            await snap(first)

    async def again(session: Session) -> None:
        if await session.runtime.store.get(CLUSTER) is None:
            await adopt(session)
        else:
            await session.clusters.apply(CLUSTER, start=False)

    def taken_over() -> None:
        run(second, as_wanted)
        with nothing_touched(bed):
            run(bed, refused)
        run(second, destroy)

        async def gone(session: Session) -> None:
            await session.clusters.destroy_by_marks(CLUSTER, remove_overlays=True)

        run(bed, gone)

    boundaries = kill_at_every_boundary(second, [define_first], adopt, again, taken_over)
    assert boundaries >= 6, "network, domain, layers, seed, snapshot, directory"


def test_disks_that_were_put_back_from_a_backup_are_adopted(bed: Bed) -> None:
    bed.write_topology(CLUSTER, edit=small_nodes)
    run(bed, define, snap)
    directory = bed.settings.overlay_dir / CLUSTER
    before = audit(bed)
    subprocess.run(["cp", "-a", directory, directory.with_name("backup")], check=True)
    shutil.rmtree(directory)
    directory.with_name("backup").rename(directory)

    async def not_taken(session: Session) -> None:
        for verb in (session.clusters.define(CLUSTER), session.clusters.apply(CLUSTER, wait_for_ssh=False)):
            with pytest.raises((Conflict, Obstructed), match=r"is a copy of a file.*cluster_adopt"):
                await verb

    with nothing_touched(bed):
        run(bed, not_taken)
    run(bed, adopt, as_wanted)
    assert audit(bed) == before


def test_copies_of_layers_are_the_users_and_stay(bed: Bed) -> None:
    bed.write_topology(CLUSTER, nodes=1, edit=small_nodes)
    run(bed, define)
    directory = bed.settings.overlay_dir / CLUSTER
    layer = directory / "n0.vda.r0.0.qcow2"
    copies = [directory / "n0.vda.r7.0.qcow2", directory / "n0.vda.r0.1.qcow2"]
    for copy in copies:
        subprocess.run(["cp", "-a", layer, copy], check=True)
    with nothing_touched(bed):
        run(bed, define)
    run(bed, destroy)
    assert sorted(directory.iterdir()) == sorted(copies)


def test_marks_of_an_earlier_version_are_signed_without_a_second_look(bed: Bed) -> None:
    bed.write_topology(CLUSTER, edit=small_nodes)
    run(bed, define, start, snap)
    strip_origins(bed)

    async def one_round(session: Session) -> None:
        record = await session.runtime.store.get(CLUSTER)
        assert record is not None
        result = await session.runtime.rounds.run(CLUSTER)
        assert (result.converged, result.outcomes) == (True, ())

    before = audit(bed)
    run(bed, one_round, as_wanted)
    assert audit(bed) == before


def strip_origins(bed: Bed) -> None:
    """Make the marks what an earlier version has written."""
    for path in bed.settings.overlay_dir.rglob("*"):
        try:
            mark = OwnerMark.model_validate_json(os.getxattr(path, ATTRIBUTE))
        except OSError:
            continue
        if path.is_dir():
            os.removexattr(path, ATTRIBUTE)
        else:
            os.setxattr(path, ATTRIBUTE, mark.model_dump_json(exclude={"origin", "file"}).encode())
    with host_libvirt() as handle:
        for domain in handle.listAllDomains():
            handle.defineXML(without_origin(domain.XMLDesc(2)))
        for network in handle.listAllNetworks():
            if CLUSTER in network.name():
                handle.networkDefineXML(without_origin(network.XMLDesc(1)))


def without_origin(xml: str) -> str:
    root = ET.fromstring(xml)
    for mark in root.iterfind("metadata/*"):
        for name in ("store", "generation", "token", "state-dir"):
            mark.attrib.pop(name)
    return ET.tostring(root, encoding="unicode")


def test_what_others_put_among_snapshots_is_theirs_and_keeps_nothing_from_being_done(bed: Bed) -> None:
    bed.write_topology(CLUSTER, nodes=1, edit=small_nodes)
    run(bed, define, snap)
    ours = snapshot_dir(bed.settings.overlay_dir, CLUSTER, "kept")
    theirs = [ours.with_name("notes.txt"), ours.with_name("old") / "disk.raw", ours / "readme"]
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.write_text("somebody's")
    ours.with_name("empty").mkdir()

    async def delete(session: Session) -> None:
        await session.snapshots.delete(CLUSTER, "kept")
        await session.snapshots.create(CLUSTER, "next")

    run(bed, delete, as_wanted, destroy)
    assert [path.read_text() for path in theirs] == ["somebody's"] * 3
    assert audit(bed).domains == frozenset()


def test_a_file_where_the_snapshots_belong_keeps_nothing_else_from_being_done(bed: Bed) -> None:
    bed.write_topology(CLUSTER, nodes=1, edit=small_nodes)
    run(bed, define)
    place = bed.settings.overlay_dir / CLUSTER / "snapshots"
    place.write_text("somebody's")

    async def not_taken(session: Session) -> None:
        with pytest.raises(ClusterError, match="snapshots is not a directory"):
            await session.snapshots.create(CLUSTER, "never")

    run(bed, as_wanted, start, not_taken, as_wanted, destroy)
    assert place.read_text() == "somebody's"


def test_a_directory_of_somebody_elses_is_not_taken_for_the_clusters(bed: Bed) -> None:
    bed.write_topology(CLUSTER, nodes=1, edit=small_nodes)
    directory = bed.settings.overlay_dir / CLUSTER
    directory.mkdir(parents=True)
    (directory / "thesis.tex").write_text("somebody's")

    async def not_here(session: Session) -> None:
        with pytest.raises((Conflict, Obstructed), match=f"{directory}.*does not count as cluster"):
            await session.clusters.define(CLUSTER)
        assert await session.runtime.store.names() == []

    with nothing_touched(bed):
        run(bed, not_here)
    (directory / "thesis.tex").unlink()
    run(bed, define, as_wanted)
