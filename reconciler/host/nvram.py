"""The files with UEFI's variables: libvirt creates a node's file from the firmware's template, QEMU writes to it.

A machine's RAM has them too, so only a revert that boots needs the copy in the snapshot.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from reconciler.errors import OperationFailed
from reconciler.files.marked_files import create_file, directory_names, replace_file
from reconciler.files.ownership import OwnedKind, OwnerMark, read_mark
from reconciler.host.file_ends import NoFile, open_file
from reconciler.model import names
from reconciler.model.origin import Origin

_MODE = 0o600
_MAX_BYTES = 64 << 20  # those of OVMF have 540,672 at most
_DIGEST = "sha256"


def keep_nvram(source: Path, copy: Path, cluster: str, node: str, origin: Origin | None = None) -> None:
    """Copy a node's variables into a snapshot; a node that was never started has none yet."""
    if (content := _read(source)) is not None:
        replace_file(copy, content, _mark(cluster, node, origin, {_DIGEST: _digest(content)}), mode=_MODE)


def put_nvram(copy: Path, target: Path, cluster: str, node: str, origin: Origin | None = None) -> None:
    """Restore a node's variables from a snapshot, unless the node already has its file.

    Raises `OperationFailed` if they are not those that were kept.
    """
    if problem := nvram_problem(copy, cluster, node):
        raise OperationFailed(problem, node=node, hint="revert to another snapshot")
    if (content := _read(copy)) is not None:
        with suppress(FileExistsError):
            create_file(target, content, _mark(cluster, node, origin), mode=_MODE)


def nvram_problem(copy: Path, cluster: str, node: str) -> str:
    """What is wrong with a node's variables in a snapshot; empty if nothing is, or the snapshot has none."""
    try:
        mark, content = read_mark(copy), _read(copy)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OperationFailed as error:
        return str(error)
    except OSError as error:
        return f"the UEFI variables {copy} cannot be read: {error.strerror}"
    if mark is None or (mark.cluster, mark.node, mark.kind) != (cluster, node, OwnedKind.NVRAM):
        return f"the UEFI variables {copy} are not those saved from node {node}"
    whole = content is None or mark.facts.get(_DIGEST, _digest(content)) == _digest(content)
    return "" if whole else f"the UEFI variables {copy} are damaged: they differ from what was saved"


def delete_nvram(directory: Path, node: str, keeping: Path | None = None) -> None:
    """Delete the variables that a node of that cluster directory has or had, except for the file `keeping`."""
    for name in directory_names(directory):
        parsed = names.parse_nvram_name(name)
        if parsed is not None and parsed[0] == node and directory / name != keeping:
            (directory / name).unlink(missing_ok=True)


def _read(path: Path) -> bytes | None:
    """The content; QEMU's user can write to the file, so it is trusted no more than a guest's."""
    try:
        with open_file(path, follow=False) as file:
            if os.fstat(file).st_size > _MAX_BYTES:
                raise OperationFailed(f"{path} is larger than any file of UEFI variables", hint="move it away")
            return os.pread(file, _MAX_BYTES, 0)
    except FileNotFoundError:
        return None
    except NoFile as error:
        raise OperationFailed(f"{path} is {error}, not a file with UEFI variables", hint="move it away") from error
    except OSError as error:
        raise OperationFailed(f"cannot read {path}: {error.strerror}", hint="run as the user who created it") from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _mark(cluster: str, node: str, origin: Origin | None, facts: dict[str, str] | None = None) -> OwnerMark:
    return OwnerMark(cluster=cluster, node=node, kind=OwnedKind.NVRAM, facts=facts or {}, origin=origin)
