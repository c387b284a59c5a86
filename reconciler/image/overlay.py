"""What our image changes in a plain Debian: the files below `root`, which `root/README.md` explains."""

from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

ROOT = files("reconciler.image") / "root"
GRUB_CONFIG_PATH = "boot/grub/grub.cfg"
LATER_STAGES_PATH = "usr/lib/cloud-init/later-stages-needed"

_ENABLED = {
    "etc/systemd/system/default.target": "/lib/systemd/system/multi-user.target",
    "etc/systemd/system/multi-user.target.wants/cloud-init.target": "/lib/systemd/system/cloud-init.target",
}


@dataclass(frozen=True, slots=True)
class OverlayFile:
    """A file of the overlay; `link_to` makes it a symbolic link without content."""

    path: str
    content: bytes = b""
    mode: int = 0o644
    link_to: str | None = None


def overlay_files() -> list[OverlayFile]:
    """Every file that is put over those of the packages, sorted by path."""
    masked = (line for line in (ROOT / "masked").read_text().splitlines() if line and not line.startswith("#"))
    found = [
        *_files_below(ROOT / "files", 0o644),
        *_files_below(ROOT / "programs", 0o755),
        *(OverlayFile(f"etc/{path}", link_to="/dev/null") for path in masked),
        *(OverlayFile(path, link_to=target) for path, target in _ENABLED.items()),
    ]
    return sorted(found, key=lambda file: file.path)


def kernel_command_line() -> str:
    """The command line that the image's boot loader gives the kernel; also right for direct kernel boot."""
    lines = (ROOT / "files" / GRUB_CONFIG_PATH).read_text().splitlines()
    return next(line for line in lines if line.startswith("linux16 ")).split(maxsplit=2)[2]


def _files_below(folder: Traversable, mode: int, path: str = "") -> list[OverlayFile]:
    return [
        found
        for entry in folder.iterdir()
        if entry.name != "__pycache__"  # compiled where the package was installed
        for found in (
            _files_below(entry, mode, f"{path}{entry.name}/")
            if entry.is_dir()
            else [OverlayFile(f"{path}{entry.name}", entry.read_bytes(), mode)]
        )
    ]
