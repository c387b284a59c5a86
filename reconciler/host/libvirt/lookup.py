"""Finds our domains by name, and checks their marks."""

from typing import Any

import libvirt

from reconciler.errors import Conflict, OperationFailed
from reconciler.host.libvirt.mark import parse_domain_mark
from reconciler.host.libvirt.xml import parse_element
from reconciler.model import names


def find_domain(handle: Any, cluster: str, node: str) -> Any:
    """The domain with the node's name, of any owner; None if there is none."""
    try:
        return handle.lookupByName(names.domain_name(cluster, node))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def our_domain(handle: Any, cluster: str, node: str) -> Any:
    """The node's domain; raises `OperationFailed` if there is none and `Conflict` if it is not ours."""
    domain = find_domain(handle, cluster, node)
    if domain is None:
        raise OperationFailed("the domain was removed while it was being changed", node=node)
    require_mark(domain, cluster, node)
    return domain


def require_mark(domain: Any, cluster: str, node: str) -> None:
    """Raise `Conflict` unless the domain carries our mark for that node."""
    mark = parse_domain_mark(parse_element(domain.XMLDesc(0)).find("metadata"))
    if mark is None or (mark.cluster, mark.node) != (cluster, node):
        raise Conflict(
            f"a domain named {names.domain_name(cluster, node)!r} exists and was not created by vmcluster",
            node=node,
            hint="rename or remove it, or give the cluster another name",
        )
