"""Lost and damaged records, and earlier generations: on a real libvirtd, with domains that are only powered on."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import (
    ApprovalRequired,
    ClusterError,
    ClusterNotFound,
    Conflict,
    InvalidArgument,
    OperationTimeout,
    StoreUnavailable,
)
from reconciler.model.choices import StopMode
from reconciler.model.record import WantedPower
from reconciler.model.status import ConditionStatus
from reconciler.progress import Progress
from reconciler.records.approval import Approval
from reconciler.usecases.clusters import Clusters
from reconciler.usecases.wait_for_condition import wait_for_condition
from tests.integration.bed import ACTOR, Bed, Session, audit, host_libvirt
from tests.integration.kills import run
from tests.integration.snapshots.films import small_nodes

CLUSTER = "lost"


def store_file(bed: Bed) -> Path:
    return bed.settings.state_dir / "records.sqlite"


def damage_record(bed: Bed) -> None:
    with closing(sqlite3.connect(store_file(bed))) as connection, connection:
        connection.execute("UPDATE record SET document = '{\"spec\": 7}'")


def damage_status(bed: Bed) -> None:
    with closing(sqlite3.connect(store_file(bed))) as connection, connection:
        connection.execute("UPDATE status SET document = '{\"mood\": 7}'")


def lose_store(bed: Bed) -> None:
    for path in bed.settings.state_dir.glob("records.sqlite*"):
        path.unlink()


async def define(session: Session) -> None:
    await session.clusters.define(CLUSTER)


async def start(session: Session) -> None:
    await session.clusters.start(CLUSTER, paused=True)


async def adopt(session: Session) -> None:
    await session.clusters.adopt(CLUSTER)


@pytest.mark.parametrize("damage", [damage_record, lose_store])
def test_a_cluster_without_a_readable_record_is_adopted_as_it_is(bed: Bed, damage: Any) -> None:
    bed.write_topology(CLUSTER)
    run(bed, define, start)
    before = audit(bed)
    damage(bed)
    run(bed, adopt)
    assert audit(bed) == before

    async def power(session: Session) -> None:
        record = await session.runtime.store.get(CLUSTER)
        assert record is not None
        assert {intent.power for intent in record.nodes.values()} == {WantedPower.PAUSED}

    run(bed, power, define)
    assert audit(bed) == before


async def test_a_record_is_kept_where_only_its_status_is_damaged(bed: Bed, session: Session) -> None:
    bed.write_topology(CLUSTER)
    await session.clusters.define(CLUSTER)
    await session.clusters.start(CLUSTER, paused=True)
    store, before = session.runtime.store, audit(bed)
    record, history = await store.get(CLUSTER), await store.history(CLUSTER)
    damage_status(bed)
    with pytest.raises(StoreUnavailable, match="status of cluster lost"):
        await session.inspection.status(CLUSTER)
    status = await session.clusters.adopt(CLUSTER)
    assert {node.domain_state for node in status.nodes} == {"paused"}
    assert (await store.get(CLUSTER), await store.history(CLUSTER), audit(bed)) == (record, history, before)
    damage_status(bed)
    await session.clusters.destroy_by_marks(CLUSTER, remove_overlays=True)
    assert audit(bed).clean
    assert [entry.actor for entry in await store.history(CLUSTER)][len(history) :] == ["test", "controller"]


async def test_nothing_is_adopted_or_destroyed_while_the_store_is_locked(bed: Bed, session: Session) -> None:
    bed.write_topology(CLUSTER)
    await session.clusters.define(CLUSTER)
    before, record = audit(bed), await session.runtime.store.get(CLUSTER)
    with closing(sqlite3.connect(store_file(bed), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for attempt in (session.clusters.adopt, session.clusters.destroy_by_marks):
            with pytest.raises(StoreUnavailable, match="locked by another process"):
                await attempt(CLUSTER)
        other.execute("ROLLBACK")
    assert (audit(bed), await session.runtime.store.get(CLUSTER)) == (before, record)


async def test_a_cluster_with_a_record_is_not_adopted(bed: Bed, session: Session) -> None:
    bed.write_topology(CLUSTER)
    await session.clusters.define(CLUSTER)
    with pytest.raises(Conflict, match="already has an intact record"):
        await session.clusters.adopt(CLUSTER)


async def test_adopting_what_would_cost_a_restart_changes_nothing(bed: Bed) -> None:
    bed.write_topology(CLUSTER)
    run(bed, define)
    lose_store(bed)
    bed.write_topology(CLUSTER, edit=lambda document: document["nodes"].pop())
    async with bed.runtime() as runtime:
        with pytest.raises(ApprovalRequired):
            await Session(runtime).clusters.adopt(CLUSTER)
        assert await runtime.store.names() == []


@pytest.mark.parametrize("damage", [damage_record, lose_store])
def test_a_cluster_without_a_readable_record_is_destroyed_by_its_marks(bed: Bed, damage: Any) -> None:
    bed.write_topology(CLUSTER)
    run(bed, define, start)
    damage(bed)

    async def destroy(session: Session) -> None:
        with pytest.raises((StoreUnavailable, ClusterNotFound)):
            await session.clusters.destroy(CLUSTER)
        await session.clusters.destroy_by_marks(CLUSTER, remove_overlays=True)

    run(bed, destroy)
    assert audit(bed).clean


async def test_our_extra_disks_are_found_by_what_names_them_and_others_are_left_alone(
    bed: Bed, session: Session
) -> None:
    made, brought, second = (bed.directory / f"{name}.qcow2" for name in ("made", "brought", "second"))
    shutil.copy(bed.empty_image, brought)

    def edit(document: dict[str, Any]) -> None:
        small_nodes(document)
        disks = [{"path": str(made), "size_gb": 1}, {"path": str(brought), "existing": True}]
        document["nodes"][0]["extra_disks"] = disks
        document["nodes"][1]["extra_disks"] = [{"path": str(second), "size_gb": 1}]

    bed.write_topology(CLUSTER, edit=edit)
    await session.clusters.define(CLUSTER)
    await session.snapshots.create(CLUSTER, "below")
    with host_libvirt() as handle:
        handle.lookupByName(f"{CLUSTER}.n0").undefine()  # its layers still tell
    with closing(sqlite3.connect(store_file(bed))) as connection, connection:
        connection.execute("DELETE FROM record")
    said: list[str] = []
    verbs = Clusters(session.runtime, actor=ACTOR, progress=Progress(said.append))
    await verbs.destroy_by_marks(CLUSTER, remove_overlays=True)
    assert audit(bed).clean
    assert (made.exists(), second.exists(), brought.exists()) == (False, False, True)
    assert "getfattr" in said[-1]


async def test_nothing_is_destroyed_by_marks_that_nobody_carries(session: Session) -> None:
    with pytest.raises(ClusterNotFound, match="belongs"):
        await session.clusters.destroy_by_marks("never-was")


async def test_a_damaged_store_is_a_clear_error_and_stays_as_it_is(bed: Bed) -> None:
    bed.write_topology(CLUSTER)
    run(bed, define)
    damaged = b"not a database at all" * 100
    store_file(bed).write_bytes(damaged)
    async with bed.runtime() as runtime:
        with pytest.raises(StoreUnavailable, match="adopt"):
            await Session(runtime).inspection.status(CLUSTER)
    assert store_file(bed).read_bytes() == damaged
    for path in bed.settings.state_dir.glob("records.sqlite*"):
        path.rename(path.with_name(path.name + ".damaged"))
    run(bed, adopt)


async def test_a_rollback_restores_the_former_desired_state(bed: Bed, session: Session) -> None:
    bed.write_topology(CLUSTER)
    await session.clusters.define(CLUSTER)
    bed.write_topology(CLUSTER, edit=lambda document: document["nodes"][0].update(memory_mb=768))
    await session.clusters.define(CLUSTER)
    status = await session.clusters.rollback(CLUSTER)
    record = await session.runtime.store.get(CLUSTER)
    assert record is not None
    assert record.spec.nodes["n0"].memory_mb == 512
    assert status.observed_generation == record.generation == 3
    observed = (await session.runtime.looks.compare(record)).observed
    assert observed.domains["n0"].memory_mb == 512  # type: ignore[union-attr]


async def test_a_rollback_that_loses_disks_needs_consent(bed: Bed, session: Session) -> None:
    bed.write_topology(CLUSTER, nodes=1)
    await session.clusters.define(CLUSTER)
    bed.write_topology(CLUSTER, nodes=2)
    await session.clusters.define(CLUSTER)
    with pytest.raises(ApprovalRequired, match="pass `allow_data_loss` to approve it"):
        await session.clusters.rollback(CLUSTER, to=1)
    status = await session.clusters.rollback(CLUSTER, to=1, approval=Approval(data_loss=True))
    assert [node.name for node in status.nodes] == ["n0"]
    with pytest.raises(InvalidArgument, match="never had"):
        await session.clusters.rollback(CLUSTER, to=99)


async def test_waiting_for_a_condition(bed: Bed, session: Session) -> None:
    bed.write_topology(CLUSTER)
    await session.clusters.define(CLUSTER)
    ready = await wait_for_condition(session.runtime, CLUSTER, "condition=Ready", timeout_s=60)
    assert ready is not None
    assert ready.status is ConditionStatus.TRUE
    with pytest.raises(OperationTimeout, match="NotWanted"):
        await wait_for_condition(session.runtime, CLUSTER, "Running", timeout_s=0.1)
    with pytest.raises(ClusterError, match="unknown condition"):
        await wait_for_condition(session.runtime, CLUSTER, "Happy", timeout_s=0.1)
    with pytest.raises(OperationTimeout, match="still exists"):
        await wait_for_condition(session.runtime, CLUSTER, "delete", timeout_s=0.1)
    await session.clusters.stop(CLUSTER, mode=StopMode.DESTROY)
    await session.clusters.destroy(CLUSTER)
    await wait_for_condition(session.runtime, CLUSTER, "delete", timeout_s=60)


async def test_what_happened_is_kept_and_can_be_read(bed: Bed, session: Session) -> None:
    bed.write_topology(CLUSTER)
    await session.clusters.define(CLUSTER)
    events = await session.runtime.store.events(CLUSTER)
    assert [event.number for event in events] == sorted(event.number for event in events)
    assert {(event.kind, event.subject) for event in events} >= {
        ("ActionDone", "DefineDomain"),
        ("ConditionChanged", "Ready"),
    }
