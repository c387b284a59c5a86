"""Taps and the bridges they are plugged into, as iproute2 shows and changes them."""

import json
from typing import Any

from reconciler import process
from reconciler.errors import HostCommandFailed

_NO_SUCH_DEVICE = 'Device "'  # iproute2 6.1: Device "br0" does not exist.


def parse_link_names(text: bytes) -> frozenset[str]:
    """The interface names in the output of `ip -json link show`."""
    links: list[dict[str, Any]] = json.loads(text or b"[]")
    return frozenset(link["ifname"] for link in links if "ifname" in link)


async def observe_ports(bridge: str) -> frozenset[str]:
    """The interfaces plugged into a bridge; none where there is no such bridge."""
    done = await process.run(["ip", "-json", "link", "show", "master", bridge], check=False)
    if done.exit_code != 0:
        message = done.stderr.decode(errors="replace").strip()
        if _NO_SUCH_DEVICE in message or "argument" in message:
            return frozenset()
        raise HostCommandFailed(f"cannot list the ports of bridge {bridge}: {message}")
    return parse_link_names(done.stdout)


async def plug_tap(tap: str, bridge: str) -> None:
    """Plug a tap into a bridge."""
    await process.run(["ip", "link", "set", "dev", tap, "master", bridge, "up"])
