"""What may have changed on the host: only a reason to look again, never a fact to act on."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto


class HostEventKind(Enum):
    """What may have changed."""

    MACHINE_ENDED = auto()  # or rebooted: existing logins are gone
    DOMAIN = auto()
    NETWORK = auto()
    INTERFACE = auto()
    FIREWALL = auto()  # `name` is the cluster whose table it is
    CONNECTED = auto()  # everything: libvirt's events before this one may have been lost
    MISSED = auto()  # everything: the kernel dropped some of its messages
    DISCONNECTED = auto()


@dataclass(frozen=True, slots=True)
class HostEvent:
    """Something happened to the domain, network or interface of that name, or to the firewall of that cluster."""

    kind: HostEventKind
    name: str = ""


Listener = Callable[[HostEvent], None]
"""Called with each event, on its own thread or in the event loop: each source says which."""
