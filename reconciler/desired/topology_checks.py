"""Checks that compare several fields of a topology: small pure functions, listed at the end."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from reconciler.desired.declared_faults import check_fault
from reconciler.desired.topology_values import LocatedDisk, LocatedValue, TopologyValues
from reconciler.host.cloud_init.cloud_config import required_values, shape_problems, value_problems
from reconciler.model.names import ALL_NODES, LOOPBACK_NAMES, cluster_dir, mac_address, tap_name
from reconciler.source.problems import Finding, Location, yaml_path
from reconciler.source.tree import SourceDocument

MAX_EXTRA_DISKS = 24  # vdb to vdy; vdz is the seed
MAX_USER_DATA_TOTAL_BYTES = 16 * 1024 * 1024

_SMALLEST_PREFIX = 30
_OCTET_PREFIX = 24
_ANY_ACCESS = 0o777
_OCTAL_MODE, _OCTAL_DIGITS = re.compile("0[0-7]+"), re.compile("[0-7]{1,4}")
_LOOPBACKS = frozenset({name for names in LOOPBACK_NAMES.values() for name in names} | {"localhost4", "localhost6"})
_MULTICAST = frozenset({"ip6-localnet", "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts"})
_ADDRESS = re.compile("0x[0-9a-f]+|[0-9]+")  # host names that inet_aton(3) takes for addresses
_RESERVED_BRIDGES = frozenset({"all", "default", "lo", "bonding_masters"})
"""Entries of the kernel's net.ipv4.conf.*, the loopback, and the file that bonding keeps in /sys/class/net."""


def check_node_names(values: TopologyValues) -> Iterator[Finding]:
    """Node names are unique, and not names that every machine uses for itself."""
    yield from _repeated(values.node_names, "is also the name of {first} (give each node its own name)")
    for name in values.node_names:
        if why := _why_no_host_name(name.value):
            yield Finding(name.location, f"{name.value} {why}")


def check_subnet(values: TopologyValues) -> Iterator[Finding]:
    """The subnet has room for the host and a node, and may be assigned to a bridge."""
    if values.subnet is None:
        return
    subnet, location = values.subnet.value, values.subnet.location
    if subnet.prefixlen > _SMALLEST_PREFIX:
        yield Finding(location, f"{subnet} has no room for the host and a node (use /30 or larger, such as a /24)")
    elif _is_special(subnet):
        yield Finding(location, f"{subnet} is reserved (use a private subnet, such as 192.168.100.0/24)")


def check_addresses(values: TopologyValues) -> Iterator[Finding]:
    """Node addresses are unique, inside the subnet, and not those of the subnet itself or of the host."""
    yield from _repeated(values.addresses, "is also the address of {first} (give each node its own address)")
    if values.subnet is None or values.subnet.value.prefixlen > _SMALLEST_PREFIX:
        return
    subnet = values.subnet.value
    for address in values.addresses:
        if why := _why_unusable(address.value, subnet):
            yield Finding(address.location, f"{address.value} {why} (use {_usable_range(subnet)})")


def check_interfaces(values: TopologyValues) -> Iterator[Finding]:
    """No two network interfaces of the cluster get the same name or hardware address."""
    if values.bridge and values.bridge.value in _RESERVED_BRIDGES:
        message = f"{values.bridge.value} is reserved by the kernel (choose another name, such as virbr-example0)"
        yield Finding(values.bridge.location, message)
    if values.cluster_name is None:
        return
    macs: dict[str, str] = {}
    for name in values.node_names:
        if values.bridge and tap_name(values.cluster_name, name.value) == values.bridge.value:
            yield Finding(values.bridge.location, f"is also the interface of node {name.value} (choose another name)")
        other = macs.setdefault(mac_address(values.cluster_name, name.value), name.value)
        if other != name.value:
            yield Finding(name.location, f"{name.value} gets the same hardware address as {other} (rename one of them)")


def check_extra_disks(values: TopologyValues) -> Iterator[Finding]:
    """Extra disks have a size and their own path, and there are not too many."""
    for count in values.disk_counts:
        if count.value > MAX_EXTRA_DISKS:
            yield Finding(count.location, f"has {count.value} disks (use at most {MAX_EXTRA_DISKS})")
    for disk in values.disks:
        if not disk.has_size and not disk.existing:
            yield Finding((*disk.location, "size_gb"), "is missing (write `size_gb: 20`, for example)")
        if disk.format is not None and not disk.existing:
            yield Finding((*disk.location, "format"), "applies only to a file with `existing: true` (remove it)")
    yield from _check_shared(values.disks)
    yield from _disks_in_the_way(
        values, [LocatedValue((*disk.location, "path"), disk.path) for disk in values.disks if disk.path]
    )


