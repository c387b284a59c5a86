"""Requests to the guest agent, through libvirt; each one ends in bounded time.

libvirt knows whether the agent has opened its port, so a missing agent is reported at once.
"""

import time
from contextlib import suppress
from typing import Any

import libvirt

from reconciler.errors import OperationFailed
from reconciler.host.libvirt.lookup import our_domain

FREEZE_TIMEOUT_S = 10
"""The guest writes out its caches before it answers."""
CLOCK_TIMEOUT_S = 10
"""An emulated guest takes 1 s to 2 s on an otherwise idle host: its agent also sets the hardware clock.

It runs a program for that.
"""

_NO_ANSWER = frozenset(
    {libvirt.VIR_ERR_AGENT_UNRESPONSIVE, libvirt.VIR_ERR_AGENT_UNSYNCED, libvirt.VIR_ERR_OPERATION_TIMEOUT}
)


def freeze_filesystems(handle: Any, cluster: str, node: str) -> int:
    """Make the guest flush and freeze its file systems; returns how many. Ends within `FREEZE_TIMEOUT_S`.

    Raises `OperationFailed` if no agent responds; nothing stays frozen then.
    """
    domain = our_domain(handle, cluster, node)
    try:
        domain.agentSetResponseTimeout(FREEZE_TIMEOUT_S, 0)
        return int(domain.fsFreeze())
    except libvirt.libvirtError as error:
        with suppress(libvirt.libvirtError):  # a freeze that came too late must be undone; the first error is reported
            domain.fsThaw()
        raise _agent_failed("frozen its file systems", node, error) from error


def thaw_filesystems(handle: Any, cluster: str, node: str) -> int:
    """Let the guest write again; returns how many file systems were frozen."""
    domain = our_domain(handle, cluster, node)
    try:
        domain.agentSetResponseTimeout(FREEZE_TIMEOUT_S, 0)
        return int(domain.fsThaw())
    except libvirt.libvirtError as error:
        raise _agent_failed("thawed its file systems", node, error) from error


def set_guest_time(handle: Any, cluster: str, node: str) -> bool:
    """Step the guest's clock to the host's; False if no agent answers within `CLOCK_TIMEOUT_S`.

    If no agent has opened its port, libvirt says so at once.
    """
    domain = our_domain(handle, cluster, node)
    try:
        domain.agentSetResponseTimeout(CLOCK_TIMEOUT_S, 0)
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        domain.setTime({"seconds": seconds, "nseconds": nanoseconds}, 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() in _NO_ANSWER:
            return False
        raise
    return True


def _agent_failed(what: str, node: str, error: libvirt.libvirtError) -> OperationFailed:
    if error.get_error_code() not in _NO_ANSWER:
        return OperationFailed(f"the guest agent has not {what}: {error.get_error_message()}", node=node)
    return OperationFailed(
        f"no guest agent has {what} within {FREEZE_TIMEOUT_S} s: {error.get_error_message()}",
        node=node,
        hint="install and start qemu-guest-agent in the guest, or take the snapshot without freezing",
    )
