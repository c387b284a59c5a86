"""What the host's kernel can do, tried out in a network namespace that is gone with the command.

A module's file proves nothing (it may not load, or be built in without a file): the feature itself is used.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler import process
from reconciler.errors import ClusterError
from reconciler.host.checks.programs import find_program
from reconciler.host.checks.result import CheckResult, ok, warning

_BRIDGE_NETFILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_PROBE_TIMEOUT_S = 10.0

_BRIDGE_TABLE = b"""\
table bridge vmcluster_probe {
  set cut { type ifname . ifname; flags timeout; }
  chain forward { type filter hook forward priority 0; iifname . oifname @cut drop; }
}
"""


@dataclass(frozen=True, slots=True)
class Feature:
    """A kernel feature, the module that brings it, what needs it, and a command that uses it."""

    name: str
    module: str
    needed_for: str
    program: str
    arguments: Sequence[str]
    stdin: bytes = b""


FEATURES: Sequence[Feature] = (
    Feature(
        "netem",
        "sch_netem",
        "network impairments (delay, loss)",
        "tc",
        ("qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"),
    ),
    Feature("nft bridge", "nf_tables", "network partitions", "nft", ("-f", "-"), _BRIDGE_TABLE),
)


async def check_kernel(features: Sequence[Feature] = FEATURES) -> list[CheckResult]:
    """A result per feature; a missing one is a warning, as clusters run without."""
    results = await asyncio.gather(*map(_check_feature, features))
    return [*results, check_bridge_netfilter()]


def check_bridge_netfilter(switch: Path = _BRIDGE_NETFILTER) -> CheckResult:
    """Whether iptables sees frames between nodes; never to be switched on unasked, as it can cut guests off."""
    if switch.exists():
        state = "on" if switch.read_text().strip() == "1" else "off"
        return ok("br_netfilter", f"loaded, iptables on bridges is {state}")
    return ok("br_netfilter", "not loaded; only the iptables back end for partitions needs it, nftables does not")


async def _check_feature(feature: Feature) -> CheckResult:
    program = find_program(feature.program)
    if program is None:
        return warning(feature.name, f"cannot be tried without {feature.program}", "install the missing programs first")
    try:
        command = _in_namespace([program, *feature.arguments])
        done = await process.run(command, stdin=feature.stdin, timeout_s=_PROBE_TIMEOUT_S, check=False)
    except ClusterError as error:
        return warning(feature.name, f"cannot be tried: {error.message}", "run the doctor as root")
    complaint = done.stderr.decode(errors="replace").strip().partition("\n")[0]
    if done.exit_code == 0:
        return ok(feature.name, "works")
    if complaint.startswith("unshare:"):
        return warning(feature.name, f"cannot be tried: {complaint}", "run the doctor as root")
    return warning(
        feature.name, f"the kernel refuses it, and {feature.needed_for} need it: {complaint}", _remedy(feature.module)
    )


def _in_namespace(command: Sequence[str]) -> list[str]:
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *as_root, "--net", "--", *command]


def _remedy(module: str) -> str:
    release = os.uname().release
    return (
        f"`modprobe {module}`; where there is no such module: on Debian boot the kernel of linux-image-amd64, "
        f"on Ubuntu install linux-modules-extra-{release}"
    )
