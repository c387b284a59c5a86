"""Makes SSH keys on the host: guests need not make them slowly, and clients can verify them from the first login."""

import os
import tempfile
from pathlib import Path

import asyncssh

from reconciler.errors import Conflict
from reconciler.files.exposure import make_unexposed

_ALGORITHM = "ssh-ed25519"


def generate_host_key(comment: str = "vmcluster") -> tuple[str, str]:
    """Return a new ed25519 host key: the private half in OpenSSH form, and the public line without a line end."""
    key = asyncssh.generate_private_key(_ALGORITHM, comment=comment)
    return key.export_private_key().decode(), key.export_public_key().decode().strip()


def generate_client_key(path: Path, comment: str = "vmcluster") -> str:
    """Make a client key at `path` (0600) with `.pub` beside it, and return the public line.

    An existing private key is never overwritten: it is kept and its public half is returned, even if another process
    makes it at the same time. Raises `Conflict` if the existing file is not a private key.
    """
    if not path.parent.is_dir():
        make_unexposed(path.parent, mode=0o755)
    if not path.exists():
        private, _ = generate_host_key(comment)
        _create(path, private.encode(), mode=0o600)
    public = _public_line(path)
    _create(path.with_name(path.name + ".pub"), f"{public}\n".encode(), mode=0o644)
    return public


def _public_line(path: Path) -> str:
    try:
        return asyncssh.read_private_key(path).export_public_key().decode().strip()
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise Conflict(
            f"{path} is not an SSH private key without a passphrase: {error}",
            hint="move that file away, or set `ssh_key_path` to another one",
        ) from error


def _create(path: Path, content: bytes, *, mode: int) -> None:
    """Write a whole file or none; an existing file stays (`link` fails where `rename` would replace it)."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass  # another process has made it in the meantime: use theirs
    finally:
        Path(temporary).unlink()
