"""Why a host cannot take a node. Pure."""

from collections.abc import Iterator, Mapping, Set

from reconciler.model.host import HostRecord, HostUse
from reconciler.model.record import ImageFile, NodeSpec
from reconciler.model.topology import VirtType

VCPUS_PER_PROCESSOR = 8
"""So many virtual processors share a real one before a host counts as full: guests of a lab are idle most of the time.
Memory is counted in full.
"""


def obstacles(
    node: NodeSpec, host: HostRecord, used: HostUse, labels: Mapping[str, str], offered: Set[str] = frozenset()
) -> Iterator[str]:
    """Everything about a host that keeps a node off it, given what its other nodes may use.

    The images with digests that are `offered` can be fetched from other hosts.
    """
    if host.unreadable:
        yield host.unreadable
        return
    if host.cordoned:
        yield "it is cordoned"
    if not host.alive:
        since = host.lost_since
        yield f"it has not been seen since {since:%Y-%m-%d %H:%M:%S}Z" if since else "it is not seen"
    yield from _missing_labels(host, labels)
    if node.virt_type is VirtType.KVM and not host.kvm_usable:
        yield "KVM does not work there"
    yield from _shortages(node, host, used)
    yield from _image_troubles(node, host, offered)


def _missing_labels(host: HostRecord, labels: Mapping[str, str]) -> Iterator[str]:
    for key, value in labels.items():
        if key not in host.labels:
            yield f"it has no label {key}"
        elif host.labels[key] != value:
            yield f"its label {key} is {host.labels[key]}"


def _shortages(node: NodeSpec, host: HostRecord, used: HostUse) -> Iterator[str]:
    then = used.with_node(node)
    if then.vcpus > host.vcpus * VCPUS_PER_PROCESSOR:
        left = max(0, host.vcpus * VCPUS_PER_PROCESSOR - used.vcpus)
        yield f"{node.vcpus} vCPUs are needed and {left} are left"
    if then.memory_mb > host.memory_mb:
        yield f"{node.memory_mb} MiB of memory are needed and {max(0, host.memory_mb - used.memory_mb)} are left"
    needed_bytes = then.disk_bytes - used.disk_bytes
    if needed_bytes > host.disk_free_bytes:
        yield f"{needed_bytes >> 20} MiB of disk are needed and {host.disk_free_bytes >> 20} are free"


def lacks_image(node: NodeSpec, host: HostRecord) -> bool:
    """Whether a host has no file that it knows of at the place of a node's base image."""
    return bool(node.base_image.digest) and all(of.path != node.base_image.path for of in host.images)


def _image_troubles(node: NodeSpec, host: HostRecord, offered: Set[str]) -> Iterator[str]:
    """A record from before images had a digest asks for none."""
    image = node.base_image
    if not image.digest:
        return
    there = next((of for of in host.images if of.path == image.path), None)
    if there is None:
        if why := _why_not_fetched(image, host, offered):
            yield f"it has no image {image.path} ({_short(image.digest)}), {why}"
    elif there.digest != image.digest:
        yield f"its {image.path} has different content ({_short(there.digest)}, not {_short(image.digest)})"


def _why_not_fetched(image: ImageFile, host: HostRecord, offered: Set[str]) -> str:
    """Why a host cannot get an image from another; empty if it can."""
    if image.path.parent != host.image_dir:
        return f"and fetches only those directly in {host.image_dir}"
    if not host.image_key:
        return "and fetches none (its `host_address` or `host_image_port` is not set)"
    return "" if image.digest in offered else "and no host that is alive serves it"


def _short(digest: str) -> str:
    return digest[:19]
