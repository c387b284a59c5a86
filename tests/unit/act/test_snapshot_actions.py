"""Snapshots that several hosts take together, where one of them is interrupted."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from reconciler.act.context import ActContext
from reconciler.act.snapshot_actions import sweep_snapshot
from reconciler.errors import ClusterError, OperationFailed, StoreUnreachable
from reconciler.files.marked_files import delete_file
from reconciler.host.disks import manifests
from reconciler.host.disks.manifests import (
    UnfinishedSnapshot,
    begin_snapshot,
    finish_snapshot,
    note_manifest,
    observe_snapshots,
    read_journal,
    remove_snapshot,
    snapshot_dir,
)
from reconciler.model.document import Snapshot
from reconciler.model.plan import ChangeKind, SweepSnapshot
from reconciler.model.snapshot import Manifest
from reconciler.store.meeting import SoleMeeting
from tests.simulation.worlds import CLUSTER, running_record

MANIFEST = Manifest(
    cluster_name=CLUSTER,
    snapshot_name="s1",
    request=7,
    include_memory=False,
    pause_s=0,
    created_at=datetime(2026, 1, 2, tzinfo=UTC),
    nodes={},
)
JOURNAL = UnfinishedSnapshot(snapshot_name="s1", stopped_nodes=("alpha",), request=7)
SWEEP = SweepSnapshot(name="s1", reason="it was interrupted", change=ChangeKind.DELETE)


@dataclass(slots=True)
class Decided(SoleMeeting):
    """The answer of the other hosts; None while the store is away."""

    is_off: bool | None
    order: list[str]

    async def call_off(self, why: str) -> bool:
        self.order.append("asked")
        if self.is_off is None:
            raise StoreUnreachable("no member answers")
        return self.is_off


@dataclass(slots=True)
class Machines:
    """Which nodes were told to run on, among what was asked of others."""

    order: list[str] = field(default_factory=list)
    broken: bool = False

    async def resume_if_paused(self, _cluster: str, node: str) -> None:
        self.order.append(node)
        if self.broken:
            raise OperationFailed("the machine is gone")

    async def find_domains(self, _cluster: str) -> dict[str, Any]:
        return {}


def context_of(overlay_dir: Path, machines: Machines, *, is_off: bool | None) -> ActContext:
    record = running_record("alpha")
    record = record.model_copy(update={"spec": record.spec.model_copy(update={"overlay_dir": overlay_dir})})
    unused = cast("Any", None)
    return ActContext(
        record=record,
        origin=None,
        libvirt=cast("Any", machines),
        layers=unused,
        links=unused,
        ssh=unused,
        templates=unused,
        seeds={},
        address_of=unused,
        checkpoint=lambda _name: None,
        on_outcome=lambda _outcome: None,
        recorded_uses=unused,
        meeting=lambda _matter: Decided(is_off, machines.order),
    )


def interrupted(overlay_dir: Path) -> None:
    """A snapshot that this host had done all of, but for the decision."""
    begin_snapshot(overlay_dir, CLUSTER, JOURNAL)
    note_manifest(overlay_dir, CLUSTER, JOURNAL, MANIFEST, None)


@pytest.mark.parametrize("is_off", [True, False, None], ids=["called off", "agreed", "etcd away"])
async def test_nodes_run_on_before_the_other_hosts_are_asked_what_was_decided(
    tmp_path: Path, is_off: bool | None
) -> None:
    interrupted(tmp_path)
    machines = Machines()
    try:
        await sweep_snapshot(SWEEP, context_of(tmp_path, machines, is_off=is_off))
    except StoreUnreachable:
        assert is_off is None
    assert machines.order[:2] == ["alpha", "asked"]
    found = observe_snapshots(tmp_path, CLUSTER).get("s1")
    half_made = found.half_made if isinstance(found, Snapshot) else None
    assert half_made is {True: None, False: False, None: True}[is_off]


async def test_a_node_that_cannot_run_on_keeps_no_other_host_waiting(tmp_path: Path) -> None:
    interrupted(tmp_path)
    machines = Machines(broken=True)
    with pytest.raises(OperationFailed):
        await sweep_snapshot(SWEEP, context_of(tmp_path, machines, is_off=True))
    assert machines.order == ["alpha", "asked"]


async def test_a_part_that_all_agreed_to_is_finished_however_often_that_fails(tmp_path: Path) -> None:
    interrupted(tmp_path)
    in_the_way = snapshot_dir(tmp_path, CLUSTER, "s1") / "manifest.json"
    in_the_way.mkdir()
    for _ in range(2):
        with pytest.raises((ClusterError, OSError)):
            finish_snapshot(tmp_path, MANIFEST)
        noted = read_journal(tmp_path, CLUSTER, "s1")
        assert noted is not None, "what the snapshot consists of is known until it exists"
        assert noted.manifest == MANIFEST
    in_the_way.rmdir()
    await sweep_snapshot(SWEEP, context_of(tmp_path, Machines(), is_off=False))
    found = observe_snapshots(tmp_path, CLUSTER)["s1"]
    assert isinstance(found, Snapshot)
    assert (found.half_made, read_journal(tmp_path, CLUSTER, "s1")) == (False, None)


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_deletion_that_is_interrupted_leaves_nothing_to_finish(
    tmp_path: Path, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(tmp_path)
    finish_snapshot(tmp_path, MANIFEST)
    note_manifest(tmp_path, CLUSTER, JOURNAL, MANIFEST, None)  # as if the journal had been left behind
    deleted: list[Path] = []

    def killed_after(path: Path, cluster: str) -> None:
        if len(deleted) == done:
            raise InterruptedError
        deleted.append(path)
        delete_file(path, cluster)

    monkeypatch.setattr(manifests, "delete_file", killed_after)
    with suppress(InterruptedError):
        remove_snapshot(tmp_path, CLUSTER, "s1")
    is_whole = (snapshot_dir(tmp_path, CLUSTER, "s1") / "manifest.json").exists()
    assert is_whole is (done < 2)
    assert is_whole or read_journal(tmp_path, CLUSTER, "s1") is None
