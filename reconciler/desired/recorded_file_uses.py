"""Which files of a record are disks, and which files disks stand on."""

import asyncio
from collections.abc import Collection, Iterator
from pathlib import Path

import structlog

from reconciler.concurrency import together
from reconciler.desired.part import part_of
from reconciler.errors import ClusterError
from reconciler.files.marked_files import directory_names
from reconciler.host.disks.layers import observe_layers
from reconciler.model.document import Layer
from reconciler.model.file_use import FileUse
from reconciler.model.names import ROOT_DISK, parse_layer_name
from reconciler.model.record import ClusterRecord
from reconciler.store.protocol import Store

log = structlog.get_logger(__name__)


def uses_of(record: ClusterRecord) -> Iterator[FileUse]:
    """The files of a record's desired disks, and those that its layers on disk stand on, removed ones too. Blocking.

    Raises `OperationFailed` if the cluster's directory cannot be read.
    """
    cluster = record.cluster_name
    for name, node in record.spec.nodes.items():
        whose = f"node {name} of cluster {cluster}"
        image = node.base_image
        yield FileUse(image.path, whose, cluster, ROOT_DISK, written=False, format=image.format)
        for target, disk in node.extra_disks.items():
            yield FileUse(disk.path, whose, cluster, target, written=True, format=disk.format, shared=disk.shared)
    yield from _uses_of_layers(record.spec.overlay_dir, cluster)


def unrecorded_uses(overlay_dir: Path, recorded: Collection[str]) -> Iterator[FileUse]:
    """What the layers in a directory stand on whose clusters have no record, as after the loss of one. Blocking.

    Raises `OperationFailed` if a cluster's directory cannot be read.
    """
    for cluster in directory_names(overlay_dir):
        if cluster not in recorded:
            yield from _uses_of_layers(overlay_dir, cluster)


def _uses_of_layers(overlay_dir: Path, cluster: str) -> Iterator[FileUse]:
    for layer in observe_layers(overlay_dir, cluster).values():
        if isinstance(layer, Layer) and layer.backing is not None and not parse_layer_name(layer.backing.name):
            whose = f"node {layer.node} of cluster {cluster}"
            yield FileUse(layer.backing, whose, cluster, layer.disk, written=False, format=layer.backing_format)


async def recorded_uses(store: Store, *, strict: bool = False) -> tuple[FileUse, ...]:
    """The files that the clusters of a store use as disks and below them, on this host.

    A cluster that cannot be read is left out; if it is `strict`, the `ClusterError` about it is raised.
    """
    home = await store.home_host()
    found = await together(*(_uses_of_one(store, name, home, strict) for name in await store.names()))
    return tuple(use for uses in found for use in uses)


async def _uses_of_one(store: Store, cluster: str, home: str, strict: bool) -> tuple[FileUse, ...]:
    try:
        record = await store.get(cluster)
        if record is None:
            return ()
        part = part_of(record, store.own_host, home)
        return await asyncio.to_thread(lambda: tuple(uses_of(part)))
    except ClusterError as error:
        if strict:
            raise
        # The plans of other clusters go on; libvirt's view of the files is checked anyway.
        log.warning("files_of_cluster_unknown", cluster=cluster, cause=str(error))
        return ()
