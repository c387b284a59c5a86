"""libvirt's events: only ever a reason to look again, never a fact to act on.

They are lost with the connection, so they are registered again on each connection. Keep-alive is not enabled: the
socket of a libvirtd that ends is closed, and with keep-alive one that only hangs would lose its connections with all
calls on them; a libvirt 9.0 process with threads in such calls then dies of a segmentation fault.
"""

import threading
from typing import Any

import libvirt

from reconciler.host.host_events import HostEvent, HostEventKind, Listener

_ENDS = frozenset({libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_CRASHED})

_starting = threading.Lock()
_loops: list[threading.Thread] = []


def ensure_event_loop() -> None:
    """Run libvirt's event loop on a thread of this process; must be called before a connection is opened."""
    with _starting:
        if _loops:
            return
        libvirt.virEventRegisterDefaultImpl()
        _loops.append(threading.Thread(target=_run_forever, name="libvirt-events", daemon=True))
        _loops[0].start()


def runs_here() -> bool:
    """Whether this process has an event loop; a child that it forks has none."""
    return bool(_loops)


def register_listener(handle: Any, listener: Listener) -> None:
    """Notify `listener`, on libvirt's thread, of changes to machines and networks and of the end of the connection."""

    def on_lifecycle(_handle: Any, domain: Any, event: int, _detail: int, _opaque: None) -> None:
        kind = HostEventKind.MACHINE_ENDED if event in _ENDS else HostEventKind.DOMAIN
        listener(HostEvent(kind, domain.name()))

    def on_reboot(_handle: Any, domain: Any, _opaque: None) -> None:
        listener(HostEvent(HostEventKind.MACHINE_ENDED, domain.name()))

    def on_network(_handle: Any, network: Any, _event: int, _detail: int, _opaque: None) -> None:
        listener(HostEvent(HostEventKind.NETWORK, network.name()))

    def on_change(_handle: Any, domain: Any, *_details: Any) -> None:
        listener(HostEvent(HostEventKind.DOMAIN, domain.name()))

    def on_close(_handle: Any, _reason: int, _opaque: None) -> None:
        listener(HostEvent(HostEventKind.DISCONNECTED))

    handle.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_lifecycle, None)
    handle.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, on_reboot, None)
    for event in (
        libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR,
        libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
        libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
    ):
        handle.domainEventRegisterAny(None, event, on_change, None)
    handle.networkEventRegisterAny(None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, on_network, None)
    handle.registerCloseCallback(on_close, None)
    listener(HostEvent(HostEventKind.CONNECTED))


def _run_forever() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
