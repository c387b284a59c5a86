"""The public half of the SSH key that nodes are made to accept."""

import base64
import binascii
from pathlib import Path

from reconciler.source.reading import SourceUnreadable, read_source_file

_MAX_PRIVATE_KEY_BYTES = 64 * 1024


class PublicKeyUnusable(Exception):
    """There is no usable key; the message says why and what to do."""


def read_public_key(key_path: Path) -> str:
    """The public key of the private key at `key_path`, as one line `TYPE BASE64 [COMMENT]`.

    It is read from the file beside it with `.pub`, or derived where there is none. Raises `PublicKeyUnusable`.
    """
    private = _read(key_path, f"make one: `ssh-keygen -t ed25519 -N '' -f {key_path}`")
    public_path = key_path.with_name(f"{key_path.name}.pub")
    if not public_path.exists():
        return _derived(private, key_path)
    line = _read(public_path, "let this user read it").decode(errors="replace").strip()
    if not _is_public_key(line):
        raise PublicKeyUnusable(
            f"{public_path} is not one public SSH key (write it anew: `ssh-keygen -y -f {key_path} > {public_path}`)"
        )
    return line


def _read(path: Path, remedy: str) -> bytes:
    try:
        content = read_source_file(path)
    except SourceUnreadable as error:
        raise PublicKeyUnusable(f"the SSH key {path} cannot be read: {error} ({remedy})") from error
    if len(content) > _MAX_PRIVATE_KEY_BYTES:
        raise PublicKeyUnusable(f"{path} is too large for an SSH key (correct the path)")
    return content


def _is_public_key(line: str) -> bool:
    """Whether the line is a key of RFC 4253, section 6.6: the base64 part begins with the length and the type."""
    kind, _, rest = line.partition(" ")
    encoded = rest.partition(" ")[0]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    return line.isprintable() and blob.startswith(len(kind).to_bytes(4, "big") + kind.encode()) and bool(kind)


def _derived(private: bytes, path: Path) -> str:
    import asyncssh  # noqa: PLC0415 a third of a second that most topologies do without

    try:
        return asyncssh.import_private_key(private).export_public_key().decode().strip()
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError) as error:
        remedy = f"write {path.name}.pub beside it, or make a key: `ssh-keygen -t ed25519 -N '' -f {path}`"
        raise PublicKeyUnusable(f"{path} is not an SSH private key without a passphrase: {error} ({remedy})") from error
