"""How a file on the host is used: as a machine's disk, or below one."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileUse:
    """One use of a file, found in a record, on disk or in a libvirt definition, of any owner.

    `target` names the disk, and `cluster` is None for what is not ours. A file that is not `written` stands below other
    disks and is only read; `is_up` says that a machine has it open now. `format` is how the machine reads it.
    """

    path: Path
    whose: str
    cluster: str | None
    target: str
    written: bool
    format: str | None = None
    is_up: bool = False
    shared: bool = False
