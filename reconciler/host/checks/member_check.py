"""What a host needs besides, to share a store with others."""

import socket
from ipaddress import IPv4Address, IPv6Address

from reconciler.host.checks.kernel import check_kernel
from reconciler.host.features import VXLAN
from reconciler.model.examination import CheckResult, failed, ok, warning

_ADDRESS = "host address"


async def check_tunnels(address: IPv4Address | IPv6Address | None) -> list[CheckResult]:
    """Whether clusters over several hosts can have nodes here."""
    return [check_address(address), *(await check_kernel([VXLAN]))[:1]]


def check_address(address: IPv4Address | IPv6Address | None) -> CheckResult:
    """Whether the address is one of this host's own."""
    if address is None:
        remedy = "set `host_address` to the address at which the other hosts reach this one"
        return warning(_ADDRESS, "not set: no cluster over several hosts has nodes here", remedy)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # noqa: PLR2004  the protocol's own number
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError as error:
        remedy = "set `host_address` to an address of this host (`ip address` lists them)"
        return failed(_ADDRESS, f"{address} is not an address of this host: {error.strerror}", remedy)
    if address.is_loopback:
        return failed(_ADDRESS, f"{address} is reached from this host only", "set `host_address` to another address")
    return ok(_ADDRESS, str(address))
