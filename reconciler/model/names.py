"""Every name that we give to something on the host: deterministic functions of cluster and node.

A cluster name and a node name are both DNS labels, so neither contains a dot: `CLUSTER.NODE` can be parsed
unambiguously.
"""

import hashlib
import re
import uuid
from functools import lru_cache
from pathlib import Path

LABEL_PATTERN = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
CLUSTER_NAME_MAX_LENGTH = 40
NODE_NAME_MAX_LENGTH = 63
INTERFACE_NAME_MAX_LENGTH = 15  # IFNAMSIZ - 1, linux/if.h

ROOT_DISK = "vda"
TEMPLATE_MAC = "52:54:00:00:00:0a"
"""Of a machine that becomes a template; no address that YAML takes for a number, as no card's is in a seed."""

IMAGE_DIR = Path("/var/lib/vmcluster/images")
"""Where guest images are kept unless the configuration names another directory."""

BASE_IMAGE = "base"
"""The name of the image that `vmcluster image build` builds."""
_IMAGE_NAME = re.compile(r"(?!.*\.[a-z_]\w*$)[a-z0-9][a-z0-9._+-]{0,63}")
_IMAGE_SUFFIX = ".qcow2"

ALL_NODES = "all"
"""Stands for every node in a list of node names."""

LOOPBACK_NAMES = {"127.0.0.1": ("localhost",), "::1": ("localhost", "ip6-localhost", "ip6-loopback")}
"""The entries that every guest's /etc/hosts has besides its nodes."""

_REMEMBERED = 16_384
"""How many names of a kind are cached: each is needed several times a round."""

_UUID_NAMESPACE = uuid.UUID("6f1a3a5e-5f0b-5c39-9d0e-6a2f6c6b7d11")
_LAYER_FILE = re.compile(
    rf"(?P<node>{LABEL_PATTERN})\.(?P<disk>[a-z]+)\.r(?P<revision>[0-9]+)\.(?P<depth>[0-9]+)\.qcow2"
)

_NVRAM_FILE = re.compile(rf"(?P<node>{LABEL_PATTERN})\.r(?P<revision>[0-9]+)\.nvram")


def is_image_name(text: str) -> bool:
    """Whether a text is the name of an image: not a path, and without a suffix of letters, as `.qcow2` is one."""
    return _IMAGE_NAME.fullmatch(text) is not None


def image_path(directory: Path, name: str) -> Path:
    """The file of the image that topologies know by a name."""
    return directory / f"{name}{_IMAGE_SUFFIX}"


def image_name(path: Path) -> str | None:
    """The name of the image in a file, or None if topologies know none there by name."""
    name = path.name.removesuffix(_IMAGE_SUFFIX)
    return name if name != path.name and is_image_name(name) else None


def is_label(name: str) -> bool:
    """Whether a cluster or node can be named like that, but for the length."""
    return re.fullmatch(LABEL_PATTERN, name) is not None


def domain_name(cluster: str, node: str) -> str:
    """The libvirt name of a node's domain."""
    return f"{cluster}.{node}"


@lru_cache(maxsize=_REMEMBERED)
def parse_domain_name(domain: str) -> tuple[str, str] | None:
    """The cluster and the node of a libvirt domain name, or None if the name is not ours."""
    cluster, _, node = domain.partition(".")
    return (cluster, node) if is_label(cluster) and is_label(node) else None


@lru_cache(maxsize=_REMEMBERED)
def domain_uuid(cluster: str, node: str) -> str:
    """The UUID of a node's domain, the same each time it is defined."""
    return str(uuid.uuid5(_UUID_NAMESPACE, domain_name(cluster, node)))


def network_uuid(cluster: str, network: str) -> str:
    """The UUID of a cluster's libvirt network."""
    return str(uuid.uuid5(_UUID_NAMESPACE, f"{cluster}/network/{network}"))


def mac_address(cluster: str, node: str) -> str:
    """A locally administered unicast address; 40 of its bits come from a digest."""
    return ":".join(["52", *(f"{byte:02x}" for byte in _digest(cluster, node)[:5])])


