"""Stop a boot right before cloud-init's first stage, until the seed says which machine this is.

The host saves the memory of a machine that waits here, and restores it in other machines, each with a seed and a
network card of its own. What this one has read of its identity is replaced here; cloud-init does the rest, as at a
boot.
"""

import calendar
import ctypes
import fcntl
import glob
import importlib
import mmap
import os
import struct
import subprocess
import time
import uuid

READY = "vmcluster: this machine waits for its identity"
WAITING = b"VMCLUSTER_WAIT"
_LABEL_AT = 0x8028
_PAGE = 4096
_POLL_S = 0.05
_MS_BIND = 4096
_PCI = "/sys/bus/pci/drivers/virtio-pci"
_RNDADDENTROPY, _RNDRESEEDCRNG, _RTC_RD_TIME = 0x40085203, 0x5207, 0x80247009
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MACHINE = "/sys/devices/virtual/dmi/id/product_uuid"
_MACHINE_ID = "/etc/machine-id"
_PRELOADED = """
cloudinit.config.cc_bootcmd cloudinit.config.cc_disk_setup cloudinit.config.cc_mounts cloudinit.config.cc_set_hostname
cloudinit.config.cc_ssh cloudinit.config.cc_update_hostname cloudinit.config.cc_users_groups
cloudinit.config.cc_write_files cloudinit.distros.debian cloudinit.handlers.boot_hook cloudinit.handlers.cloud_config
cloudinit.handlers.jinja_template cloudinit.handlers.shell_script cloudinit.handlers.shell_script_by_frequency
cloudinit.mergers.m_dict cloudinit.mergers.m_list cloudinit.mergers.m_str cloudinit.net.activators
cloudinit.net.networkd cloudinit.netinfo cloudinit.reporting.handlers cloudinit.sources.DataSourceNoCloud
"""


def wait_for_identity(seed: str) -> None:
    """Wait for another seed in its place, and take over what belongs to the machine that this one is then."""
    for needed in (_PCI, _MACHINE, _BOOT_ID, "/dev/hwrng", "/dev/rtc0"):
        os.stat(needed)
    for module in _PRELOADED.split():
        importlib.import_module(module)
    while _others_start():
        time.sleep(_POLL_S)
    subprocess.run(["udevadm", "settle"], check=True)
    devices = [_pci_device(of) for of in _own_devices(seed)]
    for device in devices[1:]:
        _write(f"{_PCI}/unbind", device)
    _keep_identity_off_the_disk()
    os.sync()
    _write("/dev/console", READY + "\n")
    while _label(seed) == WAITING:
        time.sleep(_POLL_S)
    _mix_in_entropy()
    _set_clock()
    _write(f"{_PCI}/unbind", devices[0])
    for device in devices:
        _write(f"{_PCI}/bind", device)
    _become(_machine_in(seed))


def try_to_wait(seed: str) -> None:
    """As `wait_for_identity`; a machine that cannot wait says so on its console, and nobody saves it."""
    try:
        wait_for_identity(seed)
    except Exception as error:
        _write("/dev/console", f"vmcluster: this machine cannot wait: {error}\n")
        raise


def _others_start() -> bool:
    """Whether any unit but the one that waits is still being started."""
    listed = subprocess.run(["systemctl", "list-jobs", "--no-legend"], capture_output=True, text=True, check=True)
    jobs = [line.split() for line in listed.stdout.splitlines()]
    return any(job[3] == "running" and job[1] != "cloud-init-local.service" for job in jobs)


def _own_devices(seed: str) -> list[str]:
    """What each machine has of its own: the seed, then the other disks and the cards, but not the root disk."""
    root = os.path.realpath("/sys/dev/block/{}:{}".format(*divmod(os.stat("/").st_dev, 256)))
    disks = [f"/sys/block/{name}" for name in os.listdir("/sys/block") if name.startswith("vd")]
    others = [disk for disk in disks if not root.startswith(os.path.realpath(disk)) and not seed.endswith(disk[-3:])]
    cards = [card for card in glob.glob("/sys/class/net/*") if os.path.exists(f"{card}/device")]
    return [f"/sys/block/{os.path.basename(seed)}", *others, *cards]


def _pci_device(path: str) -> str:
    """The address of the PCI device behind a virtio disk or card: binding it again resets it and reads it again."""
    return os.path.basename(os.path.dirname(os.path.realpath(f"{path}/device")))


def _label(disk: str) -> bytes:
    """The label of the volume as it is on the disk now, not as it was read before."""
    file = os.open(disk, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, _PAGE) as page:
            os.preadv(file, [page], _LABEL_AT // _PAGE * _PAGE)
            start = _LABEL_AT % _PAGE
            return page[start : start + 32].rstrip(b" \0")
    finally:
        os.close(file)


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


def _machine_in(seed: str) -> str:
    """The machine's UUID, with which its instance id begins."""
    with open(seed, "rb") as file:
        content = file.read()
    return content.split(b"instance-id: ", 1)[1][:36].decode()


def _keep_identity_off_the_disk() -> None:
    """A machine that boots from the disk as it is now gets an id of its own; this one keeps its id in memory."""
    own = _read(_MACHINE_ID).strip()
    _write(_MACHINE_ID, "")
    _show_instead(_MACHINE_ID, own)


def _become(machine: str) -> None:
    """systemd would take the machine id from the firmware, and the journal is kept by that id."""
    old, new = _read(_MACHINE_ID).strip(), machine.replace("-", "")
    _show_instead(_MACHINE, machine)
    _show_instead(_BOOT_ID, str(uuid.uuid4()))
    _succeed(_libc().umount2(_MACHINE_ID.encode(), 0), f"cannot unmount {_MACHINE_ID}")
    _write(_MACHINE_ID, new + "\n")
    os.makedirs(f"/run/log/journal/{new}", exist_ok=True)
    for journal in glob.glob(f"/run/log/journal/{old}/*.journal"):
        os.rename(journal, f"/run/log/journal/{new}/before-identity-{os.path.basename(journal)}")
    os.rmdir(f"/run/log/journal/{old}")
    subprocess.run(["systemctl", "--no-block", "restart", "systemd-journald.service"], check=True)


def _show_instead(path: str, text: str) -> None:
    """Mount a file with that line over another one."""
    copy = f"/run/vmcluster/{os.path.basename(path)}"
    os.makedirs(os.path.dirname(copy), exist_ok=True)
    _write(copy, text + "\n")
    os.chmod(copy, os.stat(path).st_mode & 0o777)
    _succeed(_libc().mount(copy.encode(), path.encode(), None, _MS_BIND, None), f"cannot mount over {path}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _succeed(result: int, otherwise: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), otherwise)


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
