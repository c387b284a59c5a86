"""Who a host is to the others of its store: a name, and what tells it from another machine of that name."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from reconciler.files.plain import read_plain_file
from reconciler.store.state_dir import directory_unusable, ensure_state_dir

FILE_NAME = "host-id"
_MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """The name of a host, and its state directory: the lock in there keeps its processes from working at once."""

    name: str
    state_dir: Path

    def machine(self) -> str:
        """The machine and the directory in one word; a copy of the directory on another machine has another one.

        Makes the directory if needed. Raises `StoreUnavailable`.
        """
        ensure_state_dir(self.state_dir)
        try:
            return f"{_machine_id()}-{_kept_token(self.state_dir / FILE_NAME)}"
        except OSError as error:
            raise directory_unusable(self.state_dir, error) from error


def _machine_id() -> str:
    """The start of machine-id(5); a system without one has only the token."""
    try:
        return _MACHINE_ID.read_text(encoding="ascii").strip()[:12]
    except OSError:
        return "no-machine-id"


def _kept_token(file: Path) -> str:
    """The content of the file, made by the first process that asks."""
    if not file.exists():
        mine = file.with_name(f".{FILE_NAME}.{secrets.token_hex(4)}")
        mine.write_text(secrets.token_hex(8), encoding="ascii")
        try:
            file.hardlink_to(mine)  # whole or not at all, and never twice
        except FileExistsError:
            pass
        finally:
            mine.unlink()
    return read_plain_file(file).decode("ascii").strip()
