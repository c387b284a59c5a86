"""Reads taps and their bridges from sysfs and iproute2, and changes them with iproute2."""

import errno
import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler import process
from reconciler.errors import OperationFailed
from reconciler.process import RunCommand

_INTERFACES = Path("/sys/class/net")
_IFF_UP = 1
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.EINVAL})
"""sysfs's errors for an interface that does not exist, or is removed while it is being read (net/core/net-sysfs.c)."""


@dataclass(frozen=True, slots=True)
class Cable:
    """Whether an existing interface is up; says nothing about the other end."""

    up: bool


def parse_cables(text: bytes, taps: Collection[str]) -> dict[str, Cable]:
    """Those of the taps that exist, from `ip -json link show`."""
    links: list[dict[str, Any]] = json.loads(text or b"[]")
    return {link["ifname"]: Cable(up="UP" in link["flags"]) for link in links if link.get("ifname") in taps}


def render_cables(cables: Mapping[str, Cable], down: Collection[str]) -> str:
    """The lines of `ip -batch -` that set down exactly these of the taps; empty if they are so already."""
    return "".join(
        f"link set dev {tap} {'down' if tap in down else 'up'}\n"
        for tap, cable in sorted(cables.items())
        if cable.up is (tap in down)
    )


def observe_ports(bridge: str) -> frozenset[str]:
    """The interfaces plugged into a bridge; none if there is no such bridge. Raises `OperationFailed`."""
    try:
        return frozenset(port.name for port in (_INTERFACES / bridge / "brif").iterdir())
    except OSError as error:
        _require_gone(error)
        return frozenset()


def read_cables(taps: Iterable[str]) -> dict[str, Cable]:
    """Those of the taps that exist on this host. Raises `OperationFailed` if it does not show its interfaces."""
    seen = {tap: _flags(tap) for tap in taps}
    return {tap: Cable(up=bool(flags & _IFF_UP)) for tap, flags in seen.items() if flags is not None}


async def observe_cables(taps: Iterable[str], run: RunCommand) -> dict[str, Cable]:
    """Those of the taps that exist on the host where `run` runs commands."""
    wanted = frozenset(taps)
    if not wanted:
        return {}
    return parse_cables((await run(["ip", "-json", "link", "show"])).stdout, wanted)


async def set_cables(cables: Mapping[str, Cable], down: Collection[str], run: RunCommand = process.run) -> None:
    """Set exactly these of the taps down, and the others up, in one batch."""
    if batch := render_cables(cables, down):
        await run(["ip", "-force", "-batch", "-"], stdin=batch.encode())


async def plug_tap(tap: str, bridge: str, *, up: bool = True) -> None:
    """Plug a tap into a bridge, and set it up if its cable is not pulled."""
    await process.run(["ip", "link", "set", "dev", tap, "master", bridge, *(["up"] if up else [])])


def existing_taps(taps: Iterable[str]) -> frozenset[str]:
    """Those of the taps that this host has, by one look at all interfaces. Raises `OperationFailed`."""
    try:
        there = {of.name for of in os.scandir(_INTERFACES)}
    except OSError as error:
        raise _not_shown(error) from error
    return frozenset(taps).intersection(there)


def tap_exists(tap: str) -> bool:
    """Whether the host has an interface of that name. Raises `OperationFailed` if it does not show them."""
    return _flags(tap) is not None


def packets_from_guest(tap: str) -> int | None:
    """How many packets the guest has sent since its tap was created; None if there is no such tap."""
    try:
        return int((_INTERFACES / tap / "statistics" / "rx_packets").read_text())
    except OSError:
        return None


def bridge_address(bridge: str) -> str | None:
    """The bridge's own MAC address, which identifies the host's packets; None if there is no such bridge.

    Raises `OperationFailed`.
    """
    try:
        return (_INTERFACES / bridge / "address").read_text().strip()
    except OSError as error:
        _require_gone(error)
        return None


def _flags(tap: str) -> int | None:
    try:
        return int((_INTERFACES / tap / "flags").read_text(), 16)
    except OSError as error:
        _require_gone(error)
        return None


def _require_gone(error: OSError) -> None:
    """Raise `OperationFailed` unless the interface that could not be read does not exist, or was just removed."""
    if error.errno not in _GONE or not _INTERFACES.is_dir():
        raise _not_shown(error) from error


def _not_shown(error: OSError) -> OperationFailed:
    return OperationFailed(
        f"cannot read the host's interfaces in {_INTERFACES}: {error.filename}: {error.strerror}",
        hint="mount sysfs on /sys",
    )
