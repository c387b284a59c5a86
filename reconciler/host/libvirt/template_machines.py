"""Machines that become templates, and nodes that are restored from the memory of one."""

from pathlib import Path
from typing import Any

import libvirt

from reconciler.errors import OperationFailed
from reconciler.host.libvirt.definition import read_live, read_persistent
from reconciler.host.libvirt.libvirt_connection import LibvirtConnection, on_connection
from reconciler.host.libvirt.lookup import our_domain
from reconciler.host.libvirt.memory_pipe import memory_with_xml
from reconciler.host.libvirt.template_xml import render_clone, template_name


def _begin(handle: Any, _key: str, xml: str) -> None:
    """Boot a machine that ends with this process's connection to libvirt."""
    handle.createXML(xml, libvirt.VIR_DOMAIN_START_AUTODESTROY)


def _runs(handle: Any, key: str) -> bool:
    """Whether the machine's CPUs run. Where the kernel has panicked, a domain is left that goes nowhere."""
    domain = _find(handle, key)
    return domain is not None and domain.state()[0] in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED)


def _save(handle: Any, key: str, memory: Path) -> None:
    """Write the machine's memory to a new file, and end it."""
    domain = _find(handle, key)
    if domain is None:
        raise OperationFailed("the machine that was to become a template has ended")
    domain.save(str(memory))


def _end(handle: Any, key: str) -> None:
    """End the machine, if there still is one."""
    domain = _find(handle, key)
    if domain is not None:
        domain.destroy()


def _find(handle: Any, key: str) -> Any | None:
    try:
        return handle.lookupByName(template_name(key))
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return None


def _restore(handle: Any, cluster: str, node: str, memory: Path) -> None:
    """Restore a node that is off from the memory of a template, paused. A node that is up counts as restored.

    The saved name and UUID are the template's.
    """
    domain = our_domain(handle, cluster, node)
    if not domain.isActive():
        defined = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
        with memory_with_xml(memory, memory.parent, lambda saved: render_clone(saved, defined)) as pipe:
            handle.restoreFlags(str(pipe), None, libvirt.VIR_DOMAIN_SAVE_PAUSED)
    if read_live(domain, node).domain != read_persistent(domain, node).domain:
        raise OperationFailed("it was restored as another machine than it is defined as", node=node)


class TemplateMachines:
    """Templates as libvirt sees them; machines are named by the template's key."""

    def __init__(self, connection: LibvirtConnection) -> None:
        self.connection = connection

    begin = on_connection(_begin)
    runs = on_connection(_runs)
    save = on_connection(_save)
    end = on_connection(_end)
    restore = on_connection(_restore)

    async def emulator(self) -> str:
        """The versions of libvirt and QEMU: memory is restored by those that saved it."""
        return await self.connection.ask(lambda handle: f"{handle.getLibVersion()} {handle.getVersion()}")