def check_user_data(values: TopologyValues) -> Iterator[Finding]:
    """The cloud-configs are compatible with ours, and together small enough to be kept in every record."""
    yield from _cloud_config_problems(values)
    shared = len(json.dumps(values.user_data.value))
    total = shared * len(values.node_names) + sum(len(json.dumps(own.value)) for own in values.node_user_data)
    if total > MAX_USER_DATA_TOTAL_BYTES:
        limit = MAX_USER_DATA_TOTAL_BYTES // (1024 * 1024)
        yield Finding(("user_data",), f"exceeds {limit} MiB over all nodes (put large files into the image)")


def check_full_names(values: TopologyValues) -> Iterator[Finding]:
    """No two machines get the same name from `fqdn` in their user data, and none that means something else."""
    own = _full_names(values.node_user_data)
    if len(values.node_names) - len(own) > 1:
        for shared in _full_names([values.user_data]):
            problem = "would be the name of several nodes (write it in the `user_data` of one)"
            yield Finding(shared.location, f"{shared.value} {problem}")
    others = {name.value: name.location for name in values.node_names}
    for fqdn in own:
        name = fqdn.value.lower()
        other = others.setdefault(name, fqdn.location)
        if other not in (fqdn.location, _name_beside(fqdn.location)):
            yield Finding(fqdn.location, f"{fqdn.value} is also {yaml_path(other)} (give each node its own name)")
        elif why := _why_no_host_name(name):
            yield Finding(fqdn.location, f"{fqdn.value} {why}")


def _full_names(parts: Iterable[LocatedValue[dict[str, Any]]]) -> list[LocatedValue[str]]:
    given = [LocatedValue((*part.location, "fqdn"), part.value.get("fqdn")) for part in parts]
    return [LocatedValue(fqdn.location, fqdn.value) for fqdn in given if isinstance(fqdn.value, str)]


def _name_beside(location: Location) -> Location:
    """Where the name of the node stands whose `user_data` holds `location`."""
    return (*location[:2], "name")


def check_faults(values: TopologyValues) -> Iterator[Finding]:
    """Faults have unique names, and request what is possible, of nodes that exist."""
    yield from _repeated(values.fault_names, "is also the name of {first} (give each fault its own name)")
    nodes = tuple(dict.fromkeys(located.value for located in values.node_names))
    for fault in values.faults:
        yield from check_fault(fault.value, fault.location, nodes)


def check_modes(values: TopologyValues, document: SourceDocument) -> Iterator[Finding]:
    """File modes mean what they look like: cloud-init reads an unquoted 644 as the mode 1204."""
    for part in (values.user_data, *values.node_user_data):
        files = part.value.get("write_files")
        for index, file in enumerate(files if isinstance(files, list) else ()):
            mode = file.get("permissions") if isinstance(file, dict) else None
            location = (*part.location, "write_files", index, "permissions")
            if isinstance(mode, int) and (remedy := _mode_remedy(mode, document.text(location) or str(mode))):
                yield Finding(
                    location, f"{mode} is read by cloud-init as the mode {mode:04o} (write {remedy} in quotes)"
                )


def _mode_remedy(mode: int, text: str) -> str | None:
    """What to write for a mode given as a number; None if the number is octal, or cannot be an octal mode."""
    if _OCTAL_MODE.fullmatch(text):
        return None
    is_access = 0 <= mode <= _ANY_ACCESS
    if not _OCTAL_DIGITS.fullmatch(text):
        return None if is_access else "the octal mode"
    return " or ".join([*([f'"{mode:04o}"'] if is_access else []), f'"{text.zfill(4)}"'])


CHECKS: tuple[Callable[[TopologyValues], Iterator[Finding]], ...] = (
    check_node_names,
    check_subnet,
    check_addresses,
    check_interfaces,
    check_extra_disks,
    check_user_data,
    check_full_names,
    check_faults,
)


def check_topology(values: TopologyValues) -> list[Finding]:
    """Every contradiction within a topology."""
    return [finding for check in CHECKS for finding in check(values)]


def _cloud_config_problems(values: TopologyValues) -> Iterator[Finding]:
    for part in (values.user_data, *values.node_user_data):
        for place, message in shape_problems(part.value, values.ssh_user):
            yield Finding((*part.location, *place), message, about_key=len(place) == 1)
    own = {located.location[1]: located for located in values.node_user_data}
    found: dict[Location, Finding] = {}
    for name in values.node_names:
        required = required_values(name.value, values.ssh_user or "")
        part = own.get(name.location[1], LocatedValue((), {}))
        inherited = {key: value for key, value in values.user_data.value.items() if key not in part.value}
        for location, said in ((values.user_data.location, inherited), (part.location, part.value)):
            for place, message in value_problems(said, required):
                found.setdefault((*location, *place), Finding((*location, *place), message, about_key=True))
    yield from found.values()


