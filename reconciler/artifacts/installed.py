"""A node's record of what is installed on it; pure."""

import json
import re
from dataclasses import asdict, dataclass

from reconciler.errors import OperationFailed
from reconciler.model.choices import InstallMode

_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class InstalledRecord:
    """Written before an installation starts, and again, as complete, when it is done: half an installation is none."""

    artifact_id: str
    tree: str
    mode: InstallMode
    release: str
    packages: tuple[str, ...]
    complete: bool = True


def render_record(record: InstalledRecord) -> bytes:
    """The id and the path of the tree on separate lines, which need nothing but a shell to read."""
    return f"{record.artifact_id if record.complete else '-'}\n{record.tree}\n{json.dumps(asdict(record))}\n".encode()


def parse_record(text: str, *, node: str) -> InstalledRecord | None:
    """None if nothing is installed. Raises `OperationFailed` if it is not one of our records."""
    if not text:
        return None
    try:
        said = json.loads(text.splitlines()[2])
        packages = tuple(map(str, said["packages"]))
        return InstalledRecord(
            artifact_id=str(said["artifact_id"]),
            tree=str(said["tree"]),
            mode=InstallMode(said["mode"]),
            release=str(said["release"]),
            packages=packages,
            complete=said["complete"] is True,
        )
    except (ValueError, IndexError, KeyError, TypeError, RecursionError) as error:
        raise OperationFailed(
            f"its record of what is installed is damaged: {error}",
            node=node,
            hint="install an artifact again, or uninstall with `forget`",
        ) from error


def parse_installed_id(line: str) -> str | None:
    """The id in the first line of a record."""
    return line if _ID.fullmatch(line) else None
