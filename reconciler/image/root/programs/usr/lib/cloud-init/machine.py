"""What a machine has of its own below cloud-init, and how one that was restored from a memory gets it."""

import calendar
import fcntl
import glob
import mmap
import os
import re
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Callable

from held_back import HeldBack, hold_back, mount, unmount

READY = "vmcluster: this machine waits for its identity"
WAITING = b"VMCLUSTER_WAIT"
_VOLUME_AT, _ROOT_AT, _BLOCK, _SEED_UNIT, _SECTOR = 0x8000, 0x809E, 2048, 1 << 20, 512
_PAGE = 4096
_POLL_S = 0.01
_PCI = "/sys/bus/pci/drivers/virtio-pci"
_RNDADDENTROPY, _RNDRESEEDCRNG, _RTC_RD_TIME = 0x40085203, 0x5207, 0x80247009
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MACHINE = "/sys/devices/virtual/dmi/id/product_uuid"
_MACHINE_ID = "/etc/machine-id"


def require_devices() -> None:
    """Raise `OSError` if this machine lacks what another identity takes."""
    for needed in (_PCI, _MACHINE, _BOOT_ID, "/dev/hwrng", "/dev/rtc0"):
        os.stat(needed)


def say(words: str) -> None:
    """Tell the host something, on the console."""
    write("/dev/console", f"vmcluster: {words}\n")


def try_to_wait(waits: Callable[[], None]) -> None:
    """A machine that cannot wait says so on its console, and nobody saves it."""
    try:
        waits()
    except Exception as error:
        say(f"this machine cannot wait: {error}")
        raise


def without_devices(seed: str) -> list[str]:
    """Leave the machine neither a card nor disks other than its root disk and the seed. Gives their PCI addresses."""
    subprocess.run(["udevadm", "settle"], check=True)
    devices = [_pci_device(of) for of in _own_devices(seed)]
    for device in devices:
        write(f"{_PCI}/unbind", device)
    return devices


def without_an_id() -> HeldBack:
    """Leave the disk without this machine's id: who boots from it gets an id. This machine keeps its id in memory.

    Gives journald, which keeps the ids of the machine and the boot and the host's name: it starts again.
    """
    own = read(_MACHINE_ID).strip()
    write(_MACHINE_ID, "")
    _show_instead(_MACHINE_ID, own)
    return hold_back("systemd-journald.service", "/etc/systemd/journald.conf")


def wait_for_another_seed(seed: str) -> None:
    """Wait until the seed no longer tells this machine to wait, and take over what the kernel and the host have."""
    device = _pci_device(f"/sys/block/{os.path.basename(seed)}")
    os.sync()
    write("/dev/console", READY + "\n")
    while _volume(seed)[0] == WAITING:
        time.sleep(_POLL_S)
    _mix_in_entropy()
    _set_clock()
    _look_again(seed, device)


def bind(devices: list[str]) -> None:
    """Have drivers take the devices, which resets them and reads them again."""
    for device in devices:
        write(f"{_PCI}/bind", device)


def files_in(seed: str) -> dict[str, str]:
    """The files of a seed by name (ECMA-119, 9.1; Rock Ridge, 4.1.4), without a mount, which the whole system sees."""
    content = _on_disk(seed, int(read(f"/sys/block/{os.path.basename(seed)}/size")) * _SECTOR)
    at, length = struct.unpack_from("<I4xI", content, _ROOT_AT)
    at, end = at * _BLOCK, at * _BLOCK + length
    files = {}
    while at < end and (size := content[at]):
        record = content[at : at + size]
        block, length = struct.unpack_from("<I4xI", record, 2)
        if name := re.search(rb"NM(.)\x01\0", record, re.DOTALL):
            text = content[block * _BLOCK : block * _BLOCK + length].decode()
            files[record[name.end() : name.start() + name[1][0]].decode()] = text
        at += size
    return files


