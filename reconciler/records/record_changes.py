"""How each operation changes a record. Pure: from a record and a request to the next record."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from reconciler.desired.snapshot_losses import disks_of
from reconciler.errors import Conflict
from reconciler.model import names
from reconciler.model.choices import StopMode
from reconciler.model.document import ClusterDocument, Power, PowerState, Snapshot
from reconciler.model.record import (
    EVERYTHING,
    ClusterRecord,
    ClusterSpec,
    Deletion,
    ImageFile,
    NodeIntent,
    NodeSpec,
    SnapshotIntent,
    WantedPower,
)
from reconciler.model.topology import RestartPolicy

FIRST_BOOT_FIELDS = ("ip", "mac", "base_image", "disk_gb", "user_data")
"""Fields that take effect at the first boot: a change needs a new root disk, except for growing `disk_gb`."""


def with_spec(before: ClusterRecord | None, cluster: str, spec: ClusterSpec) -> ClusterRecord:
    """The record with a new specification. Existing nodes keep their requests; new ones are off.

    A node whose first boot would have been different gets a new root disk and, if it runs, a power cycle. Raises
    `Conflict` for another `overlay_dir`: nodes would start on empty disks, and snapshots would not be found. Neither is
    a fork changed to a topology: its nodes are those of the snapshot that it stands on.
    """
    if before is None:
        return ClusterRecord(cluster_name=cluster, spec=spec, nodes={name: NodeIntent() for name in spec.nodes})
    _require_same_place(before, spec)
    _require_no_fork(before, spec)
    if before.deletion is not None:
        before = _revived(before)
    nodes = {name: _intent(before, spec, name) for name in spec.nodes}
    gone = {name: _beyond(intent) for name, intent in before.nodes.items() if name not in nodes}
    first_revisions = {name: first for name, first in {**before.first_revisions, **gone}.items() if name not in nodes}
    return before.model_copy(
        update={
            "spec": spec,
            "nodes": nodes,
            "first_revisions": first_revisions,
            "former_files": _former_files(before, spec),
            "deletion": None,
        }
    )


def _require_same_place(before: ClusterRecord, spec: ClusterSpec) -> None:
    kept, wanted = before.spec.overlay_dir, spec.overlay_dir
    if kept != wanted:
        raise Conflict(
            f"cluster {before.cluster_name!r} keeps its disks and snapshots in {kept}, but overlay_dir is now "
            f"{wanted}: its nodes would start on empty disks",
            hint=f"remove overlay_dir from the topology, or set it to {kept}; to move the disks to another file "
            f"system, stop the nodes, move {kept} there, make a symbolic link at {kept}, then run `cluster_adopt`; to "
            "start on empty disks, destroy the cluster with its disks first",
        )


def _require_no_fork(before: ClusterRecord, spec: ClusterSpec) -> None:
    if before.forked_from is not None and spec.network.host_address is None:
        raise Conflict(
            f"cluster {before.cluster_name!r} is a fork of {before.forked_from}, and has no topology",
            hint="give the cluster of the topology another name, or destroy the fork with its disks first",
        )


def _former_files(before: ClusterRecord, spec: ClusterSpec) -> tuple[Path, ...]:
    had = dict.fromkeys((*before.former_files, *before.spec.extra_files))
    return tuple(path for path in had if path not in spec.extra_files)


def recreated_nodes(before: ClusterRecord | None, after: ClusterRecord) -> frozenset[str]:
    """The nodes of both records whose root disk is recreated."""
    if before is None:
        return frozenset()
    kept = before.nodes.keys() & after.nodes.keys()
    return frozenset(name for name in kept if after.nodes[name].disk_revision > before.nodes[name].disk_revision)


def recreation_causes(before: ClusterRecord | None, after: ClusterRecord) -> dict[str, str]:
    """For each recreated node, which change of its specification recreates the root disk, in words."""
    recreated = recreated_nodes(before, after)
    return {name: _recreation_cause(before, after, name) for name in after.nodes if before and name in recreated}


def _recreation_cause(before: ClusterRecord, after: ClusterRecord, name: str) -> str:
    old, new = before.spec.nodes[name], after.spec.nodes[name]
    changes = [f"host {old.host or 'unnamed'} -> {new.host or 'unnamed'}"] if _moves(old, new) else []
    changes += [
        "user_data changed" if field == "user_data" else f"{field} {_shown(old, field)} -> {_shown(new, field)}"
        for field in _first_boot_changes(old, new)
    ]
    return ", ".join(changes) or "login or network changed"


def _shown(node: NodeSpec, field: str) -> str:
    value = getattr(node, field)
    return str(value.path if isinstance(value, ImageFile) else "that of the image" if value is None else value)


def on_kept_disks(record: ClusterRecord, observed: ClusterDocument) -> ClusterRecord:
    """The record of a new cluster, based on the newest root layers that already exist.

    Requests continue the numbers that the host has carried out: a lower number would count as done. A newest layer that
    cannot be read is used too, so that it is reported instead of replaced by an older one.
    """
    root, extra = newest_revisions(observed)

    def change(name: str, intent: NodeIntent) -> NodeIntent:
        power = observed.power.get(name)
        epochs = power.model_dump(include={"boot_epoch", "resume_epoch"}) if isinstance(power, Power) else {}
        revisions = {"disk_revision": root.get(name, 0), "extra_revision": extra.get(name, 0)}
        return intent.model_copy(update={**revisions, **epochs})

    return _with_found_snapshots(_each(record, change), observed)


def newest_revisions(observed: ClusterDocument) -> tuple[dict[str, int], dict[str, int]]:
    """By node: the layers of the root disk, and of the extra disks."""
    root: dict[str, int] = {}
    extra: dict[str, int] = {}
    for path in observed.layers:
        if parsed := names.parse_layer_name(path.rpartition("/")[2]):
            newest = root if parsed[1] == names.ROOT_DISK else extra
            newest[parsed[0]] = max(newest.get(parsed[0], 0), parsed[2])
    return root, extra


def _with_found_snapshots(record: ClusterRecord, observed: ClusterDocument) -> ClusterRecord:
    """Existing snapshots become desired: losing the record must not delete them."""
    found = {
        name: SnapshotIntent(request=of.request, include_memory=of.include_memory)
        for name, of in observed.snapshots.items()
        if isinstance(of, Snapshot) and not of.half_made and of.held is None
    }
    latest = max((of.request for of in found.values()), default=0)
    return record.model_copy(update={"snapshots": found, "snapshot_requests": latest})


def as_found(record: ClusterRecord, observed: ClusterDocument) -> ClusterRecord:
    """The record that desires the observed power state of each node, so that nothing is started or stopped."""
    found = {PowerState.RUNNING: WantedPower.RUNNING, PowerState.PAUSED: WantedPower.PAUSED}

    def change(name: str, intent: NodeIntent) -> NodeIntent:
        power = observed.power.get(name)
        wanted = found.get(power.state, WantedPower.OFF) if isinstance(power, Power) else WantedPower.OFF
        return intent.model_copy(update={"power": wanted})

    return _each(record, change)


def rolled_back(before: ClusterRecord | None, then: ClusterRecord) -> ClusterRecord:
    """Restore the specification and the nodes' power state of an earlier record.

    Epochs and revisions continue from their current values; snapshots, and faults requested by commands or tools, stay
    as they are now. Nodes to be off shut down, however they were stopped then.
    """
    after = with_spec(before, then.cluster_name, _in_order_of(before, then.spec))

    def change(name: str, intent: NodeIntent) -> NodeIntent:
        earlier = then.nodes[name]
        stood_still = intent.power is WantedPower.PAUSED or (
            intent.power is WantedPower.OFF and _may_stay_off(after.spec, name)
        )
        resumed = earlier.power is WantedPower.RUNNING and stood_still
        mode = StopMode.SHUTDOWN if earlier.power is WantedPower.OFF else intent.stop_mode
        update = {"power": earlier.power, "stop_mode": mode}
        return intent.model_copy(update={**update, "resume_epoch": intent.resume_epoch + resumed})

    return _each(after, change)


def _in_order_of(before: ClusterRecord | None, spec: ClusterSpec) -> ClusterSpec:
    """The specification with its nodes in the record's order: a history of patches does not keep one."""
    known = [name for name in before.spec.nodes if name in spec.nodes] if before else []
    return spec.model_copy(update={"nodes": {name: spec.nodes[name] for name in dict.fromkeys([*known, *spec.nodes])}})


