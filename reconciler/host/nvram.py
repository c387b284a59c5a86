"""The files with UEFI's variables: libvirt makes a node's from the firmware's own, QEMU writes to it.

A machine's RAM has them too, so a snapshot needs a copy for a revert that boots only.
"""

from contextlib import suppress
from pathlib import Path

from reconciler.errors import OperationFailed
from reconciler.host.files import create_file, names_in, replace_file
from reconciler.host.ownership import OwnedKind, OwnerMark
from reconciler.model import names
from reconciler.model.origin import Origin

_MODE = 0o600


def keep_nvram(source: Path, copy: Path, cluster: str, node: str, origin: Origin | None = None) -> None:
    """Copy a node's variables into a snapshot; a node that has never been started has none yet."""
    if (content := _read(source)) is not None:
        replace_file(copy, content, _mark(cluster, node, origin), mode=_MODE)


def put_nvram(copy: Path, target: Path, cluster: str, node: str, origin: Origin | None = None) -> None:
    """Give a node the variables that a snapshot has of it, unless it has its file already."""
    if (content := _read(copy)) is not None:
        with suppress(FileExistsError):
            create_file(target, content, _mark(cluster, node, origin), mode=_MODE)


def delete_nvram(directory: Path, node: str, keeping: Path | None = None) -> None:
    """Delete what a node of that cluster directory has, or has had, but for one file."""
    for name in names_in(directory):
        parsed = names.parse_nvram_name(name)
        if parsed is not None and parsed[0] == node and directory / name != keeping:
            (directory / name).unlink(missing_ok=True)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OperationFailed(f"cannot read {path}: {error.strerror}", hint="run as the user who made it") from error


def _mark(cluster: str, node: str, origin: Origin | None) -> OwnerMark:
    return OwnerMark(cluster=cluster, node=node, kind=OwnedKind.NVRAM, origin=origin)
