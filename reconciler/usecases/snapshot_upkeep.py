"""Maintains snapshots: their tree, their integrity, and layers that nothing needs."""

import asyncio
from collections.abc import Set
from pathlib import Path

from pydantic import Field

from reconciler.concurrency import together
from reconciler.errors import SnapshotLost
from reconciler.files.space import allocated_bytes
from reconciler.model.base import Frozen
from reconciler.model.document import ClusterDocument, Layer, Snapshot
from reconciler.model.plan import DeleteLayer, Plan
from reconciler.model.record import ClusterRecord
from reconciler.observe.verification import verify_snapshots
from reconciler.progress import Progress, no_progress
from reconciler.records.stored_records import existing
from reconciler.runtime import Runtime
from reconciler.usecases.snapshot_tree import SnapshotTree, snapshot_tree
from reconciler.usecases.snapshots import resolved_name, snapshot_not_found

COLLECT_TIMEOUT_S = 120.0


_ELSEWHERE = "Nodes whose files are on other hosts, by host; this answer does not cover them."


class SnapshotCheck(Frozen):
    """The check of one snapshot; it is intact if there are no problems."""

    snapshot_name: str = Field(description="Its name.")
    findings: tuple[str, ...] = Field(description="What is wrong with it; empty if it is intact.")


class Verification(Frozen):
    """The check of a cluster's snapshots."""

    cluster_name: str = Field(description="Name of the cluster.")
    sound: bool = Field(description="No snapshot has a problem.")
    snapshots: tuple[SnapshotCheck, ...] = Field(description="Those that were checked.")
    nodes_elsewhere: dict[str, str] = Field(default={}, description=_ELSEWHERE)


class UnneededLayer(Frozen):
    """An unneeded layer: no node writes to it or reads it, and no snapshot holds it."""

    path: Path = Field(description="The file on the host.")
    node: str = Field(description="The node that it belonged to.")
    disk: str = Field(description="The disk of that node: vda, vdb, …")
    size_bytes: int = Field(description="Its size on disk.")
    held: bool = Field(description="It stays until its node is off, because the machine may still have it open.")
    removed: bool = Field(default=False, description="It was removed.")


class Unneeded(Frozen):
    """What can be removed from a cluster's disks: layers, and remains of interrupted snapshots."""

    cluster_name: str = Field(description="Name of the cluster.")
    layers: tuple[UnneededLayer, ...] = Field(description="Those that nothing is based on.")
    half_made: tuple[str, ...] = Field(description="Snapshots that were interrupted while they were taken.")
    removed: bool = Field(default=False, description="A round ran; `removed` of each layer says what it did.")
    nodes_elsewhere: dict[str, str] = Field(default={}, description=_ELSEWHERE)


class SnapshotUpkeep:
    """What does not change the desired state of snapshots. `name` may be a logical name of the topology."""

    def __init__(self, runtime: Runtime, progress: Progress = no_progress) -> None:
        self._runtime = runtime
        self._progress = progress

    async def tree(self, cluster: str) -> SnapshotTree:
        """Which snapshot is based on which, and where each node is."""
        record = await existing(self._runtime.store, cluster)
        looks = self._runtime.looks
        difference, manifests, said = await together(
            looks.compare(record), looks.parts.manifests(record), looks.parts.bases_elsewhere(record)
        )
        lost = await self._lost(record, {of.snapshot_name for of in manifests})
        return snapshot_tree(record, difference.observed, manifests, lost, said)

    async def verify(self, cluster: str, name: str | None = None) -> Verification:
        """Read all frozen layers, headers of memory files and UEFI variables of one snapshot or of all. Changes
        nothing.

        A lost snapshot is reported as a problem. Raises `SnapshotNotFound`, and `SnapshotLost` for `name`.
        """
        record = await existing(self._runtime.store, cluster)
        found = await self._runtime.looks.observe(record)
        snapshots = found.snapshots
        lost = await self._lost(record, snapshots.keys())
        if name is not None:
            snapshots = {name: snapshots[name] for name in [_one_of(record, name, snapshots.keys(), lost)]}
            lost = []
        problems = await verify_snapshots(snapshots, found.layers, record.spec.overlay_dir, cluster)
        problems |= dict.fromkeys(lost, ("it is lost: its manifest is gone",))
        return Verification(
            cluster_name=cluster,
            sound=not any(problems.values()),
            snapshots=tuple(SnapshotCheck(snapshot_name=name, findings=found) for name, found in problems.items()),
            nodes_elsewhere=await self._runtime.looks.parts.nodes_elsewhere(record),
        )

    async def unneeded(self, cluster: str) -> Unneeded:
        """What the next round would remove. Changes nothing."""
        record = await existing(self._runtime.store, cluster)
        difference = await self._runtime.looks.compare(record)
        found = await asyncio.to_thread(_unneeded, cluster, difference.desired, difference.observed, difference.plan)
        away = await self._runtime.looks.parts.nodes_elsewhere(record)
        return found.model_copy(update={"nodes_elsewhere": away})

    async def collect(self, cluster: str) -> Unneeded:
        """Run a round, which removes what is not needed; returns what was removed, and what its node still holds."""
        before = await self.unneeded(cluster)
        record = await existing(self._runtime.store, cluster)
        await self._runtime.controller.converge(record, timeout_s=COLLECT_TIMEOUT_S, tell=self._progress.event)
        there = {layer.path for layer in (await self.unneeded(cluster)).layers}
        layers = (layer.model_copy(update={"removed": layer.path not in there}) for layer in before.layers)
        return before.model_copy(update={"layers": tuple(layers), "removed": True})

    async def _lost(self, record: ClusterRecord, there: Set[str]) -> list[str]:
        """The recorded snapshots whose files are gone."""
        status = await self._runtime.store.status(record.cluster_name)
        made = status.snapshots_made if status is not None else frozenset()
        return [name for name, wanted in record.snapshots.items() if wanted.request in made and name not in there]


def _one_of(record: ClusterRecord, name: str, there: Set[str], lost: list[str]) -> str:
    name = resolved_name(record, name)
    if name in lost:
        raise SnapshotLost(f"the snapshot {name!r} is lost: its files are gone", hint="delete it")
    if name not in there:
        raise snapshot_not_found(record, name)
    return name


def _unneeded(cluster: str, desired: ClusterDocument, observed: ClusterDocument, plan: Plan) -> Unneeded:
    half_made = tuple(name for name, of in observed.snapshots.items() if isinstance(of, Snapshot) and of.half_made)
    goes_now = {action.path for action in plan.actions if isinstance(action, DeleteLayer)}
    return Unneeded(
        cluster_name=cluster,
        layers=tuple(
            UnneededLayer(
                path=Path(path),
                node=layer.node,
                disk=layer.disk,
                size_bytes=allocated_bytes(Path(path)),
                held=not half_made and Path(path) not in goes_now,  # those are removed first, by themselves
            )
            for path, layer in observed.layers.items()
            if path not in desired.layers and isinstance(layer, Layer)
        ),
        half_made=half_made,
    )
