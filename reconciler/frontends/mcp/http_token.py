"""The bearer token of the HTTP server: a file that only its owner may read."""

import os
import secrets
import stat
from pathlib import Path

from reconciler.errors import ConfigurationInvalid
from reconciler.files.atomic import create_whole

_BYTES = 32
_LEAST_LENGTH = 16
_MOST_BYTES = 4096


def token_in(path: Path) -> str:
    """The token in a file, which is made with a new one if it is missing.

    Raises `ConfigurationInvalid` for a file that others may read or that holds no token.
    """
    try:
        create_whole(path, f"{secrets.token_urlsafe(_BYTES)}\n".encode())
        content = _read_private(path)
    except OSError as error:
        raise ConfigurationInvalid(f"the token file {path} cannot be used: {error.strerror or error}") from error
    token = content.decode(errors="replace").strip()
    if len(token) < _LEAST_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationInvalid(
            f"the token file {path} holds no token of at least {_LEAST_LENGTH} characters",
            hint="remove it, and a new one is made",
        )
    return token


def _read_private(path: Path) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077 or found.st_uid not in {0, os.geteuid()}:
            raise ConfigurationInvalid(
                f"the token file {path} can be read by others, or is not your own file", hint=f"chmod 600 {path}"
            )
        return file.read(_MOST_BYTES)
