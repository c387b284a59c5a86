"""Checks whether this host can run clusters, and fixes what is safe to fix."""

import asyncio
from collections.abc import Iterator, Mapping

from reconciler.concurrency import together
from reconciler.errors import ClusterError
from reconciler.files.roots import DISK_DIR
from reconciler.host import checks
from reconciler.host.checks import RequiredDirectory
from reconciler.model.examination import CheckResult, Examination, MissingPackages, Repair, failed, ok, warning
from reconciler.model.host import HostRecord
from reconciler.model.names import BASE_IMAGE, image_path
from reconciler.progress import Report
from reconciler.runtime import open_store
from reconciler.settings import Settings


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
        checks.check_image(image_path(settings.image_dir, BASE_IMAGE)),
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


async def find_missing_packages() -> MissingPackages:
    """What is to be installed on this host, by the commands of its distribution."""
    return await asyncio.to_thread(lambda: checks.missing_packages(checks.this_distribution()))


async def install_packages(missing: MissingPackages, report: Report) -> None:
    """Install what is missing, where this process can. Raises `HostCommandFailed`."""
    for command in missing.commands if missing.runs_here else ():
        report(command)
        await checks.install_debian_packages(command)


def places(settings: Settings) -> list[RequiredDirectory]:
    """The directories that these settings and the example topologies name; parents of files included."""
    return [
        RequiredDirectory(settings.topology_dir, 0o755),
        RequiredDirectory(settings.ssh_key_path.parent, 0o700),
        RequiredDirectory(settings.state_dir, 0o700),
        RequiredDirectory(settings.overlay_dir, 0o755, for_machines=True),
        RequiredDirectory(settings.image_dir, 0o755, for_machines=True, written=False),
        RequiredDirectory(DISK_DIR, 0o755, for_machines=True),
        RequiredDirectory(settings.artifact_registry.parent, 0o755),
        RequiredDirectory(settings.artifact_store_dir, 0o755),
        RequiredDirectory(settings.fault_registry.parent, 0o755),
    ]


async def check_member(settings: Settings) -> list[CheckResult]:
    """What this host lacks as one of several; empty where its store is a directory. Takes no lease."""
    if settings.etcd is None:
        return []
    return [*await _check_store(settings), *await checks.check_tunnels(settings.host_address)]


async def _check_store(settings: Settings) -> list[CheckResult]:
    store = open_store(settings)
    try:
        hosts = await store.hosts()
    except ClusterError as error:
        return [failed("store", error.message, error.hint or "see the configuration of `store`")]
    finally:
        await store.close()
    reached = ok("store", f"{settings.store} answers; {len(hosts)} hosts have reported")
    return [reached, _check_own(settings.own_host, hosts), *_check_images(settings, hosts)]


def _check_own(name: str, hosts: Mapping[str, HostRecord]) -> CheckResult:
    own = hosts.get(name)
    if own is None:
        told = f"{name} has not reported yet"
        return warning("host", told, "run `vmcluster watch` here, as a service")
    if not own.alive:
        told = f"{name} does not keep its lease alive, so nothing is placed or repaired here"
        return warning("host", told, "run `vmcluster watch` here, as a service")
    return ok("host", f"{name} is alive{', and cordoned' if own.cordoned else ''}")


def _check_images(settings: Settings, hosts: Mapping[str, HostRecord]) -> Iterator[CheckResult]:
    """Images that others have under a name, and this host has with another content, or lacks and cannot fetch."""
    name = settings.own_host
    if name not in hosts:
        return
    own = {image.path: image.digest for image in hosts[name].images}
    for path in sorted({image.path for host in hosts.values() for image in host.images}):
        theirs = {image.digest for of in hosts.values() if of.name != name for image in of.images if image.path == path}
        fetched = path not in own and hosts[name].image_key and path.parent == settings.image_dir
        if theirs and own.get(path) not in theirs and not fetched:
            told = "differs from the same path on other hosts" if path in own else "is on other hosts only"
            remedy = "copy it from one of them: nodes that need it are placed there only"
            yield warning("image", f"{path} {told}", remedy)
