"""Features of the host's kernel, tried in a network namespace that disappears with the command.

A module's file proves nothing (it may fail to load, or be built in without a file): the feature itself is used.
"""

import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler import process
from reconciler.errors import HostCapabilityMissing
from reconciler.process import RunCommand
from reconciler.programs import find_program

_PROBE_TIMEOUT_S = 10.0
_OPTIONS = {
    "sch_netem": "CONFIG_NET_SCH_NETEM",
    "vxlan": "CONFIG_VXLAN",
    "nf_tables": "CONFIG_NF_TABLES_BRIDGE",
    "xt_physdev": "CONFIG_NETFILTER_XT_MATCH_PHYSDEV",
}
_UBUNTU_RELEASE = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+-[0-9]+-[a-z][a-z0-9-]*")
"""Version, ABI number, flavour: kernels of this form have a package with extra modules."""

_BRIDGE_TABLE = b"""\
table bridge vmcluster_probe {
  set cut { type ifname . ifname; flags timeout; }
  chain forward { type filter hook forward priority 0; iifname . oifname @cut drop; }
}
"""
_PHYSDEV_RULE = b"""\
*filter
:VMC-probe - [0:0]
-A VMC-probe -m physdev --physdev-in a --physdev-out b -m time --datestop 2037-01-01T00:00:00 -j DROP
-I FORWARD 1 -m comment --comment probe -j VMC-probe
COMMIT
"""


@dataclass(frozen=True, slots=True)
class Feature:
    """A kernel feature, the module that provides it, what needs it, a command that uses it, and what works without."""

    name: str
    module: str
    needed_for: str
    program: str
    package: str
    arguments: Sequence[str]
    stdin: bytes = b""
    otherwise: str = ""


NETEM = Feature(
    "netem",
    "sch_netem",
    "network impairments (delay, loss)",
    "tc",
    "iproute2",
    ("qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"),
    otherwise="rate limits (`rate_kbit`) and partitions work without it",
)
NFT_BRIDGE = Feature("nft bridge", "nf_tables", "network partitions", "nft", "nftables", ("-f", "-"), _BRIDGE_TABLE)
VXLAN = Feature(
    "vxlan",
    "vxlan",
    "networks of clusters over several hosts",
    "ip",
    "iproute2",
    ("link", "add", "name", "vmc-probe", "type", "vxlan", "id", "1", "dstport", "4789"),
)
IPTABLES = Feature(
    "iptables physdev", "xt_physdev", "network partitions", "iptables-restore", "iptables", (), _PHYSDEV_RULE
)
IP6TABLES = Feature(
    "ip6tables physdev", "xt_physdev", "network partitions", "ip6tables-restore", "iptables", (), _PHYSDEV_RULE
)


class FeatureUntried(Exception):
    """This process may not create a namespace to try a feature in."""


async def complaint_about(feature: Feature, run: RunCommand = process.run) -> str | None:
    """The host's message when the feature is used, in one line; None if it works.

    Raises `FeatureUntried`, and `HostCommandFailed` if the command times out.
    """
    command = [feature.program, *feature.arguments]
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    try:
        done = await run(
            ["unshare", *as_root, "--net", "--", *command],
            stdin=feature.stdin,
            timeout_s=_PROBE_TIMEOUT_S,
            check=False,
        )
    except HostCapabilityMissing as error:
        raise FeatureUntried(error.message) from error
    complaint = done.stderr.decode(errors="replace").strip().partition("\n")[0]
    if done.exit_code == 0:
        return None
    if complaint.startswith("unshare: failed to execute"):
        return f"the program {feature.program!r} is not installed"
    if complaint.startswith("unshare:"):
        raise FeatureUntried(complaint)
    return complaint or f"exit code {done.exit_code}"


def feature_remedy(feature: Feature) -> str:
    """How to get a missing feature: its program's package, or its kernel module."""
    if find_program(feature.program) is None:
        return f"install {feature.package}"
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    return remedy_on(system, os.uname().release, feature.module)


def remedy_on(system: Mapping[str, str], release: str, module: str) -> str:
    """How to get a module on a system (os-release(5)) that runs a kernel of that release."""
    kernel = f"boot a kernel with {_OPTIONS.get(module, module)}"
    system_ids = {system.get("ID"), *system.get("ID_LIKE", "").split()}
    if "ubuntu" in system_ids and _UBUNTU_RELEASE.fullmatch(release):
        how = f"install linux-modules-extra-{release}"
    elif system.get("ID") == "debian":
        how = f"{kernel}, such as that of linux-image-amd64"
    else:
        how = kernel
    return f"`modprobe {module}`; where there is no such module, {how}"
