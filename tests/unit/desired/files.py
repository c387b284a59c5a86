"""A directory of the files that topologies under test name."""

import os
import struct
import subprocess
import tarfile
import tempfile
from functools import cache
from io import BytesIO
from pathlib import Path

import asyncssh

from reconciler.settings import Settings

GIB = 1024**3
KEY_NAME = "id_ed25519"


SPOILT = {
    "encrypted.qcow2": {35: b"\2"},
    "corrupt.qcow2": {79: b"\2"},
    "external.qcow2": {79: b"\4"},
    "future.qcow2": {78: b"\1"},
    "cut-off.qcow2": {44: b"\1"},
    "damaged.qcow2": {59: b"\0"},
    "uneven.qcow2": {31: b"\1"},
}
"""Images that a header makes unusable: what it says, by offset."""


def qcow2_header(size_bytes: int, backing: bytes = b"", version: int = 2) -> bytes:
    """An empty qcow2 image of at most 4 GiB: its header and two empty tables; see QEMU's docs/interop/qcow2.txt."""
    length, cluster = (72 if version == 2 else 104), 1 << 13
    offset = length + 8 if backing else 0
    fields = (b"QFI\xfb", version, offset, len(backing), 13, size_bytes, 0, 512, cluster, 2 * cluster, 1, 0, 0)
    head = struct.pack(">4sIQIIQIIQQIIQ", *fields)
    if version > 2:
        head += struct.pack(">QQQII", 0, 0, 0, 4, length)
    return (head + bytes(8) + backing).ljust(3 * cluster, b"\0")


def tar_of(content: bytes) -> bytes:
    """A tar archive of one file."""
    archive, member = BytesIO(), tarfile.TarInfo("disk1.vmdk")
    member.size = len(content)
    with tarfile.open(fileobj=archive, mode="w") as file:
        file.addfile(member, BytesIO(content))
    return archive.getvalue()


def bzimage(size_bytes: int = 4096) -> bytes:
    """What says of itself that it is a kernel of that size."""
    head = bytearray(size_bytes)
    head[0x1F1] = 1
    head[0x1F4:0x1F8] = struct.pack("<I", (size_bytes - 1024) // 16)
    head[0x202:0x206] = b"HdrS"
    return bytes(head)


def write_host_files(directory: Path) -> None:
    """What `specs/invalid/` expects beside the topology: images, a kernel, and an SSH key pair."""
    (directory / "base.qcow2").write_bytes(qcow2_header(2 * GIB))
    (directory / "foreign.qcow2").write_bytes(qcow2_header(3 * GIB))
    (directory / "stacked.qcow2").write_bytes(qcow2_header(GIB, b"base.qcow2"))
    (directory / "image.vmdk").write_bytes(b"KDMV".ljust(512, b"\0"))
    (directory / "raw.img").write_bytes(bytes(GIB // 1024))
    (directory / "bios.img").write_bytes(bytes(450) + b"\x83" + bytes(59) + b"\x55\xaa" + bytes(512))
    (directory / "base.vmlinuz").write_bytes(bzimage())
    (directory / "base.initrd").write_bytes(b"\x1f\x8b\x08".ljust(512, b"\0"))
    (directory / "vmlinux").write_bytes(b"\x7fELF\x02".ljust(512, b"\0"))
    (directory / "notes.txt").write_text("remember the milk\n")
    (directory / "odd.img").write_bytes(bytes(1000))
    for name, fields in SPOILT.items():
        image = bytearray(qcow2_header(GIB, version=3))
        for offset, value in fields.items():
            image[offset : offset + len(value)] = value
        (directory / name).write_bytes(image)
    (directory / "image.iso").write_bytes(bytes(0x8001) + b"CD001".ljust(2048, b"\0"))
    (directory / "image.qcow2.xz").write_bytes(b"\xfd7zXZ\0".ljust(512, b"\0"))
    (directory / "image.ova").write_bytes(tar_of(b"KDMV"))
    (directory / "root.cpio").write_bytes(b"070701".ljust(1024, b"0"))
    (directory / "root.odc").write_bytes(b"070707".ljust(1024, b"0"))
    (directory / "empty.img").touch()
    (directory / "empty.qcow2").write_bytes(qcow2_header(0))
    (directory / "images").mkdir()
    os.mkfifo(directory / "fifo")
    write_key(directory / KEY_NAME)
    write_key(directory / "id_open").chmod(0o644)
    write_key(directory / "id_of_another")
    (directory / "id_of_another.pub").write_bytes((directory / f"{KEY_NAME}.pub").read_bytes())
    (directory / "id_locked").write_bytes(locked_key())
    (directory / "id_locked").chmod(0o600)


def write_key(path: Path) -> Path:
    """An SSH key pair."""
    key = asyncssh.generate_private_key("ssh-ed25519", comment="test")
    key.write_private_key(path)
    path.chmod(0o600)
    key.write_public_key(path.with_name(f"{path.name}.pub"))
    return path


@cache
def locked_key() -> bytes:
    """A private key with a passphrase, as OpenSSH makes it."""
    return make_key("-t", "ed25519", "-N", "secret")


def make_key(*options: str) -> bytes:
    """A private key made by ssh-keygen(1)."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["ssh-keygen", "-q", *options, "-f", f"{directory}/key"], check=True)
        return Path(f"{directory}/key").read_bytes()


def settings_in(directory: Path) -> Settings:
    """Settings that point into `directory` only."""
    return Settings(
        topology_dir=directory, overlay_dir=directory / "overlays", ssh_key_path=directory / KEY_NAME, ssh_user="root"
    )
