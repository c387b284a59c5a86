"""A directory of the files that topologies under test name."""

import struct
from pathlib import Path

import asyncssh

from reconciler.settings import Settings

GIB = 1024**3
KEY_NAME = "id_ed25519"


def qcow2_header(size_bytes: int, backing: bytes = b"") -> bytes:
    """The header of an empty qcow2 image of version 2; see QEMU's docs/interop/qcow2.txt."""
    offset = 72 if backing else 0
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, offset, len(backing), 16, size_bytes, 0, 0, 0, 0, 0, 0, 0)
    return (head + backing).ljust(65536, b"\0")


def write_host_files(directory: Path) -> None:
    """What `specs/invalid/` expects beside the topology: images, a kernel, and an SSH key pair."""
    (directory / "base.qcow2").write_bytes(qcow2_header(2 * GIB))
    (directory / "foreign.qcow2").write_bytes(qcow2_header(3 * GIB))
    (directory / "stacked.qcow2").write_bytes(qcow2_header(GIB, b"base.qcow2"))
    (directory / "image.vmdk").write_bytes(b"KDMV".ljust(512, b"\0"))
    (directory / "raw.img").write_bytes(bytes(GIB // 1024))
    (directory / "base.vmlinuz").write_bytes(b"kernel")
    (directory / "base.initrd").write_bytes(b"initrd")
    key = asyncssh.generate_private_key("ssh-ed25519", comment="test")
    key.write_private_key(directory / KEY_NAME)
    key.write_public_key(directory / f"{KEY_NAME}.pub")


def settings_in(directory: Path) -> Settings:
    """Settings that point into `directory` only."""
    return Settings(
        topology_dir=directory, overlay_dir=directory / "overlays", ssh_key_path=directory / KEY_NAME, ssh_user="root"
    )
