"""Where an etcd is, and the credentials for it. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Self

SCHEME = "etcd://"
DEFAULT_PORT = 2379

_MEMBER = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(?::(?P<port>[0-9]{1,5}))?")
_USER = re.compile(r"[A-Za-z0-9._-]{1,64}")
_EXAMPLE = "write etcd://HOST:2379,HOST:2379,HOST:2379, with USER@ before the first where etcd asks for users"


@dataclass(frozen=True, slots=True)
class EtcdMember:
    """One member of an etcd cluster, as a client reaches it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class EtcdCredentials:
    """Files that say who the client is and whom it believes; each may be left out."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    password_file: Path | None = None

    @property
    def has_tls(self) -> bool:
        return self.ca_file is not None or self.cert_file is not None


@dataclass(frozen=True, slots=True)
class EtcdAddress:
    """The members of one etcd cluster, and the user to log in as."""

    members: tuple[EtcdMember, ...]
    user: str | None = None

    @classmethod
    def parse(cls, url: str) -> Self:
        """From `etcd://[USER@]HOST[:PORT][,HOST[:PORT]]...`. Raises `ValueError` with what is wrong and the remedy.

        What stands before an `@` may be a password, and is not repeated.
        """
        if not url.startswith(SCHEME):
            raise ValueError(f"{url.rpartition('@')[2]!r} is not the address of an etcd ({_EXAMPLE})")
        user, at, members = url.removeprefix(SCHEME).removesuffix("/").rpartition("@")
        if at and not _USER.fullmatch(user):
            raise ValueError(f"what is before '@{members}' is not a user name (a password belongs in its own file)")
        return cls(tuple(_members(members)), user or None)

    def __str__(self) -> str:
        return SCHEME + ",".join(map(str, self.members))

    def problem(self, credentials: EtcdCredentials) -> str | None:
        """What stands against using this address with these credentials, and the remedy; None where nothing does."""
        outside = [str(member) for member in self.members if not member.is_loopback]
        if outside and not credentials.has_tls:
            return f"{', '.join(outside)}: an etcd on another host is reached with TLS only (set `store_ca_file`)"
        if (credentials.cert_file is None) != (credentials.key_file is None):
            return "`store_cert_file` and `store_key_file` belong together (set both or neither)"
        if (self.user is None) != (credentials.password_file is None):
            return "a user in `store` and `store_password_file` belong together (set both or neither)"
        return None


def _members(text: str) -> Iterator[EtcdMember]:
    for part in text.split(","):
        found = _MEMBER.fullmatch(part)
        if found is None:
            raise ValueError(f"{part!r} is not a host with a port ({_EXAMPLE})")
        port = int(found["port"] or DEFAULT_PORT)
        if not 0 < port < 2**16:
            raise ValueError(f"{part!r} has no port between 1 and 65535")
        yield EtcdMember(found["host"].strip("[]"), port)
