"""What the host's kernel supports, and whether iptables sees frames that cross a bridge."""

from collections.abc import Sequence
from pathlib import Path

from reconciler.concurrency import together
from reconciler.errors import ClusterError
from reconciler.host.features import NETEM, NFT_BRIDGE, Feature, FeatureUntried, complaint_about, feature_remedy
from reconciler.model.examination import CheckResult, ok, warning
from reconciler.programs import find_program

_BRIDGE_NETFILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")

FEATURES: Sequence[Feature] = (NETEM, NFT_BRIDGE)


async def check_kernel(features: Sequence[Feature] = FEATURES) -> list[CheckResult]:
    """One result per feature; a missing one is a warning, as clusters run without it."""
    results = await together(*map(_check_feature, features))
    return [*results, check_bridge_netfilter()]


def check_bridge_netfilter(switch: Path = _BRIDGE_NETFILTER) -> CheckResult:
    """Whether iptables sees frames between nodes; never enabled automatically, as it can cut guests off."""
    if switch.exists():
        state = "on" if switch.read_text().strip() == "1" else "off"
        return ok("br_netfilter", f"loaded, iptables on bridges is {state}")
    return ok("br_netfilter", "not loaded; only the iptables back end for partitions needs it, nftables does not")


async def _check_feature(feature: Feature) -> CheckResult:
    if find_program(feature.program) is None:
        return warning(feature.name, f"cannot be tried without {feature.program}", "install the missing programs first")
    try:
        complaint = await complaint_about(feature)
    except (ClusterError, FeatureUntried) as error:
        return warning(feature.name, f"cannot be tried: {error}", "run the doctor as root")
    if complaint is None:
        return ok(feature.name, "works")
    return warning(
        feature.name,
        f"not supported by the kernel, and {feature.needed_for} need it: {complaint}",
        feature_remedy(feature),
    )
