"""The seed of a machine that becomes a template; its host key is new each time."""

import json
from ipaddress import IPv4Address
from pathlib import Path

from reconciler.host.cloud_init.etc_hosts import render_hosts
from reconciler.host.cloud_init.iso import WAITING_LABEL, render_iso
from reconciler.host.cloud_init.seed_codec import SeedInputs, render_seed
from reconciler.host.cloud_init.seed_driver import new_host_key, public_line_of
from reconciler.model.document import SeedShape
from reconciler.model.names import TEMPLATE_MAC

VALUES_FILE = "provisional.json"
"""Where the machine finds the values that it is to replace by a node's own: they stand in what cloud-init writes."""

_INSTANCE = "00000000-0000-4000-8000-000000000000-r0"
_CLUSTER = "vmcluster-template"
_NODE = "provisional-host-name"
_IP, _GATEWAY = IPv4Address("192.0.2.2"), IPv4Address("192.0.2.1")  # of TEST-NET-1 (RFC 5737): nowhere else in a guest


def render_waiting_seed(shape: SeedShape | None) -> bytes:
    """A seed that has the machine wait: once it has booted with a seed of that shape, or before cloud-init."""
    return render_iso({} if shape is None else _provisional_files(shape), WAITING_LABEL)


def _provisional_files(shape: SeedShape) -> dict[str, str]:
    private = new_host_key(_CLUSTER, _NODE)
    public = public_line_of(private, Path("host key"))
    inputs = SeedInputs(
        cluster_name=_CLUSTER,
        node=_NODE,
        instance_id=_INSTANCE,
        mac=TEMPLATE_MAC,
        ip=_IP,
        prefix_length=shape.prefix_length,
        gateway=_GATEWAY if shape.routed else None,
        hosts=render_hosts({_NODE: _IP}, _CLUSTER),
        ssh_user=shape.ssh_user,
        ssh_public_key=shape.ssh_public_key,
        grows=shape.grows,
        mtu=shape.mtu,
    )
    _, public_key, comment = public.split()
    values = {
        "instance_id": inputs.instance_id,
        "node": inputs.node,
        "mac": inputs.mac,
        "ip": str(inputs.ip),
        **({"gateway": str(inputs.gateway)} if shape.routed else {}),
        "hosts": inputs.hosts.strip(),
        "private_key": private.strip(),
        "public_key": public_key,
        "comment": comment,
    }
    return {**render_seed(inputs, private, public).by_name(), VALUES_FILE: json.dumps(values)}
