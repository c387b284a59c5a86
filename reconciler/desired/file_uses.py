"""Which files of a record are disks, and which stand below disks."""

from collections.abc import Iterator

from reconciler.host.disks.layers import observe_layers
from reconciler.model.document import Layer
from reconciler.model.file_use import FileUse
from reconciler.model.names import ROOT_DISK, parse_layer_name
from reconciler.model.record import ClusterRecord


def uses_of(record: ClusterRecord) -> Iterator[FileUse]:
    """What a record wants, and what its layers on disk, of former disks and snapshots too, stand on. Blocking.

    Raises `OperationFailed` where the cluster's directory cannot be read.
    """
    cluster = record.cluster_name
    for name, node in record.spec.nodes.items():
        whose = f"node {name} of cluster {cluster}"
        image = node.base_image
        yield FileUse(image.path, whose, cluster, ROOT_DISK, written=False, format=image.format)
        for target, disk in node.extra_disks.items():
            yield FileUse(disk.path, whose, cluster, target, written=True, format=disk.format, shared=disk.shared)
    for layer in observe_layers(record.spec.overlay_dir, cluster).values():
        if isinstance(layer, Layer) and layer.backing is not None and not parse_layer_name(layer.backing.name):
            whose = f"node {layer.node} of cluster {cluster}"
            yield FileUse(layer.backing, whose, cluster, layer.disk, written=False, format=layer.backing_format)
