"""The public half of the SSH key that nodes accept."""

import base64
import binascii
import os
import re
import stat
from pathlib import Path

from reconciler.source.reading import SourceUnreadable, read_source_file

_MAX_PRIVATE_KEY_BYTES = 64 * 1024
_BEGIN, _END = b"-----BEGIN OPENSSH PRIVATE KEY-----", b"-----END OPENSSH PRIVATE KEY-----"
_OPENSSH = re.compile(_BEGIN + rb"\n([A-Za-z0-9+/=\n]+)" + _END + rb"\n\s*")
_MAGIC = b"openssh-key-v1\0"
_ENCRYPTED = (b"Proc-Type: 4,ENCRYPTED", b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
_ED25519 = "ssh-ed25519"
_TAKEN = frozenset({_ED25519, "ssh-rsa", *(f"ecdsa-sha2-nistp{bits}" for bits in (256, 384, 521))})
"""Types that every OpenSSH of the last ten years can log in with; `ssh-dss` has been off since 7.0."""
_REFUSED = frozenset({"ssh-dss", "ssh-ed448"})
_TOUCHED = "sk-"
_LEAST_RSA_BITS = 1024
"""`RequiredRSASize` of sshd_config(5) by default; some distributions ask for more."""
_PUTTY = b"PuTTY-User-Key-File-"
_CORRECT = "correct the path, or let this user read it"
_OTHERS = 0o077


class PublicKeyUnusable(Exception):
    """There is no usable key; the message says why and what to do."""


def read_public_key(key_path: Path) -> str:
    """The public key of the private key at `key_path`, as one line `TYPE BASE64 [COMMENT]`.

    The file beside it with `.pub` provides the comment, and must match the key. Raises `PublicKeyUnusable` for a key
    that cannot log in unattended, by this program or by the ssh that it starts.
    """
    private = _read(key_path, _CORRECT if os.access(key_path, os.F_OK) else _make_one(key_path))
    public = _public_half(private, key_path)
    _require_private(key_path)
    if public.startswith(_TOUCHED):
        raise PublicKeyUnusable(f"{key_path} needs a hardware token at each login ({_make_another(key_path)})")
    if (kind := public.split()[0]) not in _TAKEN:
        known = f"of type {kind}" if kind in _REFUSED else "of an unknown type"
        raise PublicKeyUnusable(f"{key_path} is {known}, which SSH servers refuse ({_make_another(key_path)})")
    if (bits := _rsa_bits(public)) is not None and bits < _LEAST_RSA_BITS:
        raise PublicKeyUnusable(f"{key_path} has {bits} bits, too few for SSH servers ({_make_another(key_path)})")
    public_path = key_path.with_name(f"{key_path.name}.pub")
    if not public_path.exists():
        return public
    line = _read(public_path, "let this user read it").decode(errors="replace").strip()
    if not _is_public_key(line):
        raise PublicKeyUnusable(f"{public_path} is not one public SSH key ({_write_again(key_path)})")
    if line.split()[:2] != public.split()[:2]:
        raise PublicKeyUnusable(f"{public_path} does not match the key {key_path} ({_write_again(key_path)})")
    return line


def _require_private(path: Path) -> None:
    """Ssh refuses a user's key that others may read (`sshkey_perm_ok` of OpenSSH), and expands `${...}` in paths."""
    status = path.stat()
    if status.st_uid == os.getuid() and status.st_mode & _OTHERS:
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        raise PublicKeyUnusable(f"{path} is readable by others (mode {mode}), so ssh refuses it (`chmod 600 {path}`)")
    if "${" in str(path):
        raise PublicKeyUnusable(f"{path} contains `${{`, which ssh reads as a variable (move the key to another path)")


def _read(path: Path, remedy: str) -> bytes:
    try:
        content = read_source_file(path)
    except SourceUnreadable as error:
        raise PublicKeyUnusable(f"the SSH key {path} cannot be read: {error} ({remedy})") from error
    if len(content) > _MAX_PRIVATE_KEY_BYTES:
        raise PublicKeyUnusable(f"{path} is too large for an SSH key (correct the path)")
    return content


def _is_public_key(line: str) -> bool:
    """Whether the line is a key of RFC 4253, section 6.6: the base64 part starts with the length and the type."""
    kind, _, rest = line.partition(" ")
    encoded = rest.partition(" ")[0]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    return line.isprintable() and blob.startswith(len(kind).to_bytes(4, "big") + kind.encode()) and bool(kind)


def _public_half(private: bytes, path: Path) -> str:
    if private.startswith(_PUTTY):
        convert = f"convert it: `puttygen {path} -O private-openssh -o {path.with_suffix('')}.openssh`"
        raise PublicKeyUnusable(f"{path} is a key of PuTTY's, which ssh does not read ({convert})")
    if any(mark in private for mark in _ENCRYPTED):
        raise _has_passphrase(path)
    if _is_public_key(private.decode(errors="replace").strip()):
        name = path.with_suffix("") if path.suffix == ".pub" else "the private one"
        raise PublicKeyUnusable(f"{path} is a public key (use {name}; its public half is found beside it)")
    if match := _OPENSSH.fullmatch(private):
        return _openssh_public_half(match[1], path)
    if _BEGIN in private and _END in private and (trouble := _why_ssh_cannot_read(private, path)):
        raise PublicKeyUnusable(trouble)
    derived = _derived(private, path)
    if _BEGIN not in private and derived.startswith(_ED25519):
        raise _not_a_key(path, "OpenSSH before 9.6 does not read Ed25519 keys of this form")
    return derived


def _why_ssh_cannot_read(private: bytes, path: Path) -> str | None:
    """What `sshkey_parse_private2` of OpenSSH requires and other readers do not: the first and the last line."""
    if b"\r" in private:
        return f"{path} has DOS line endings, which ssh does not read (`sed -i 's/\\r$//' {path}`)"
    if not private.startswith(_BEGIN + b"\n"):
        return f"{path} does not start with the line {_BEGIN.decode()!r}, which ssh requires (remove what precedes it)"
    if _END + b"\n" not in private:
        return f"{path} ends without a newline, which ssh does not read (`echo >> {path}`)"
    return None


def _openssh_public_half(armored: bytes, path: Path) -> str:
    """Parse OpenSSH's PROTOCOL.key: a cipher, its key derivation, and the public key in clear."""
    try:
        content = base64.b64decode(b"".join(armored.split()), validate=True).removeprefix(_MAGIC)
        cipher, rest = _field(content)
        for _ in ("derivation", "its options"):
            _, rest = _field(rest)
        public, _ = _field(rest[4:])  # after the number of keys, which is one
        kind, _ = _field(public)
    except (binascii.Error, ValueError) as error:
        raise _not_a_key(path, "it is damaged") from error
    if cipher != b"none":
        raise _has_passphrase(path)
    return f"{kind.decode(errors='replace')} {base64.b64encode(public).decode()}"


def _field(content: bytes) -> tuple[bytes, bytes]:
    """A string of RFC 4251, section 5, and the bytes after it."""
    end = 4 + int.from_bytes(content[:4], "big")
    if len(content) < max(4, end):
        raise ValueError("truncated")
    return content[4:end], content[end:]


def _rsa_bits(public: str) -> int | None:
    """The size of an RSA key's modulus, which follows the type and the exponent; None for other keys."""
    kind, blob = public.split()[:2]
    if kind != "ssh-rsa":
        return None
    rest = base64.b64decode(blob)
    for _ in ("type", "exponent"):
        _, rest = _field(rest)
    return int.from_bytes(_field(rest)[0], "big").bit_length()


def _derived(private: bytes, path: Path) -> str:
    import asyncssh  # noqa: PLC0415 a third of a second that most topologies do without

    try:
        # the library's error may quote the file, and a client may have named any file
        return asyncssh.import_private_key(private).export_public_key().decode().strip()
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError) as error:
        raise _not_a_key(path, "it is damaged, or in no format that ssh reads") from error


def _has_passphrase(path: Path) -> PublicKeyUnusable:
    remedy = f"remove it: `ssh-keygen -p -N '' -f {path}`, or use another key"
    return PublicKeyUnusable(f"{path} has a passphrase, which cannot be entered here ({remedy})")


def _not_a_key(path: Path, why: str) -> PublicKeyUnusable:
    return PublicKeyUnusable(f"{path} is not an SSH private key: {why} ({_make_another(path)})")


def _make_one(path: Path) -> str:
    return f"create one: `ssh-keygen -t ed25519 -N '' -f {path}`"


def _make_another(path: Path) -> str:
    return f"use another key, or create one: `ssh-keygen -t ed25519 -N '' -f {path.with_name('id_vmcluster')}`"


def _write_again(path: Path) -> str:
    return f"write it again: `ssh-keygen -y -f {path} > {path}.pub`"
