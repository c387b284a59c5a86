"""The image boots: from its disk through BIOS and boot loader, and as a kernel given to QEMU; without libvirt."""

import asyncio
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from reconciler.host.cloud_init.etc_hosts import render_hosts
from reconciler.host.cloud_init.iso import render_iso
from reconciler.host.cloud_init.seed_codec import SeedInputs, render_seed
from reconciler.image.overlay import overlay_files
from reconciler.image.published import ImageFiles, read_description
from reconciler.process import run
from tests.integration.bed import BASE_IMAGE
from tests.lab import WORK_DIR
from tests.waiting import BOOT_TIMEOUT_S

MAC = "52:54:00:77:00:01"
GREETING_WITHIN_S = 2.0
OFF_WITHIN_S = 60.0
HOSTS = render_hosts({"n0": IPv4Address("10.0.2.15"), "n1": IPv4Address("10.0.2.16")}, "image-test")

FILES = ImageFiles.beside(BASE_IMAGE)


@dataclass(frozen=True)
class Machine:
    """A booted guest with one open connection."""

    ssh: asyncssh.SSHClientConnection
    process: asyncio.subprocess.Process
    monitor: Path
    console: Path

    async def sh(self, command: str) -> str:
        done = await self.ssh.run(command, check=True, timeout=BOOT_TIMEOUT_S)
        return str(done.stdout).strip()

    async def press_power_button(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self.monitor)
        for command in (b'{"execute":"qmp_capabilities"}\n', b'{"execute":"system_powerdown"}\n'):
            await reader.readline()
            writer.write(command)
        await reader.readline()
        writer.close()


@pytest.fixture(scope="module")
async def direct() -> AsyncIterator[Machine]:
    """Booted from the kernel beside the image; its seed says what ours say, and no more."""
    said = read_description(FILES)
    assert said is not None, f"build the image first: vmcluster image build {BASE_IMAGE}"
    boot = ("-kernel", str(FILES.kernel), "-initrd", str(FILES.initrd), "-append", said.cmdline)
    with temporary_place() as place:
        async with booted(place, boot) as guest:
            yield guest


@pytest.fixture(scope="module")
async def from_disk() -> AsyncIterator[Machine]:
    """Booted by the boot loader on its disk; a user's cloud-config is in its seed."""
    user_data = {"runcmd": [["touch", "/ran"]], "write_files": [{"path": "/written", "content": "x"}]}
    with temporary_place() as place:
        async with booted(place, (), user_data) as guest:
            yield guest


@contextmanager
def temporary_place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=WORK_DIR) as name:
        yield Path(name)