def started(
    record: ClusterRecord,
    *,
    nodes: Collection[str] | None = None,
    resume: frozenset[str] = frozenset(),
    paused: bool = False,
) -> ClusterRecord:
    """Start these nodes, by default all; those in `resume` are paused, and are resumed."""
    power = WantedPower.PAUSED if paused else WantedPower.RUNNING

    def change(name: str, intent: NodeIntent) -> NodeIntent:
        stood_still = name in resume or (intent.power is WantedPower.PAUSED and not paused)
        was_off = intent.power is WantedPower.OFF and _may_stay_off(record.spec, name)
        return intent.model_copy(
            update={"power": power, "resume_epoch": intent.resume_epoch + (stood_still or was_off)}
        )

    return _each(record, change, nodes)


def resumed(record: ClusterRecord, nodes: Collection[str]) -> ClusterRecord:
    """Run nodes again that are paused, or that are off and would stay off."""
    return _each(record, lambda _, of: of.model_copy(update={"resume_epoch": of.resume_epoch + 1}), nodes)


def stopped(record: ClusterRecord, mode: StopMode, *, nodes: Collection[str] | None = None) -> ClusterRecord:
    """Stop these nodes, by default all."""
    off = {"power": WantedPower.OFF, "stop_mode": mode}
    return _each(record, lambda _, intent: intent.model_copy(update=off), nodes)


