"""Checks whether this host can run clusters, and fixes what is safe to fix."""

import asyncio

from reconciler.concurrency import together
from reconciler.files.roots import DISK_DIR
from reconciler.host import checks
from reconciler.host.checks import RequiredDirectory
from reconciler.model.examination import CheckResult, Examination, Repair
from reconciler.settings import Settings
from reconciler.usecases.images import DEFAULT_TARGET
from reconciler.usecases.member_checks import check_member


async def examine_host(settings: Settings, *, fix: bool) -> Examination:
    """Check the host; with `fix`, first repair what is safe to repair."""
    repairs = await apply_fixes(settings) if fix else []
    return Examination(checks=tuple(await run_checks(settings)), repairs=tuple(repairs))


async def run_checks(settings: Settings) -> list[CheckResult]:
    """Everything that clusters need of this host, in the order in which to fix it.

    Changes nothing. Takes up to 15 s if libvirt does not answer, and well under 1 s otherwise.
    """
    libvirt, kvm, kernel = await together(
        checks.check_libvirt(settings.libvirt_uri), checks.check_kvm(settings.state_dir), checks.check_kernel()
    )
    return [
        *checks.check_programs(),
        checks.check_firmware(),
        *kvm,
        *libvirt,
        checks.check_consoles(settings.console_log_mb),
        *await asyncio.to_thread(checks.check_places, places(settings)),
        checks.check_ssh_key(settings.ssh_key_path),
        checks.check_image(DEFAULT_TARGET),
        *kernel,
        *await check_member(settings),
    ]


async def apply_fixes(settings: Settings) -> list[Repair]:
    """Repair what is safe to repair: permissions of /dev/kvm, libvirt, directories, the SSH key.

    Answers what was done or could not be done; empty if nothing was wrong. Overrides no configuration and installs no
    packages.
    """
    opened = checks.open_kvm_to_qemu()
    return [
        *opened,
        *await checks.start_daemons(settings.libvirt_uri, restart=any(repair.done for repair in opened)),
        *await asyncio.to_thread(checks.make_directories, places(settings)),
        *await asyncio.to_thread(checks.make_ssh_key, settings.ssh_key_path),
    ]


def places(settings: Settings) -> list[RequiredDirectory]:
    """The directories that these settings and the example topologies name; parents of files included."""
    return [
        RequiredDirectory(settings.topology_dir, 0o755),
        RequiredDirectory(settings.ssh_key_path.parent, 0o700),
        RequiredDirectory(settings.state_dir, 0o700),
        RequiredDirectory(settings.overlay_dir, 0o755, for_machines=True),
        RequiredDirectory(DEFAULT_TARGET.parent, 0o755, for_machines=True, written=False),
        RequiredDirectory(DISK_DIR, 0o755, for_machines=True),
        RequiredDirectory(settings.artifact_registry.parent, 0o755),
        RequiredDirectory(settings.artifact_store_dir, 0o755),
        RequiredDirectory(settings.fault_registry.parent, 0o755),
    ]
