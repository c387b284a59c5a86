"""Kernels and initrds named by `boot`: whether QEMU can load them, and which files a booting machine gets."""

from collections.abc import Collection, Mapping
from pathlib import Path

from reconciler.host.disks.image_file import GONE, image_identity
from reconciler.host.file_ends import Ends, NoFile, read_ends
from reconciler.host.initrd_formats import PADDING_BYTES, is_modern_lz4, may_be_initrd
from reconciler.host.magic import (
    ARCHIVES,
    BZIMAGE,
    DISK_FORMATS,
    ELF,
    ENOUGH_BYTES,
    ISO,
    NO_DISKS,
    RAW,
    UNPACKERS,
    bzimage_bytes,
    what_it_is,
)
from reconciler.model.record import BootSpec, ClusterRecord, NodeSpec

_INITRDS = frozenset({*UNPACKERS, "cpio"})
_NO_INITRDS = DISK_FORMATS | NO_DISKS | ARCHIVES | {"tar", "old cpio", "compress", "lzip"}
"""Formats that are not an initrd, whatever a kernel could read into their first bytes."""

_WORDS = {RAW: "an unknown format", ELF: "an ELF file", ISO: "an ISO 9660 image"}


def with_files_as_booted(record: ClusterRecord, nodes: Collection[str]) -> ClusterRecord:
    """The record updated so that nodes that boot now get the files that their boot names stand for now.

    Returns the same record if nothing changes. Blocking. Files that are missing or unreadable are left to the start,
    which reports them; a record from before files had an identity is not updated.
    """
    known = {name: record.spec.nodes[name] for name in nodes}
    boots = {name: node.boot for name, node in known.items() if node.boot is not None and node.boot.identity}
    now = {name: boot.model_copy(update={"identity": _identity(boot)}) for name, boot in boots.items()}
    changed = {name: known[name].model_copy(update={"boot": boot}) for name, boot in now.items() if boot != boots[name]}
    if not changed:
        return record
    return _with_nodes(record, changed)


def with_files_that_are_there(record: ClusterRecord, before: ClusterRecord | None) -> ClusterRecord:
    """An earlier record whose boot names stand for today's files, since the files of that time are gone.

    A node that boots by the same names in `before` keeps the files of `before`, and needs no restart. Blocking.
    """
    spec = before.spec.nodes if before else {}
    kept = {
        name: node.model_copy(update={"boot": node.boot.model_copy(update={"identity": there.boot.identity})})
        for name, node in record.spec.nodes.items()
        if (there := spec.get(name)) and node.boot and there.boot and node.boot.files == there.boot.files
    }
    return with_files_as_booted(_with_nodes(record, kept), record.spec.nodes.keys() - kept.keys())


def _with_nodes(record: ClusterRecord, nodes: Mapping[str, NodeSpec]) -> ClusterRecord:
    spec = record.spec.model_copy(update={"nodes": {**record.spec.nodes, **nodes}})
    return record.model_copy(update={"spec": spec})


def _identity(boot: BootSpec) -> str:
    try:
        identities = [image_identity(path) for path in boot.files]
    except OSError:
        return boot.identity
    return boot.identity if GONE in identities else " ".join(identities)


def why_not_booted(path: Path, *, is_kernel: bool) -> str | None:
    """What is wrong with a kernel, or else an initrd, and what helps; None if it is good. Blocking."""
    try:
        ends = read_ends(path, _wanted_bytes)
    except OSError as error:
        return f"cannot be read: {error.strerror} (correct the path)"
    except NoFile as error:
        return f"is {error}, not a file (correct the path)"
    if ends.size_bytes == 0:
        return "is empty (correct the path)"
    return _why_no_kernel(ends) if is_kernel else _why_no_initrd(ends)


def _wanted_bytes(head: bytes) -> int:
    """How much of a file tells what it is: more where it begins with padding."""
    return max(len(head), ENOUGH_BYTES if head.strip(b"\0") else PADDING_BYTES)


def _why_no_kernel(ends: Ends) -> str | None:
    found = what_it_is(ends.head, ends.ending)
    if found == BZIMAGE:
        whole = bzimage_bytes(ends.head)
        return f"is truncated: {ends.size_bytes} bytes of {whole} (copy it again)" if ends.size_bytes < whole else None
    if found == ELF:
        return "is an ELF file, as vmlinux is, not a bzImage (use arch/x86/boot/bzImage of the build tree)"
    if found in _INITRDS:
        return f"is {found}, as an initrd is, not a bzImage (use the kernel; are kernel and initrd swapped?)"
    return f"is {_WORDS.get(found, found)}, not a bzImage (use a kernel, such as arch/x86/boot/bzImage)"


def _why_no_initrd(ends: Ends) -> str | None:
    found = what_it_is(ends.head, ends.ending)
    if found == BZIMAGE:
        return "is a bzImage, not an initrd (use the initrd; are kernel and initrd swapped?)"
    if is_modern_lz4(ends.head):
        return "is lz4 in a frame that kernels do not unpack (compress the cpio archive with lz4 -l)"
    if found in _NO_INITRDS or not may_be_initrd(ends.head):
        return f"is {_WORDS.get(found, found)}, not an initrd (use a cpio archive, compressed or not)"
    return None
