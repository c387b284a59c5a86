"""How to reach a guest, and how to recognise it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestAddress:
    """Everything needed to log in to one node.

    `host_key` is the node's public key line (`ssh-ed25519 AAAA… comment`). No other key is accepted, and none is
    learned. `connect_timeout_s` limits the login of one command; the command's own time-out includes it. Connections
    come from the address `source` of this host and go through its interface `device`, if they are given: the nodes
    of forks have the same addresses.
    """

    cluster: str
    node: str
    host: str
    port: int = 22
    user: str
    key_path: Path
    host_key: str
    connect_timeout_s: float = 30.0
    source: str | None = None
    device: str | None = None

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"