def _repeated(values: Iterable[LocatedValue[object]], message: str, depth: int = 2) -> Iterator[Finding]:
    first_at: dict[object, Location] = {}
    for located in values:
        first = first_at.setdefault(located.value, located.location)
        if first != located.location:
            yield Finding(located.location, f"{located.value} {message.format(first=yaml_path(first[:depth]))}")


def _check_shared(disks: Iterable[LocatedDisk]) -> Iterator[Finding]:
    """A file is one disk's, or all disks that name it are marked as shared, each on a different node."""
    first_of: dict[Path, LocatedDisk] = {}
    for disk in disks:
        first = disk if disk.path is None else first_of.setdefault(disk.path, disk)
        if first is not disk and (remedy := _how_apart(first, disk)):
            message = f"{disk.path} is also the disk at {yaml_path(first.location)} ({remedy})"
            yield Finding((*disk.location, "path"), message)


def _how_apart(first: LocatedDisk, disk: LocatedDisk) -> str:
    """What to do about two disks that use the same file; empty if that is allowed."""
    if first.location[:2] == disk.location[:2]:
        return "give each disk its own file"
    if first.shared and disk.shared:
        return _how_alike(first, disk)
    if first.shared or disk.shared:
        lacking = disk if first.shared else first
        return f"write `shared: true` at {yaml_path(lacking.location)} too, or give each disk its own file"
    return "give each disk its own file, or write `shared: true` at each"


def _how_alike(first: LocatedDisk, disk: LocatedDisk) -> str:
    """What to do about two nodes that describe their shared disk differently."""
    said = {"existing": first.existing == disk.existing, "size_gb": first.size_gb == disk.size_gb}
    other = next((key for key, same in said.items() if not same), None)
    return f"write the same `{other}` at both" if other else ""


def _disks_in_the_way(values: TopologyValues, paths: Iterable[LocatedValue[Path]]) -> Iterator[Finding]:
    read_only = {located.value: located.location for located in (*values.boot_files, *values.images)}
    ours = cluster_dir(values.overlay_dir, values.cluster_name) if values.overlay_dir and values.cluster_name else None
    for path in paths:
        if path.value in read_only:
            other = yaml_path(read_only[path.value])
            yield Finding(path.location, f"{path.value} is also {other}, which is never written to (use another file)")
        elif ours and path.value.is_relative_to(ours):
            yield Finding(path.location, f"{path.value} is among this cluster's own files in {ours} (use another path)")


def _why_no_host_name(name: str) -> str | None:
    if _ADDRESS.fullmatch(name):
        return f"is read as an address where a host name belongs (start it with a letter: n{name})"
    if name == ALL_NODES:
        return "means every node wherever nodes are named (choose another name)"
    if name in _LOOPBACKS:
        return "means the machine itself everywhere (choose another name)"
    return "means other addresses in many images' /etc/hosts (choose another name)" if name in _MULTICAST else None


def _is_special(subnet: IPv4Network) -> bool:
    this_host, reserved = IPv4Network("0.0.0.0/8"), IPv4Network("240.0.0.0/4")
    loopback, multicast = IPv4Network("127.0.0.0/8"), IPv4Network("224.0.0.0/4")
    link_local = IPv4Network("169.254.0.0/16")  # guests take addresses there by themselves, and no router forwards them
    others = (this_host, loopback, link_local, multicast, reserved)
    return any(subnet.overlaps(other) for other in others)


def _why_unusable(address: IPv4Address, subnet: IPv4Network) -> str | None:
    if address not in subnet:
        return f"is outside the subnet {subnet}"
    special = {
        subnet.network_address: f"is the address of the subnet {subnet} itself",
        subnet.broadcast_address: f"is the broadcast address of the subnet {subnet}",
        subnet.network_address + 1: "is the host's own address in the subnet",
    }
    return special.get(address)


def _usable_range(subnet: IPv4Network) -> str:
    first, last = subnet.network_address + 2, subnet.broadcast_address - 1
    if first == last:
        return f"{first}"
    if subnet.prefixlen < _OCTET_PREFIX:
        return f"an address from {first} to {last}"
    return f"an address from .{int(first) & 0xFF} to .{int(last) & 0xFF}"
