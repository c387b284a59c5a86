"""The ingredients of the guest image and the commands that build it; pure data and rendering.

A recipe has a digest: the same digest means the same image up to the versions that the archive serves.
"""

import hashlib
import io
import json
import shlex
import tarfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from reconciler.image.boot_sector import GRUB_CONFIG, GRUB_MODULES, GRUB_PREFIX, PARTITION_OFFSET_BYTES
from reconciler.image.overlay import OverlayFile, overlay_files

GUEST_CODENAME = "bookworm"
DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DISK_BYTES = 8 * 1024**3
"""The size that the guest sees; on the host the image is as large as its contents."""

KERNEL_LINK = "vmlinuz"
INITRD_LINK = "initrd.img"
BOOT_IMG_PATH = "boot/grub/boot.img"
CORE_IMG_PATH = "boot/grub/core.img"

_ARCHIVES = "/var/cache/apt/archives"
_LAYOUT_VERSION = 1
"""Incremented when the way from the root file system to the disk changes."""

PACKAGES = (
    "linux-image-cloud-amd64",
    "tiny-initramfs",
    "systemd-sysv",
    "udev",
    "kmod",
    "dbus",
    "cloud-init",
    "isc-dhcp-client",
    "openssh-server",
    "sudo",
    "qemu-guest-agent",
    "iproute2",
    "iptables",
    "nftables",
    "iputils-ping",
    "rsync",
    "procps",
    "e2fsprogs",
    "ca-certificates",
)
"""`libpam-systemd` is omitted on purpose: with it each login starts a second service manager (1.8 s emulated)."""

BOOT_LOADER_PACKAGES = ("grub-pc-bin", "grub-common")
"""Needed to make the boot loader, then removed."""

