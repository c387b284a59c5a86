"""What was found on the host of what a topology names."""

from dataclasses import dataclass, field
from pathlib import Path

from reconciler.model.record import ImageFile
from reconciler.source.problems import Finding


@dataclass(slots=True)
class Survey:
    """What was found, by path, with the identities of kernels and initrds; the public key; and what is wrong."""

    images: dict[Path, ImageFile] = field(default_factory=dict)
    disks: dict[Path, ImageFile] = field(default_factory=dict)
    boot_files: dict[Path, str] = field(default_factory=dict)
    public_key: str | None = None
    findings: list[Finding] = field(default_factory=list)
