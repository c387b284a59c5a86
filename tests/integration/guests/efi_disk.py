"""The guest image with an EFI system partition after its own: one file on it, the kernel as a UEFI program.

The file is as in systemd-stub(7): the stub with kernel, initrd and command line as sections of it.
"""

import json
import struct
import subprocess
from pathlib import Path

_SECTOR = 512
_ENTRY = struct.Struct("<8s3sB8xHHHHI")  # name, extension, attributes, cluster's upper half, time, date, cluster, size
_DIRECTORY, _ARCHIVE = 0x10, 0x20
_CLUSTER = 4096
_PARTITION_BYTES = 64 * 1024**2
_FAT_SECTORS, _ROOT_SECTORS, _RESERVED = 64, 32, 1
_SECTIONS = {"osrel": 0x20000, "cmdline": 0x30000, "linux": 0x2000000, "initrd": 0x4000000}
"""The address of each section, as in systemd-stub(7)."""


def write_efi_disk(base: Path, stub: Path, target: Path) -> None:
    """Make `target`, a qcow2 image, from the image `base` and the files beside it."""
    cmdline = json.loads(base.with_suffix(".json").read_text())["cmdline"]
    program = _unified(stub, base, cmdline, target.with_suffix(".efi"))
    raw = target.with_suffix(".raw")
    _run("qemu-img", "convert", "-O", "raw", base, raw)
    with raw.open("r+b") as disk:
        first = disk.seek(0, 2) // _SECTOR
        disk.write(render_fat(program.read_bytes()))
        disk.seek(446 + 16)
        beyond = b"\xfe\xff\xff"
        disk.write(struct.pack("<B3sB3sII", 0, beyond, 0xEF, beyond, first, _PARTITION_BYTES // _SECTOR))
    _run("qemu-img", "convert", "-O", "qcow2", raw, target)
    raw.unlink()


def render_fat(program: bytes) -> bytes:
    """A FAT16 file system that holds `/EFI/BOOT/BOOTX64.EFI` and nothing else."""
    clusters = -(-len(program) // _CLUSTER)
    chain = [0xFFF8, 0xFFFF, 0xFFFF, 0xFFFF, *range(5, 4 + clusters), 0xFFFF]  # /EFI, /EFI/BOOT, then the file
    fat = struct.pack(f"<{len(chain)}H", *chain).ljust(_FAT_SECTORS * _SECTOR, b"\0")
    root = _entry("EFI", "", _DIRECTORY, 2).ljust(_ROOT_SECTORS * _SECTOR, b"\0")
    efi = _dots(2, 0) + _entry("BOOT", "", _DIRECTORY, 3)
    boot = _dots(3, 2) + _entry("BOOTX64", "EFI", _ARCHIVE, 4, len(program))
    directories = efi.ljust(_CLUSTER, b"\0") + boot.ljust(_CLUSTER, b"\0")
    return (_boot_record() + 2 * fat + root + directories + program).ljust(_PARTITION_BYTES, b"\0")


def _boot_record() -> bytes:
    record = struct.pack(
        "<3s8sHBHBHHBHHHII",
        b"\xeb\x3c\x90",
        b"vmclustr",
        _SECTOR,
        _CLUSTER // _SECTOR,
        _RESERVED,
        2,
        _ROOT_SECTORS * _SECTOR // _ENTRY.size,
        0,
        0xF8,
        _FAT_SECTORS,
        63,
        255,
        0,
        _PARTITION_BYTES // _SECTOR,
    ) + struct.pack("<BBBI11s8s", 0x80, 0, 0x29, 0x766D636C, b"EFI        ", b"FAT16   ")
    return record.ljust(510, b"\0") + b"\x55\xaa"


def _dots(own: int, parent: int) -> bytes:
    return _entry(".", "", _DIRECTORY, own) + _entry("..", "", _DIRECTORY, parent)


def _entry(name: str, extension: str, attributes: int, cluster: int, size: int = 0) -> bytes:
    return _ENTRY.pack(
        name.encode().ljust(8), extension.encode().ljust(3), attributes, 0, 0, (1 << 5) | 1, cluster, size
    )


def _unified(stub: Path, base: Path, cmdline: str, target: Path) -> Path:
    texts = {"osrel": "ID=vmcluster\n", "cmdline": cmdline}
    files = {"linux": base.with_suffix(".vmlinuz"), "initrd": base.with_suffix(".initrd")}
    for name, text in texts.items():
        files[name] = target.with_suffix(f".{name}")
        files[name].write_text(text)
    options = [
        word
        for name, place in _SECTIONS.items()
        for word in (f"--add-section=.{name}={files[name]}", f"--change-section-vma=.{name}={place:#x}")
    ]
    _run("objcopy", *options, stub, target)
    return target


def _run(*words: str | Path) -> None:
    subprocess.run(words, check=True, capture_output=True)
