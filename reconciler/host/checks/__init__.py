"""What a host needs to run clusters: one probe per need, each with its remedy, and the safe repairs.

Every check observes and changes nothing; `repairs` makes changes and is called only on request.
"""

from reconciler.host.checks.distribution import (
    install_debian_packages,
    missing_packages,
    this_distribution,
)
from reconciler.host.checks.kernel import check_kernel
from reconciler.host.checks.kvm import check_kvm
from reconciler.host.checks.libvirt_daemon import check_consoles, check_libvirt
from reconciler.host.checks.member_check import check_tunnels
from reconciler.host.checks.repairs import make_directories, make_ssh_key, open_kvm_to_qemu, start_daemons
from reconciler.host.checks.required_directories import RequiredDirectory, check_image, check_places, check_ssh_key
from reconciler.host.checks.required_programs import check_firmware, check_programs
from reconciler.model.examination import CheckOutcome, CheckResult, Repair

__all__ = [
    "CheckOutcome",
    "CheckResult",
    "Repair",
    "RequiredDirectory",
    "check_consoles",
    "check_firmware",
    "check_image",
    "check_kernel",
    "check_kvm",
    "check_libvirt",
    "check_places",
    "check_programs",
    "check_ssh_key",
    "check_tunnels",
    "install_debian_packages",
    "make_directories",
    "make_ssh_key",
    "missing_packages",
    "open_kvm_to_qemu",
    "start_daemons",
    "this_distribution",
]