def power_cycled(
    record: ClusterRecord, nodes: frozenset[str], mode: StopMode, *, power: Mapping[str, WantedPower] | None = None
) -> ClusterRecord:
    """Power-cycle each of `nodes` once; `power` is their state afterwards."""

    def change(name: str, intent: NodeIntent) -> NodeIntent:
        wanted = intent.power if power is None else power[name]
        epochs = {
            "boot_epoch": intent.boot_epoch + 1,
            "resume_epoch": intent.resume_epoch + _may_stay_off(record.spec, name),
        }
        return intent.model_copy(update={**epochs, "stop_mode": mode, "power": wanted})

    return _each(record, change, nodes)


def deleted(record: ClusterRecord, *, remove_overlays: bool) -> ClusterRecord:
    """Destroy the cluster, its faults first. A later request does not keep disks that an earlier one removes."""
    remove = remove_overlays or (record.deletion is not None and record.deletion.remove_overlays)
    return record.model_copy(update={"deletion": Deletion(remove_overlays=remove), "faults": {}})


def agreed_by_deletion(*, remove_overlays: bool) -> frozenset[str]:
    """What a deletion may lose: the machines, and with `remove_overlays` everything that the cluster has."""
    return frozenset({EVERYTHING if remove_overlays else "domain/*"})


def with_snapshot(
    record: ClusterRecord, name: str, *, include_memory: bool, quiesce: bool, for_forks: bool = False
) -> ClusterRecord:
    """Request one more snapshot."""
    request = record.snapshot_requests + 1
    wanted = SnapshotIntent(request=request, include_memory=include_memory, quiesce=quiesce, for_forks=for_forks)
    return record.model_copy(update={"snapshots": {**record.snapshots, name: wanted}, "snapshot_requests": request})


def without_snapshot(record: ClusterRecord, name: str) -> ClusterRecord:
    """Withdraw a snapshot."""
    kept = {other: wanted for other, wanted in record.snapshots.items() if other != name}
    return record.model_copy(update={"snapshots": kept})


def agreed_by_revert(record: ClusterRecord, snapshot: Snapshot) -> frozenset[str]:
    """What a revert loses: the current content of the nodes' disks."""
    then = {(node, disk) for node, part in snapshot.nodes.items() for disk in part.disks}
    return frozenset(f"layer/{node}/{disk}" for node, disk in disks_of(record) | then)