def become(instance: str) -> None:
    """Be the machine with whose UUID the instance id begins.

    systemd would take the machine id from the firmware. The journal is kept by that id.
    """
    name = instance[:36]
    old, new = read(_MACHINE_ID).strip(), name.replace("-", "")
    _show_instead(_MACHINE, name)
    _show_instead(_BOOT_ID, str(uuid.uuid4()))
    unmount(_MACHINE_ID)
    write(_MACHINE_ID, new + "\n")
    os.makedirs(f"/run/log/journal/{new}", exist_ok=True)
    for journal in glob.glob(f"/run/log/journal/{old}/*.journal"):
        os.rename(journal, f"/run/log/journal/{new}/before-identity-{os.path.basename(journal)}")
    os.rmdir(f"/run/log/journal/{old}")


def set_host_name(name: str) -> None:
    """As hostname(1) does."""
    socket.sethostname(name)


def read(path: str) -> str:
    with open(path, errors="surrogateescape") as file:
        return file.read()


def write(path: str, text: str) -> None:
    with open(path, "w", errors="surrogateescape") as file:
        file.write(text)


def _own_devices(seed: str) -> list[str]:
    """What each machine has of its own besides its root disk and the seed: other disks, and the cards."""
    root = os.path.realpath("/sys/dev/block/{}:{}".format(*divmod(os.stat("/").st_dev, 256)))
    disks = [f"/sys/block/{name}" for name in os.listdir("/sys/block") if name.startswith("vd")]
    others = [disk for disk in disks if not root.startswith(os.path.realpath(disk)) and not seed.endswith(disk[-3:])]
    cards = [card for card in glob.glob("/sys/class/net/*") if os.path.exists(f"{card}/device")]
    return [*others, *cards]


def _pci_device(path: str) -> str:
    """The address of the PCI device behind a virtio disk or card."""
    return os.path.basename(os.path.dirname(os.path.realpath(f"{path}/device")))


def _volume(disk: str) -> tuple[bytes, int]:
    """The volume's label and its size (ECMA-119, 8.4)."""
    label, blocks = struct.unpack_from("<40x32s8xI", _on_disk(disk, _VOLUME_AT + _PAGE), _VOLUME_AT)
    return label.rstrip(b" \0"), blocks * _BLOCK


def _on_disk(disk: str, size: int) -> bytes:
    """The beginning of a disk as it is there now, not as it was read before."""
    file = os.open(disk, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, size) as memory:
            os.preadv(file, [memory], 0)
            return bytes(memory)
    finally:
        os.close(file)


def _look_again(seed: str, device: str) -> None:
    """Have udev see the seed that is there now, and the driver too if the disk has another size: seeds are padded."""
    disk, size = f"/sys/block/{os.path.basename(seed)}", _volume(seed)[1]
    if -(-size // _SEED_UNIT) * _SEED_UNIT == int(read(f"{disk}/size")) * _SECTOR:
        write(f"{disk}/uevent", "change")
    else:
        write(f"{_PCI}/unbind", device)
        bind([device])


def _mix_in_entropy() -> None:
    """The memory contains the state of the random numbers; the virtio device brings the host's, past what it holds."""
    with open("/dev/hwrng", "rb", buffering=0) as source:
        fresh = b"".join(source.read(64) for _ in range(8))
    with open("/dev/random", "wb", buffering=0) as pool:
        fcntl.ioctl(pool, _RNDADDENTROPY, struct.pack(f"ii{len(fresh)}s", 8 * len(fresh), len(fresh), fresh))
        fcntl.ioctl(pool, _RNDRESEEDCRNG)


def _set_clock() -> None:
    """As the kernel does at a boot: from the clock that the host keeps."""
    with open("/dev/rtc0", "rb") as clock:
        second, minute, hour, day, month, year, *_ = struct.unpack("9i", fcntl.ioctl(clock, _RTC_RD_TIME, bytes(36)))
    now = calendar.timegm((year + 1900, month + 1, day, hour, minute, second))
    time.clock_settime(time.CLOCK_REALTIME, now)


def _show_instead(path: str, text: str) -> None:
    """Mount a file with that line over another one."""
    copy = f"/run/vmcluster/{os.path.basename(path)}"
    os.makedirs(os.path.dirname(copy), exist_ok=True)
    write(copy, text + "\n")
    os.chmod(copy, os.stat(path).st_mode & 0o777)
    mount(copy, path)
