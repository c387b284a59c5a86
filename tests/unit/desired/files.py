"""A directory of the files that topologies under test name."""

import struct
import subprocess
import tempfile
from functools import cache
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