@asynccontextmanager
async def booted(place: Path, boot: tuple[str, ...], user_data: dict[str, Any] | None = None) -> AsyncIterator[Machine]:
    client_key, host_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    inputs = SeedInputs(
        cluster_name="image-test",
        node="n0",
        instance_id="n0-1",
        mac=MAC,
        ip=IPv4Address("10.0.2.15"),
        prefix_length=24,
        gateway=IPv4Address("10.0.2.2"),
        hosts=HOSTS,
        ssh_user="root",
        ssh_public_key=client_key.export_public_key().decode().strip(),
        user_data=user_data or {},
    )
    public = host_key.export_public_key().decode().strip()
    seed = render_seed(inputs, host_key.export_private_key().decode(), public)
    (place / "seed.iso").write_bytes(render_iso(seed.by_name()))
    overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(BASE_IMAGE), str(place / "n0.qcow2")]
    await run(overlay)
    port = _free_port()
    process = await asyncio.create_subprocess_exec(*_qemu(place, port), *boot)
    try:
        trusted = asyncssh.import_known_hosts(f"[127.0.0.1]:{port} {public}\n")
        async with await _login(port, client_key, trusted) as ssh:
            yield Machine(ssh, process, place / "qmp", place / "console.log")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _qemu(place: Path, port: int) -> list[str]:
    return [
        *("qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "512", "-smp", "1"),
        *("-display", "none", "-nodefaults", "-no-user-config", "-serial", f"file:{place}/console.log"),
        *("-drive", f"file={place}/n0.qcow2,if=virtio,format=qcow2"),
        *("-drive", f"file={place}/seed.iso,if=virtio,format=raw,readonly=on"),
        *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"),
        *("-device", f"virtio-net-pci,netdev=net,mac={MAC}"),
        *("-qmp", f"unix:{place}/qmp,server=on,wait=off"),
    ]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def _login(port: int, key: asyncssh.SSHKey, trusted: asyncssh.SSHKnownHosts) -> asyncssh.SSHClientConnection:
    deadline = time.monotonic() + BOOT_TIMEOUT_S
    while not await _greets(port) and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    while True:
        try:
            return await asyncssh.connect(
                "127.0.0.1",
                port,
                username="root",
                client_keys=[key],
                known_hosts=trusted,
                config=None,
                agent_path=None,
                connect_timeout=60,
                login_timeout=60,
            )
        except (OSError, asyncssh.ConnectionLost, asyncssh.DisconnectError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.5)


async def _greets(port: int) -> bool:
    """Whether the guest's sshd answers: QEMU takes a connection before, and tries to pass it on ever more rarely."""
    try:
        async with asyncio.timeout(GREETING_WITHIN_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                return (await reader.readline()).startswith(b"SSH-")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def assert_as_declared(guest: Machine) -> None:
    assert await guest.sh("hostname") == "n0"
    assert (await guest.sh("cat /etc/hosts")).startswith(HOSTS.strip())
    assert "10.0.2.15/24" in await guest.sh("ip -br address show eth0")
    assert await guest.sh("ls /etc/ssh/ssh_host_*_key") == "/etc/ssh/ssh_host_ed25519_key"
    assert (await guest.sh("cloud-init status --wait")).endswith("status: done")
    assert await guest.sh("systemctl is-system-running --wait") == "running"


async def test_a_direct_boot_ends_in_a_login_with_everything_as_declared(direct: Machine) -> None:
    await assert_as_declared(direct)
    assert await direct.sh("systemctl is-active cloud-config.service || true") == "inactive"


async def test_what_the_fault_tests_and_the_kernel_log_need_is_in_the_guest(direct: Machine) -> None:
    await direct.sh("modprobe -a sch_netem sch_htb cls_u32 cls_flower ifb nft_meta_bridge br_netfilter veth")
    await direct.sh("command -v tc nft iptables rsync python3 sudo qemu-ga ping dhclient")
    await direct.sh("echo '<3>image-test: said as an error' > /dev/kmsg")
    await direct.sh("echo '<6>image-test: said in passing' > /dev/kmsg")
    console = direct.console.read_text(errors="replace")
    assert "image-test: said as an error" in console
    assert "image-test: said in passing" not in console


async def test_systemd_understands_every_setting_that_the_image_changes(direct: Machine) -> None:
    units = {Path(file.path).parent.name.removesuffix(".d") for file in overlay_files() if ".service.d/" in file.path}
    assert len(units) > 5
    said = await direct.sh(f"systemd-analyze verify --man=no {' '.join(sorted(units))} 2>&1 || true")
    assert [line for line in said.splitlines() if "vmcluster.conf" in line] == []


async def test_the_kernel_installed_last_is_what_the_disk_boots(direct: Machine) -> None:
    for name in ("vmlinuz", "initrd.img"):
        await direct.sh(f"cp /boot/{name}-$(uname -r) /boot/{name}-9.9.9")
    await direct.sh("/etc/kernel/postinst.d/zz-vmcluster-boot 9.9.9 /boot/vmlinuz-9.9.9")
    assert await direct.sh("readlink /vmlinuz /initrd.img") == "boot/vmlinuz-9.9.9\nboot/initrd.img-9.9.9"


async def test_a_users_cloud_config_has_its_effect_and_leaves_everything_else_as_declared(from_disk: Machine) -> None:
    assert await from_disk.sh("cat /written") == "x"
    await assert_as_declared(from_disk)
    await from_disk.sh("test -e /ran")


async def test_a_guest_goes_off_at_the_power_button(from_disk: Machine) -> None:
    await from_disk.press_power_button()
    async with asyncio.timeout(OFF_WITHIN_S):
        await from_disk.process.wait()
