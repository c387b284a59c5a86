"""libvirt's events: only ever a reason to look again, never a fact to act on.

They are lost when the connection is, so they are registered on each connection anew.
"""

import threading
from collections.abc import Callable
from typing import Any

import libvirt

Listener = Callable[[str], None]
"""Told the name of a domain whose machine ended or rebooted, on a thread of its own."""

_ENDS = frozenset({libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_CRASHED})

_starting = threading.Lock()
_loops: list[threading.Thread] = []


def ensure_event_loop() -> None:
    """Run libvirt's event loop on a thread of this process; it must be there before a connection is opened."""
    with _starting:
        if _loops:
            return
        libvirt.virEventRegisterDefaultImpl()
        _loops.append(threading.Thread(target=_run_forever, name="libvirt-events", daemon=True))
        _loops[0].start()


def register(handle: Any, listener: Listener) -> None:
    """Tell `listener` of every machine that ends or reboots, for as long as the connection lives."""

    def on_lifecycle(_handle: Any, domain: Any, event: int, _detail: int, _opaque: None) -> None:
        if event in _ENDS:
            listener(domain.name())

    def on_reboot(_handle: Any, domain: Any, _opaque: None) -> None:
        listener(domain.name())

    handle.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_lifecycle, None)
    handle.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, on_reboot, None)


def _run_forever() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
