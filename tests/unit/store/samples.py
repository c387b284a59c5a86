"""Records and statuses to store."""

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from reconciler.model.record import ClusterRecord, ClusterSpec, ImageFile, NetworkSpec, NodeIntent, NodeSpec, SshSpec
from reconciler.model.status import RecordStatus
from reconciler.model.topology import Forward
from reconciler.runtime import Runtime
from reconciler.store.sqlite import SqliteStore

_NODES = ("zeta", "alpha")  # not sorted: the order of the topology file is kept


def sample_record(name: str = "lab") -> ClusterRecord:
    """A cluster of two nodes, both off."""
    return ClusterRecord(
        cluster_name=name,
        spec=ClusterSpec(
            overlay_dir=Path("/var/lib/vmcluster/overlays"),
            network=NetworkSpec(
                name=f"net-{name}",
                bridge="virbr-lab",
                subnet=IPv4Network("192.168.77.0/24"),
                gateway=IPv4Address("192.168.77.1"),
                forward=Forward.NAT,
            ),
            nodes={node: _node(index) for index, node in enumerate(_NODES)},
            ssh=SshSpec(user="root", key_path=Path("/etc/key"), public_key="ssh-ed25519 AAAA", connect_timeout_s=30),
        ),
        nodes={node: NodeIntent() for node in _NODES},
    )


def with_boots(record: ClusterRecord, boots: int, node: str = "alpha") -> ClusterRecord:
    """The record with so many power cycles asked for of a node."""
    intent = record.nodes[node].model_copy(update={"boot_epoch": boots})
    return record.model_copy(update={"nodes": {**record.nodes, node: intent}})


def with_user_data(record: ClusterRecord, user_data: dict[str, object]) -> ClusterRecord:
    """The record with this user_data for its node `alpha`."""
    node = record.spec.nodes["alpha"].model_copy(update={"user_data": user_data})
    spec = record.spec.model_copy(update={"nodes": {**record.spec.nodes, "alpha": node}})
    return record.model_copy(update={"spec": spec})


def sample_status(name: str = "lab", generation: int = 1) -> RecordStatus:
    """The word of a controller that has converged."""
    return RecordStatus(cluster_name=name, observed_generation=generation, converged=True, updated_at=datetime.now(UTC))


async def stand_on(runtime: Runtime, image: Path) -> None:
    """Have a cluster whose nodes start from an image."""
    record = sample_record()
    on = record.spec.nodes["alpha"].base_image.model_copy(update={"path": image})
    nodes = {name: of.model_copy(update={"base_image": on}) for name, of in record.spec.nodes.items()}
    changed = {"nodes": nodes, "overlay_dir": runtime.settings.overlay_dir}
    record = record.model_copy(update={"spec": record.spec.model_copy(update=changed)})
    assert isinstance(runtime.store, SqliteStore)
    await runtime.store.put(record, expected_generation=0, actor="test")


def _node(index: int) -> NodeSpec:
    return NodeSpec(
        role="worker",
        vcpus=1,
        memory_mb=512,
        ip=IPv4Address("192.168.77.10") + index,
        mac=f"52:54:00:00:00:0{index}",
        tap=f"vmc-{index}",
        base_image=ImageFile(path=Path("/images/base.qcow2"), format="qcow2", size_bytes=2**30),
    )
