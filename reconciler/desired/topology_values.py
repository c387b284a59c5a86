"""The values that a topology claims, with their locations, collected once for all checks.

A file with mistakes in some fields still yields the claims of all others, so that one run can report everything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from reconciler.model.faults import FaultTopology
from reconciler.model.fields import (
    Address,
    BaseImage,
    CloudConfig,
    ClusterName,
    CpuModel,
    DiskGb,
    HostPath,
    InterfaceName,
    MemoryMb,
    NetworkName,
    NodeName,
    Subnet,
    UserName,
)
from reconciler.model.topology import DiskFormat, Firmware, StartMode, VirtType
from reconciler.source.problems import Location

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class LocatedValue(Generic[T_co]):
    """One value and its location."""

    location: Location
    value: T_co


@dataclass(frozen=True, slots=True)
class LocatedDisk:
    """An extra disk; a field that could not be read is None."""

    location: Location
    node: str | None
    path: Path | None
    size_gb: int | None
    has_size: bool
    existing: bool
    shared: bool
    format: DiskFormat | None


@dataclass(frozen=True, slots=True)
class LocatedRootDisk:
    """A root disk with its own size, and the image that it starts from."""

    location: Location
    size_gb: int
    image: Path


@dataclass(frozen=True, slots=True)
class LocatedClone:
    """A node that must start as a clone: its image, and what of its own prevents that, if anything."""

    location: Location
    image: Path
    obstacle: str


@dataclass(frozen=True, slots=True)
class LocatedMachine:
    """The desired machine of a node, each part located where it is set: in the node, or in the cluster."""

    virt_type: LocatedValue[VirtType]
    cpu: LocatedValue[str] | None
    vcpus: LocatedValue[int] | None
    memory_mb: LocatedValue[int] | None
    firmware: LocatedValue[Firmware] | None


@dataclass(frozen=True, slots=True)
class TopologyValues:
    """Every value that is compared with another, or looked up on the host."""

    cluster_name: str | None
    overlay_dir: Path | None
    network_name: LocatedValue[str] | None
    subnet: LocatedValue[IPv4Network] | None
    bridge: LocatedValue[str] | None
    machines: tuple[LocatedMachine, ...]
    node_names: tuple[LocatedValue[str], ...]
    addresses: tuple[LocatedValue[IPv4Address], ...]
    images: tuple[LocatedValue[Path], ...]
    boot_files: tuple[LocatedValue[Path], ...]
    root_disks: tuple[LocatedRootDisk, ...]
    uefi_images: tuple[LocatedValue[Path], ...]
    clones: tuple[LocatedClone, ...]
    disks: tuple[LocatedDisk, ...]
    disk_counts: tuple[LocatedValue[int], ...]
    key_path: LocatedValue[Path] | None
    ssh_user: str | None
    user_data: LocatedValue[dict[str, Any]]
    node_user_data: tuple[LocatedValue[dict[str, Any]], ...]
    fault_names: tuple[LocatedValue[str], ...]
    faults: tuple[LocatedValue[FaultTopology], ...]


def gather_values(data: Any, context: Mapping[str, Any]) -> TopologyValues:
    """Read the claims from a topology file's plain data; `context` is that of the topology's validation."""
    return _Gatherer(data, context).values()


class _Gatherer:
    def __init__(self, data: Any, context: Mapping[str, Any]) -> None:
        self._data = data
        self._context = dict(context)
        nodes = self._raw(("nodes",))
        self._nodes: list[Location] = [("nodes", index) for index in range(len(nodes))] if _is_list(nodes) else []

    def values(self) -> TopologyValues:
        return TopologyValues(
            cluster_name=self._value(ClusterName, ("cluster_name",)),
            overlay_dir=self._value(HostPath, ("overlay_dir",)),
            network_name=self._one(NetworkName, ("network", "name")),
            subnet=self._one(Subnet, ("network", "subnet")),
            bridge=self._one(InterfaceName, ("network", "bridge")),
            machines=tuple(map(self._machine, self._nodes)),
            node_names=self._of_nodes(NodeName, "name"),
            addresses=self._of_nodes(Address, "ip"),
            images=self._of_all(BaseImage, "base_image"),
            boot_files=(*self._of_all(HostPath, "boot", "kernel"), *self._of_all(HostPath, "boot", "initrd")),
            root_disks=tuple(self._root_disks()),
            uefi_images=tuple(dict.fromkeys(self._uefi_images())),
            clones=tuple(dict.fromkeys(self._clones())),
            disks=tuple(disk for node in self._nodes for disk in self._disks(node)),
            disk_counts=tuple(self._disk_counts()),
            key_path=self._one(HostPath, ("ssh", "key_path")),
            ssh_user=self._value(UserName, ("ssh", "user")),
            user_data=self._one(CloudConfig, ("user_data",)) or LocatedValue(("user_data",), {}),
            node_user_data=self._of_nodes(CloudConfig, "user_data"),
            fault_names=self._of_faults(NodeName, "name"),
            faults=self._of_faults(FaultTopology),
        )

    def _root_disks(self) -> Iterator[LocatedRootDisk]:
        for node in self._nodes:
            size = self._of_node(DiskGb, node, "disk_gb")
            image = self._of_node(BaseImage, node, "base_image")
            if size is not None and image is not None:
                yield LocatedRootDisk(size.location, size.value, image.value)

    def _uefi_images(self) -> Iterator[LocatedValue[Path]]:
        """The images that UEFI must boot from, each located where it is set."""
        for node in self._nodes:
            firmware = self._of_node(Firmware, node, "firmware")
            image = self._of_node(BaseImage, node, "base_image")
            own = self._raw(node)
            boot = own["boot"] if isinstance(own, dict) and "boot" in own else self._raw(("boot",))
            if firmware is not None and firmware.value is Firmware.UEFI and image is not None and boot is None:
                yield LocatedValue(firmware.location, image.value)

    def _clones(self) -> Iterator[LocatedClone]:
        for node in self._nodes:
            start = self._of_node(StartMode, node, "start")
            image = self._of_node(BaseImage, node, "base_image")
            if start is not None and start.value is StartMode.CLONE and image is not None:
                yield LocatedClone(start.location, image.value, self._why_not_cloned(node))

    def _why_not_cloned(self, node: Location) -> str:
        firmware = self._of_node(Firmware, node, "firmware")
        if firmware is not None and firmware.value is Firmware.UEFI:
            return "with `firmware: uefi`"
        return "with extra disks" if self._raw((*node, "extra_disks")) else ""

    def _machine(self, node: Location) -> LocatedMachine:
        virt_type = self._of_node(VirtType, node, "virt_type")
        own = self._raw(node)
        cpu: Location = (*node, "cpu") if isinstance(own, dict) and "cpu" in own else ("cpu",)
        return LocatedMachine(
            virt_type=virt_type or LocatedValue((*node, "virt_type"), VirtType.AUTO),
            cpu=self._one(CpuModel, cpu),
            vcpus=self._one(int, (*node, "vcpus")),
            memory_mb=self._one(MemoryMb, (*node, "memory_mb")),
            firmware=self._of_node(Firmware, node, "firmware"),
        )

    def _disks(self, node: Location) -> Iterator[LocatedDisk]:
        disks = self._raw((*node, "extra_disks"))
        for index in range(len(disks) if _is_list(disks) else 0):
            location: Location = (*node, "extra_disks", index)
            size_gb = self._raw((*location, "size_gb"))
            yield LocatedDisk(
                location=location,
                node=self._value(NodeName, (*node, "name")),
                path=self._value(HostPath, (*location, "path")),
                size_gb=size_gb if isinstance(size_gb, int) else None,
                has_size=size_gb is not None or not isinstance(self._raw(location), dict),
                existing=self._raw((*location, "existing")) is True,
                shared=self._raw((*location, "shared")) is True,
                format=self._value(DiskFormat, (*location, "format")),
            )

    def _disk_counts(self) -> Iterator[LocatedValue[int]]:
        for node in self._nodes:
            disks = self._raw((*node, "extra_disks"))
            if _is_list(disks):
                yield LocatedValue((*node, "extra_disks"), len(disks))

    def _of_all(self, kind: Any, *keys: str) -> tuple[LocatedValue[Any], ...]:
        found = (self._one(kind, (*place, *keys)) for place in [(), *self._nodes])
        return tuple(located for located in found if located is not None)

    def _of_nodes(self, kind: Any, key: str) -> tuple[LocatedValue[Any], ...]:
        found = (self._one(kind, (*node, key)) for node in self._nodes)
        return tuple(located for located in found if located is not None)

    def _of_faults(self, kind: Any, *keys: str) -> tuple[LocatedValue[Any], ...]:
        faults = self._raw(("faults",))
        places = range(len(faults)) if _is_list(faults) else ()
        found = (self._one(kind, ("faults", index, *keys)) for index in places)
        return tuple(located for located in found if located is not None)

    def _one(self, kind: Any, location: Location) -> LocatedValue[Any] | None:
        raw = self._raw(location)
        if raw is None:
            return None
        try:
            return LocatedValue(location, _adapter(kind).validate_python(raw, context=self._context))
        except ValidationError:
            return None  # the validation of the whole topology has reported it

    def _of_node(self, kind: Any, node: Location, key: str) -> LocatedValue[Any] | None:
        """The node's own value, or that of the whole cluster."""
        return self._one(kind, (*node, key)) or self._one(kind, (key,))

    def _value(self, kind: Any, location: Location) -> Any:
        located = self._one(kind, location)
        return None if located is None else located.value

    def _raw(self, location: Location) -> Any:
        value = self._data
        for part in location:
            if isinstance(value, dict):
                value = value.get(part)
            elif _is_list(value) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)
