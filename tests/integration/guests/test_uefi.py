"""A machine that starts by UEFI: its variables are part of its snapshots, and stay with its disks."""

from pathlib import Path
from typing import Any

from tests.guest_kernel.fetch import efi_stub, guest_release, kit_dir
from tests.integration.bed import BASE_IMAGE, Bed, Session
from tests.integration.guests.efi_disk import write_efi_disk
from tests.waiting import BOOT_TIMEOUT_S

CLUSTER = "efi"
_VARIABLE = "/sys/firmware/efi/efivars/Mark-6f1a3a5e-5f0b-5c39-9d0e-6a2f6c6b7d11"
_MOUNT = "mountpoint -q /sys/firmware/efi/efivars || mount -t efivarfs efivarfs /sys/firmware/efi/efivars"


def _by_uefi(document: dict[str, Any]) -> None:
    files = {"kernel": str(BASE_IMAGE.with_suffix(".vmlinuz")), "initrd": str(BASE_IMAGE.with_suffix(".initrd"))}
    cmdline = "root=/dev/vda1 rw console=ttyS0 net.ifnames=0"
    document |= {"firmware": "uefi", "boot": {**files, "cmdline": cmdline}}


async def _said(session: Session, command: str) -> str:
    done = await session.nodes.run(CLUSTER, "n0", f"{_MOUNT}; {command}", timeout_s=BOOT_TIMEOUT_S)
    assert done.exit_code == 0, done.stderr
    return done.stdout.strip()


async def _write(session: Session, mark: str) -> None:
    """Non-volatile, for boot and run time (linux/efi.h), then one byte."""
    clear = f"[ ! -e {_VARIABLE} ] || {{ chattr -i {_VARIABLE}; rm {_VARIABLE}; }}"
    await _said(session, f"{clear}; printf '\\007\\000\\000\\000{mark}' > {_VARIABLE}; sync")


async def _mark(session: Session) -> str:
    return await _said(session, f"tail -c 1 {_VARIABLE}")


async def test_uefi_variables_go_back_with_snapshots_and_stay_with_kept_disks(bed: Bed) -> None:
    bed.write_topology(CLUSTER, nodes=1, boots=True, edit=_by_uefi)
    directory = bed.settings.overlay_dir / CLUSTER

    def files() -> list[Path]:
        return sorted(directory.glob("*.nvram"))

    async with bed.runtime() as runtime:
        session = Session(runtime)
        try:
            await session.clusters.apply(CLUSTER, timeout_s=BOOT_TIMEOUT_S)
            assert (await session.clusters.plan(CLUSTER)).plan.converged
            assert await _said(session, "ls -d /sys/firmware/efi") == "/sys/firmware/efi"
            await _write(session, "A")
            await session.snapshots.create(CLUSTER, "disks")
            await _write(session, "B")
            await session.snapshots.create(CLUSTER, "memory", include_memory=True)
            await _write(session, "C")
            await session.snapshots.revert(CLUSTER, "memory", ssh_timeout_s=BOOT_TIMEOUT_S)
            assert await _mark(session) == "B"
            await session.snapshots.revert(CLUSTER, "disks", ssh_timeout_s=BOOT_TIMEOUT_S)
            assert await _mark(session) == "A"
            assert len(files()) == 1
            await session.clusters.destroy(CLUSTER)
            kept = files()
            assert len(kept) == 1
            await session.clusters.apply(CLUSTER, start=False)
            record = (await runtime.libvirt.find_domains(CLUSTER))["n0"].record
            assert record is not None
            assert record.domain.nvram == kept[0]
        finally:
            await session.clusters.destroy(CLUSTER, remove_overlays=True)
    assert not directory.exists()


async def test_a_disk_with_an_efi_system_partition_boots_by_itself_and_after_reverts(bed: Bed) -> None:
    image = bed.directory / "efi.qcow2"
    images = BASE_IMAGE.parent
    write_efi_disk(BASE_IMAGE, efi_stub(kit_dir(images, guest_release(images))), image)

    def from_disk(document: dict[str, Any]) -> None:
        document |= {"firmware": "uefi", "base_image": str(image)}

    bed.write_topology(CLUSTER, nodes=1, boots=True, edit=from_disk)
    async with bed.runtime() as runtime:
        session = Session(runtime)
        try:
            await session.clusters.apply(CLUSTER, timeout_s=BOOT_TIMEOUT_S)
            assert "systemd-stub" in await _said(session, "cat /sys/firmware/efi/efivars/StubInfo-* | tr -d '\\0'")
            await _said(session, "echo before >/root/file; sync")
            await session.snapshots.create(CLUSTER, "disks")
            await session.snapshots.create(CLUSTER, "memory", include_memory=True)
            await _said(session, "echo after >/root/file; sync")
            for snapshot in ("memory", "disks"):
                await session.snapshots.revert(CLUSTER, snapshot, ssh_timeout_s=BOOT_TIMEOUT_S)
                assert await _said(session, "cat /root/file") == "before"
            assert (await session.clusters.plan(CLUSTER)).plan.converged
        finally:
            await session.clusters.destroy(CLUSTER, remove_overlays=True)
