"""A host among those that share a store: what it says of itself, what users decided, and whether it is alive."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from pydantic import ConfigDict, Field

from reconciler.model.abridging import Abridgeable
from reconciler.model.base import Frozen
from reconciler.model.message_text import MessageText
from reconciler.model.names import IMAGE_DIR
from reconciler.model.record import NodeSpec
from reconciler.model.timestamps import Moment


class HostImage(Frozen):
    """A disk image that a host has; images of one digest have the same content, wherever they are."""

    path: Path = Field(description="Path on that host.")
    name: str | None = Field(default=None, description="Its name for `base_image`; null: topologies name its path.")
    digest: str = Field(description="`sha256:` and the digest of its content.")
    size_bytes: int = Field(description="Size of the file.")


class HostReport(Frozen):
    """What a host says of itself. Only the host itself writes it; a newer version may say more."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field(description="Name of the host; `host_name` in its configuration.")
    address: IPv4Address | IPv6Address | None = Field(
        default=None, description="Where other hosts reach it for tunnels; null: clusters over several hosts avoid it."
    )
    version: str = Field(description="Version of vmcluster there.")
    vcpus: int = Field(ge=0, description="Processors.")
    memory_mb: int = Field(ge=0, description="RAM and swap together, in MiB.")
    disk_bytes: int = Field(ge=0, description="Size of the file system of `overlay_dir`.")
    disk_free_bytes: int = Field(ge=0, description="What is free of it.")
    kvm_usable: bool = Field(description="Whether KVM is faster than emulation there; decides what `auto` means.")
    virt_timings: dict[str, float] = Field(
        default={}, description="By virt type: how many seconds a small program took when it was last tried."
    )
    features: dict[str, str] = Field(
        default={}, description="By feature, such as netem: empty if it works, otherwise what the host says."
    )
    image_dir: Path = Field(default=IMAGE_DIR, description="Where it keeps images, and fetches them to.")
    images: tuple[HostImage, ...] = Field(default=(), description="Disk images, by path.")
    image_port: int = Field(default=0, description="Port at `address` that other hosts fetch images from; 0 for none.")
    image_key: str = Field(default="", description="The public key that other hosts know this one by as they do that.")
    ssh_public_key: str = Field(default="", description="The public key that its controller logs in to nodes with.")
    libvirt_uri: str = Field(default="", description="Its libvirt.")
    labels: dict[str, str] = Field(default={}, description="`host_labels` in its configuration.")


class HostRecord(HostReport):
    """A host as the store has it: its own report, what users decided, and whether it is alive."""

    cordoned: bool = Field(default=False, description="No new nodes are placed on it.")
    alive: bool = Field(default=False, description="Its controller keeps its lease in the store alive.")
    lost_since: Moment | None = Field(
        default=None, description="When others first noticed that it does not; null while it is alive."
    )
    unreadable: MessageText = Field(
        default="", description="Why the store's record of it cannot be read, with the remedy; empty if it can."
    )

    @classmethod
    def of_unreadable(cls, name: str, why: str) -> "HostRecord":
        """A host of which nothing but its name is known."""
        nothing = dict.fromkeys(("vcpus", "memory_mb", "disk_bytes", "disk_free_bytes"), 0)
        return cls.model_validate({**nothing, "name": name, "version": "", "kvm_usable": False, "unreadable": why})


class HostUse(Frozen):
    """What the nodes that are placed on a host may use together."""

    node_count: int = Field(default=0, description="How many nodes.")
    vcpus: int = Field(default=0, description="Their virtual processors.")
    memory_mb: int = Field(default=0, description="Their memory in MiB.")
    disk_bytes: int = Field(default=0, description="The size of their disks, which they seldom fill.")

    def with_node(self, node: NodeSpec) -> "HostUse":
        """The same with one node more."""
        return HostUse(
            node_count=self.node_count + 1,
            vcpus=self.vcpus + node.vcpus,
            memory_mb=self.memory_mb + node.memory_mb,
            disk_bytes=self.disk_bytes + disk_bytes_of(node),
        )


class HostInfo(HostRecord, Abridgeable):
    """A host, and what is placed on it."""

    home: bool = Field(default=False, description="Nodes without a host are here: it was the first of the store.")
    use: HostUse = Field(default=HostUse(), description="What its nodes may use together.")
    placed_nodes: tuple[str, ...] = Field(default=(), description="The nodes on it, as `CLUSTER/NODE`.")


class ForgottenHost(Frozen):
    """A host that is not known any longer."""

    name: str = Field(description="Its name, which another host may have now.")
    placed_nodes: tuple[str, ...] = Field(
        description="The nodes that were on it, as `CLUSTER/NODE`: the next apply of their cluster places them again."
    )


def disk_bytes_of(node: NodeSpec) -> int:
    """The size of the disks that are made for a node; a shared one counts for each node that names it."""
    made = (disk.size_bytes for disk in node.extra_disks.values() if not disk.existing)
    return node.root_disk_bytes + sum(made)
