"""A topology's fields take what the contract says, and nothing that merely resembles it."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from reconciler.model.fields import (
    Address,
    ClusterName,
    CpuModel,
    HostPath,
    InterfaceName,
    KernelCmdline,
    NodeName,
    RoleText,
    SnapshotName,
    Subnet,
    UserName,
)
from reconciler.model.topology import Topology

ACCEPTED: list[tuple[Any, Any]] = [
    (ClusterName, "a"), (ClusterName, "a" * 40), (ClusterName, "0-9"),
    (NodeName, "n" * 63), (InterfaceName, "virbr-example0"), (InterfaceName, "b" * 15),
    (SnapshotName, "clean-boot_1.0"), (CpuModel, "host"), (CpuModel, "Skylake-Client-v4"), (CpuModel, "maximum"),
    (UserName, "_apt"), (UserName, "machine$"), (RoleText, "storage (\u00e4)"), (RoleText, ""),
    (KernelCmdline, 'root=/dev/vda dyndbg="file x +p"'), (Address, "10.0.0.1"), (Subnet, "10.0.0.0/8"),
    (HostPath, "/a b/\u00e4"),
]  # fmt: skip
REFUSED: list[tuple[Any, Any]] = [
    (ClusterName, ""), (ClusterName, "a" * 41), (ClusterName, "-a"), (ClusterName, "a-"), (ClusterName, "a.b"),
    (ClusterName, "a\n"), (ClusterName, "\u00e4"), (ClusterName, "A"), (NodeName, "n" * 64), (NodeName, "a_b"),
    (InterfaceName, "b" * 16), (InterfaceName, "."), (InterfaceName, ".."), (InterfaceName, "a/b"),
    (InterfaceName, "a b"), (InterfaceName, "a:b"), (InterfaceName, "-a"), (SnapshotName, "../x"),
    (SnapshotName, "x" * 101), (CpuModel, "host,+x"), (CpuModel, ""), (UserName, "Root"), (UserName, "0a"),
    (UserName, "-o"), (UserName, "a" * 33), (RoleText, "a\nb"), (RoleText, "\x7f"), (KernelCmdline, "a\nb"),
    (KernelCmdline, "x" * 2048), (Address, "010.0.0.1"), (Address, "::1"), (Address, 1), (Address, True),
    (Address, "10.0.0.1/8"), (Subnet, "10.0.0.0"), (Subnet, "10.0.0.1/8"), (Subnet, "10.0.0.0/33"), (Subnet, 5),
    (Subnet, "::/64"), (HostPath, ""), (HostPath, "a\0b"), (HostPath, "/a\nb"), (HostPath, "relative"), (HostPath, 5),
    (HostPath, "~root/x"), (HostPath, "https://example.com/x.qcow2"), (HostPath, "file:///x"), (HostPath, "$HOME/x"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), ACCEPTED)
def test_a_value_at_the_edge_of_what_is_allowed_is_taken_as_it_is(kind: Any, value: str) -> None:
    assert str(TypeAdapter(kind).validate_python(value)) == value


@pytest.mark.parametrize(("kind", "value"), REFUSED)
def test_a_value_that_the_host_or_the_guest_would_choke_on_is_refused(kind: Any, value: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    ("written", "path"),
    [("x", "/base/x"), ("../x", "/x"), ("/x//y/./z", "/x/y/z"), ("~/x", "/home/u/x"), ("~", "/home/u")],
)
def test_a_path_is_made_absolute_from_the_file_that_names_it(written: str, path: str) -> None:
    context = {"base_dir": Path("/base"), "home": Path("/home/u")}
    assert TypeAdapter(HostPath).validate_python(written, context=context) == Path(path)


def test_a_topology_survives_its_own_serialization() -> None:
    topology = Topology.model_validate(
        {
            "cluster_name": "lab",
            "base_image": "/b.qcow2",
            "network": {"name": "n", "bridge": "b", "subnet": "10.0.0.0/24"},
            "nodes": [{"name": "a", "vcpus": 1, "memory_mb": 64, "ip": "10.0.0.2", "user_data": {"k": [None, 1.5]}}],
        }
    )
    assert topology.nodes[0].ip == IPv4Address("10.0.0.2")
    assert Topology.model_validate(topology.model_dump()) == topology
    assert Topology.model_validate_json(topology.model_dump_json()) == topology
