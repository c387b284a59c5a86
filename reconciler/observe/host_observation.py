"""Observes what a topology is checked against on the host besides files."""

from reconciler.concurrency import together
from reconciler.host.libvirt.libvirt_driver import Libvirt
from reconciler.host.libvirt.offers import networks_of, offers_of, qemu_account_of
from reconciler.host.memory import observe_available_memory_mb, observe_memory_mb
from reconciler.host.routes import observe_routes
from reconciler.model.host_view import HostView


async def observe_host(libvirt: Libvirt) -> HostView:
    """libvirt's capabilities and resources, the host's own network, and its memory.

    Raises `LibvirtUnavailable`; `HostCapabilityMissing` or `HostCommandFailed` if `ip` fails.
    """
    offers, networks, qemu, files, (routes, interfaces) = await together(
        libvirt.connection.ask(offers_of),
        libvirt.connection.ask(networks_of),
        libvirt.connection.ask(qemu_account_of),
        libvirt.file_uses(),
        observe_routes(),
    )
    memory_mb = observe_memory_mb()
    return HostView(offers, networks, routes, interfaces, memory_mb=memory_mb, files=files, qemu=qemu)


def available_memory_mb() -> int | None:
    """What machines could still use without swapping, in MiB; None if that is not known."""
    return observe_available_memory_mb()
