"""Whether nodes can use hardware virtualisation, and whether QEMU's user may open the device."""

from pathlib import Path

from reconciler.host.checks.repairs import kvm_is_closed_by_default
from reconciler.host.virt_type import kvm_access_problem, probe_kvm
from reconciler.host.virt_type.kvm_access import KVM_DEVICE
from reconciler.model.examination import CheckOutcome, CheckResult, failed, ok, warning

_FALLBACK = (
    "nothing needs to be done: nodes are emulated then (`virt_type: auto`), several times slower; for speed enable "
    "virtualisation in the firmware, or nested virtualisation in the hypervisor above"
)


async def check_kvm(state_dir: Path) -> list[CheckResult]:
    """Access to the device, then a timed trial; the verdict of an earlier one is reused if it is stored."""
    access = check_kvm_access()
    verdict = await probe_kvm(state_dir if state_dir.is_dir() else None)  # noqa: ASYNC240  one stat(2)
    if verdict.usable:
        return [access, ok("kvm", verdict.reason)]
    if access.verdict is CheckOutcome.FAILED:
        return [access, warning("kvm", "cannot be tried until QEMU's user may open it", _FALLBACK)]
    return [access, warning("kvm", verdict.reason, _FALLBACK)]


def check_kvm_access(device: Path = KVM_DEVICE) -> CheckResult:
    """Whether QEMU's user may open the device; a missing device is not an access problem."""
    problem = kvm_access_problem(device)
    if problem is None:
        return ok("kvm access", f"QEMU's user may open {device}" if device.exists() else f"there is no {device}")
    what, _, remedy = problem.partition(": ")
    return failed("kvm access", what, remedy, fixable=kvm_is_closed_by_default(device))