# Documentation, and sources of things that are installed in compiled form.
_EXCLUDED_PATHS = (
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/usr/share/i18n/*",
)

# Runs on the host after all packages are there; $1 is the root directory (mmdebstrap(1), HOOKS).
_FINISH = f"""\
#!/bin/sh
set -eu
root=$1
version=$(basename "$(readlink "$root/vmlinuz")")
version=${{version#vmlinuz-}}
chroot "$root" mktirfs -o "/boot/initrd.img-$version" "$version"
chmod 0644 "$root/boot/initrd.img-$version"
cat > "$root/boot/grub/early.cfg" <<'END'
{GRUB_CONFIG}END
chroot "$root" grub-mkimage -O i386-pc -p '{GRUB_PREFIX}' -c /boot/grub/early.cfg \
    -o /{CORE_IMG_PATH} {" ".join(GRUB_MODULES)}
cp "$root/usr/lib/grub/i386-pc/boot.img" "$root/{BOOT_IMG_PATH}"
chroot "$root" dpkg --purge {" ".join(BOOT_LOADER_PACKAGES)}
chroot "$root" systemctl enable systemd-networkd.service
# No message of the day, no look at the mail at each login.
sed -i '/pam_motd\\|pam_mail/d' "$root/etc/pam.d/sshd"
# Every machine gets these for itself.
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/hostname" "$root/vmlinuz.old" "$root/initrd.img.old"
: > "$root/etc/machine-id"
: > "$root/etc/fstab"
# The file that it links to is empty; without it no process is started to read it.
rm -f "$root/etc/modules-load.d/modules.conf"
# With it cloud-init checks its configuration against a schema; without, its log says that it did not.
# That takes 2 s emulated.
rm -rf "$root/usr/lib/python3/dist-packages/jsonschema"
# Names of hardware that no virtual machine has.
rm -rf "$root/usr/lib/udev/hwdb.d" "$root/usr/lib/udev/hwdb.bin"
find "$root/var/log" -type f -delete
rm -rf "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that determines the contents of the image."""

    codename: str = GUEST_CODENAME
    packages: tuple[str, ...] = (*PACKAGES, *BOOT_LOADER_PACKAGES)
    excluded_paths: tuple[str, ...] = _EXCLUDED_PATHS
    finish: str = _FINISH
    disk_bytes: int = DISK_BYTES
    layout_version: int = _LAYOUT_VERSION


def root_digest(recipe: Recipe) -> str:
    """Identifies the root file system that the recipe produces."""
    disk_only = {"disk_bytes", "layout_version"}
    asked = {name: value for name, value in asdict(recipe).items() if name not in disk_only}
    return _digest([asked, hashlib.sha256(render_overlay(overlay_files())).hexdigest()])


def image_digest(recipe: Recipe) -> str:
    """Identifies the image that the recipe produces."""
    return _digest([root_digest(recipe), recipe.disk_bytes, recipe.layout_version])


def render_overlay(files: Sequence[OverlayFile]) -> bytes:
    """The overlay as a tar archive with its directories, all owned by root."""
    buffer = io.BytesIO()
    with tarfile.TarFile(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for directory in sorted({str(parent) for file in files for parent in Path(file.path).parents} - {"."}):
            archive.addfile(_member(directory, tarfile.DIRTYPE, 0o755))
        for file in files:
            if file.link_to is not None:
                archive.addfile(_member(file.path, tarfile.SYMTYPE, 0o777, file.link_to))
            else:
                member = _member(file.path, tarfile.REGTYPE, file.mode)
                member.size = len(file.content)
                archive.addfile(member, io.BytesIO(file.content))
    return buffer.getvalue()


def render_mmdebstrap(
    recipe: Recipe, *, mode: str, work_dir: Path, packages_dir: Path, sources: Path | None, apt_options: Sequence[str]
) -> list[str]:
    """The command that creates the root file system as `work_dir`/root.tar.

    `packages_dir` is filled and read as a cache of package files. Without `sources` the tool's own default
    mirror is used. `work_dir` must hold the overlay as `overlay.tar` and the finishing script as `finish`.
    """
    # The hooks are split like lines of shell (mmdebstrap(1), HOOKS).
    cached, overlay, finish = (
        shlex.quote(str(p)) for p in (packages_dir, work_dir / "overlay.tar", work_dir / "finish")
    )
    return [
        "mmdebstrap",
        f"--mode={mode}",
        "--variant=minbase",
        "--format=tar",
        "--skip=download/empty,essential/unlink",
        f"--include={','.join(recipe.packages)}",
        *([] if sources else [f"--keyring={DEBIAN_KEYRING}"]),
        *(f"--aptopt={option}" for option in ('Acquire::Languages "none";', *apt_options)),
        *(f"--dpkgopt=path-exclude={path}" for path in recipe.excluded_paths),
        f'--setup-hook=mkdir -p "$1"{_ARCHIVES}',
        f"--setup-hook=sync-in {cached} {_ARCHIVES}",
        f"--essential-hook=tar-in {overlay} /",
        f'--customize-hook={finish} "$1"',
        f"--customize-hook=sync-out {_ARCHIVES} {cached}",
        recipe.codename,
        str(work_dir / "root.tar"),
        *([str(sources)] if sources else []),
    ]


def render_mke2fs(recipe: Recipe, *, root_dir: Path, disk: Path) -> list[str]:
    """The command that puts a file system with all of `root_dir` into the raw image `disk`.

    Inode tables are written here, as zeros that take no space, so that no guest has to write them later.
    """
    size_kib = (recipe.disk_bytes - PARTITION_OFFSET_BYTES) // 1024
    extended = f"offset={PARTITION_OFFSET_BYTES},lazy_itable_init=0,lazy_journal_init=0,nodiscard"
    options = ["-t", "ext4", "-L", "vmcluster-root", "-m", "1", "-N", "262144", "-J", "size=32", "-E", extended]
    return ["mke2fs", "-q", "-F", *options, "-d", str(root_dir), str(disk), f"{size_kib}k"]


def _member(path: str, kind: bytes, mode: int, link_to: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.type, member.mode, member.linkname = kind, mode, link_to
    member.uname = member.gname = "root"
    return member


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
