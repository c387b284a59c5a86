"""What the host has of the things that a topology names."""

from dataclasses import dataclass, field
from pathlib import Path

from reconciler.model.record import ImageFile
from reconciler.source.problems import Finding


@dataclass(slots=True)
class FoundFiles:
    """Facts about files by path, the identities of kernels and initrds, the public key, and every problem found."""

    images: dict[Path, ImageFile] = field(default_factory=dict)
    disks: dict[Path, ImageFile] = field(default_factory=dict)
    boot_files: dict[Path, str] = field(default_factory=dict)
    public_key: str | None = None
    findings: list[Finding] = field(default_factory=list)