def tap_name(cluster: str, node: str) -> str:
    """The host's end of the node's network card; stable, so that rules that name the interface survive a restart."""
    return f"vmc-{_digest(cluster, node).hex()}"[:INTERFACE_NAME_MAX_LENGTH]


def fork_network(cluster: str) -> str:
    """The libvirt network of a fork; that of its origin has the name that the topology gives it."""
    return f"fork-{cluster}"


FORK_PREFIX = "vmf-"


def fork_bridge(cluster: str) -> str:
    """The bridge of a fork's network."""
    return f"{FORK_PREFIX}{hashlib.sha256(cluster.encode()).hexdigest()}"[:INTERFACE_NAME_MAX_LENGTH]


TUNNEL_PREFIX = "vmx-"


def tunnel_name(cluster: str) -> str:
    """The VXLAN port on the bridge of a cluster's network."""
    return f"{TUNNEL_PREFIX}{hashlib.sha256(cluster.encode()).hexdigest()}"[:INTERFACE_NAME_MAX_LENGTH]


@lru_cache(maxsize=_REMEMBERED)
def cluster_dir(overlay_dir: Path, cluster: str) -> Path:
    """The directory of everything that a cluster keeps on disk."""
    return overlay_dir / cluster


@lru_cache(maxsize=_REMEMBERED)
def layer_path(overlay_dir: Path, cluster: str, node: str, disk: str, revision: int, depth: int = 0) -> Path:
    """A layer's file. Its name includes the disk revision: if the file exists, that revert was carried out."""
    return cluster_dir(overlay_dir, cluster) / f"{node}.{disk}.r{revision}.{depth}.qcow2"


@lru_cache(maxsize=_REMEMBERED)
def parse_layer_name(file_name: str) -> tuple[str, str, int, int] | None:
    """Node, disk, revision and depth of a layer's file name, or None if it is not one."""
    match = _LAYER_FILE.fullmatch(file_name)
    return match and (match["node"], match["disk"], int(match["revision"]), int(match["depth"]))


@lru_cache(maxsize=_REMEMBERED)
def seed_path(overlay_dir: Path, cluster: str, node: str) -> Path:
    """The NoCloud seed image of a node."""
    return cluster_dir(overlay_dir, cluster) / f"{node}.seed.iso"


@lru_cache(maxsize=_REMEMBERED)
def host_key_path(overlay_dir: Path, cluster: str, node: str) -> Path:
    """The node's private SSH host key in OpenSSH format; the public half is beside it with `.pub`."""
    return cluster_dir(overlay_dir, cluster) / f"{node}.host_ed25519"


@lru_cache(maxsize=_REMEMBERED)
def console_path(overlay_dir: Path, cluster: str, node: str) -> Path:
    """The log of the node's serial console."""
    return cluster_dir(overlay_dir, cluster) / f"{node}.console.log"


@lru_cache(maxsize=_REMEMBERED)
def nvram_path(overlay_dir: Path, cluster: str, node: str, revision: int) -> Path:
    """The UEFI variables of a node; the name includes the revision of its root disk, as with layers."""
    return cluster_dir(overlay_dir, cluster) / f"{node}.r{revision}.nvram"


@lru_cache(maxsize=_REMEMBERED)
def parse_nvram_name(file_name: str) -> tuple[str, int] | None:
    """Node and root disk revision of the name of an NVRAM file, or None if it is not one."""
    match = _NVRAM_FILE.fullmatch(file_name)
    return match and (match["node"], int(match["revision"]))


def extra_disk_target(index: int) -> str:
    """The target of the extra disk at `index` (from 0): `vdb`, `vdc`, … `vdz`."""
    return f"vd{chr(ord('b') + index)}"


def guest_disk_path(bus: str, target: str) -> str:
    """The stable path of a disk in the guest, which udev makes from its serial number: the target that we set.

    Names such as `/dev/vdb` follow the order in which the guest's kernel finds its disks.
    """
    model = {"virtio": "virtio-", "scsi": "scsi-0QEMU_QEMU_HARDDISK_", "sata": "ata-QEMU_HARDDISK_"}[bus]
    return f"/dev/disk/by-id/{model}{target}"


def _digest(cluster: str, node: str) -> bytes:
    return hashlib.sha256(domain_name(cluster, node).encode()).digest()
