"""How to log in to the nodes of a cluster."""

from reconciler.errors import NodeNotFound, SshError, meant
from reconciler.guest.address import GuestAddress
from reconciler.host.cloud_init.seed_driver import read_host_key
from reconciler.model.record import ClusterRecord


def guest_address(record: ClusterRecord, node: str, reported_key: str | None = None) -> GuestAddress:
    """A node's address and host key, which is the `reported_key` if another host made the node.

    Raises `SshError` if its host key has not been generated, or not been reported.
    """
    spec = record.spec
    if node not in spec.nodes:
        raise NodeNotFound(
            f"cluster {record.cluster_name!r} has no node {node!r}",
            hint=meant(node, spec.nodes, f"its nodes are {', '.join(sorted(spec.nodes))}"),
        )
    host_key = reported_key or read_host_key(spec.overlay_dir, record.cluster_name, node)
    if host_key is None:
        raise SshError("its host key is missing", node=node, hint="`cluster_apply` creates it with the node's seed")
    own = spec.network.host_address
    return GuestAddress(
        cluster=record.cluster_name,
        node=node,
        host=str(spec.nodes[node].ip),
        user=spec.ssh.user,
        key_path=spec.ssh.key_path,
        host_key=host_key,
        connect_timeout_s=spec.ssh.connect_timeout_s,
        source=None if own is None else str(own),
        device=None if own is None else spec.network.bridge,
    )