def reverted(record: ClusterRecord, name: str, snapshot: Snapshot, *, restart_after: bool) -> ClusterRecord:
    """Revert all nodes to a snapshot: on new layers above it, in the power state that they had.

    Without `restart_after` they are off. A node with memory in the snapshot resumes from it.
    """

    def change(node: str, intent: NodeIntent) -> NodeIntent:
        part = snapshot.nodes[node]
        power = WantedPower(part.power.value) if restart_after else WantedPower.OFF
        return intent.model_copy(
            update={
                "power": power,
                "stop_mode": StopMode.DESTROY,
                "disk_revision": intent.disk_revision + 1,
                "based_on": name,
                "extra_revision": intent.extra_revision + 1,
                "extra_based_on": name,
                "resumes_memory": part.memory is not None and restart_after,
                "resume_epoch": intent.resume_epoch + (power is WantedPower.RUNNING),
            }
        )

    return _each(record, change)


def _revived(record: ClusterRecord) -> ClusterRecord:
    """Restore a destroyed cluster: its disks as they were, its nodes off."""
    off = {"power": WantedPower.OFF, "resumes_memory": False}
    return _each(record, lambda _, intent: intent.model_copy(update=off))


def _intent(before: ClusterRecord, spec: ClusterSpec, name: str) -> NodeIntent:
    intent = before.nodes.get(name)
    if intent is None:
        first = before.first_revisions.get(name, 0)
        return NodeIntent(disk_revision=first, extra_revision=first, boot_epoch=first, resume_epoch=first)
    old, new = before.spec.nodes[name], spec.nodes[name]
    if _moves(old, new):
        intent = intent.model_copy(update={"extra_revision": intent.extra_revision + 1, "extra_based_on": None})
    elif not (_first_boot_changed(old, new) or _login(before.spec) != _login(spec)):
        return intent
    return intent.model_copy(
        update={
            "disk_revision": intent.disk_revision + 1,
            "instance": intent.instance + 1,
            "based_on": None,
            "resumes_memory": False,
            "boot_epoch": intent.boot_epoch + 1,
            "resume_epoch": intent.resume_epoch + _may_stay_off(spec, name),
            "stop_mode": StopMode.DESTROY,
        }
    )


def _may_stay_off(spec: ClusterSpec, node: str) -> bool:
    """Whether each start of the node is counted, to tell a pending start from one that has ended."""
    return spec.nodes[node].restart is not RestartPolicy.ALWAYS


def _beyond(intent: NodeIntent) -> int:
    """A number that no request of the node has had: its domain may still exist, with the numbers it has carried out."""
    return max(intent.disk_revision, intent.extra_revision, intent.boot_epoch, intent.resume_epoch) + 1


def _first_boot_changed(before: NodeSpec, after: NodeSpec) -> bool:
    changed = {*_first_boot_changes(before, after)}
    return bool(changed - {"disk_gb"}) or ("disk_gb" in changed and after.root_disk_bytes < before.root_disk_bytes)


def _moves(before: NodeSpec, after: NodeSpec) -> bool:
    """Whether the node gets another host, where it begins on new disks."""
    return before.host != after.host


def _first_boot_changes(before: NodeSpec, after: NodeSpec) -> list[str]:
    different = [field for field in FIRST_BOOT_FIELDS if getattr(before, field) != getattr(after, field)]
    return [field for field in different if field != "base_image" or not before.base_image.is_same(after.base_image)]


def _login(spec: ClusterSpec) -> tuple[object, ...]:
    network = spec.network
    return (spec.ssh.user, spec.ssh.public_key, network.subnet, network.forward)


def _each(
    record: ClusterRecord, change: Callable[[str, NodeIntent], NodeIntent], nodes: Collection[str] | None = None
) -> ClusterRecord:
    """The record with these nodes edited, by default all."""
    changed = {name: change(name, of) for name, of in record.nodes.items() if nodes is None or name in nodes}
    return record.model_copy(update={"nodes": {**record.nodes, **changed}})
