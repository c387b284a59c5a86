"""One SSH connection to a guest: strict login, with nothing from the user's own SSH set-up."""

import asyncio
import os
import socket

import asyncssh
from asyncssh.kex import get_kex_algs

from reconciler.errors import SshError
from reconciler.files.plain import open_plain
from reconciler.guest.address import GuestAddress
from reconciler.guest.bound_socket import open_bound_socket
from reconciler.guest.guest_answers import PARSE_ERRORS, printable_words
from reconciler.guest.request import Unreachable

# A booting guest does not answer a SYN at all: trying again is faster than waiting for the kernel's slow
# retransmission.
_TCP_CONNECT_S = 1.0
# Under emulation a login takes seconds, and a second one beside it would slow both down.
_HANDSHAKE_S = 20.0

_KEEPALIVE_INTERVAL_S = 10
_KEEPALIVE_COUNT = 3
_KEY_LIMIT_BYTES = 1024 * 1024
_SESSION_LIMIT = 8  # sshd_config(5): MaxSessions is 10; two remain for ending a command and for probing

# A guest is a few microseconds away: cheap key exchange matters, compression does not. An algorithm that the installed
# libraries lack, such as the last one may be, would make every login fail.
_WANTED_KEX = ("curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "mlkem768x25519-sha256")
_KEX = tuple(name for name in _WANTED_KEX if name.encode() in get_kex_algs())
_CIPHERS = ("aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr")


class SshConnection(asyncssh.SSHClient):
    """An SSH connection with the number of commands that run on it.

    `suspect`: it did not answer in time, and is not used unless it answers after all. `readied`: the guest's login
    files were flushed to disk over it; `clock_set`: the guest's clock was set over it.
    """

    transport: asyncssh.SSHClientConnection

    def __init__(self) -> None:
        self.running = 0
        self.session_limit = _SESSION_LIMIT
        self.suspect = False
        self.lost = False
        self.readied = False
        self.clock_set = False

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self.transport = conn

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True

    @property
    def usable(self) -> bool:
        return not (self.lost or self.suspect) and self.running < self.session_limit

    def abort(self) -> None:
        """Close at once, without telling the other side; its commands fail as lost."""
        self.lost = True
        self.transport.abort()


async def dial(address: GuestAddress) -> SshConnection:
    """Log in once. Raises `Unreachable` for what may pass and `SshError` for what waiting does not fix."""
    client_key, host_key = _load_keys(address)
    sock = await _connect_tcp(address)
    try:
        async with asyncio.timeout(_HANDSHAKE_S):
            return await _log_in(address, sock, client_key, host_key)
    except TimeoutError:
        raise Unreachable(f"the SSH login did not finish within {_HANDSHAKE_S:g} s") from None
    except (OSError, asyncssh.Error) as error:
        raise _classified(error, address) from error
    except PARSE_ERRORS as error:  # asyncssh does not expect a malformed answer
        raise Unreachable(
            f"{address}: what its SSH server says cannot be understood: {printable_words(str(error))}"
        ) from error


async def _log_in(
    address: GuestAddress, sock: socket.socket, client_key: asyncssh.SSHKey, host_key: asyncssh.SSHKey
) -> SshConnection:
    connection = SshConnection()
    try:
        await asyncssh.connect(
            address.host,
            address.port,
            sock=sock,
            client_factory=lambda: connection,
            config=None,
            username=address.user,
            client_keys=[client_key],
            known_hosts=([host_key], [], []),
            agent_path=None,
            preferred_auth=["publickey"],
            gss_host=None,
            kex_algs=_KEX,
            encryption_algs=_CIPHERS,
            compression_algs=["none"],
            keepalive_interval=_KEEPALIVE_INTERVAL_S,
            keepalive_count_max=_KEEPALIVE_COUNT,
        )
    except BaseException:
        sock.close()  # asyncssh owns it only from the first byte on
        raise
    return connection


def _load_keys(address: GuestAddress) -> tuple[asyncssh.SSHKey, asyncssh.SSHKey]:
    try:
        with open_plain(address.key_path) as file:
            client_key = asyncssh.import_private_key(file.read(_KEY_LIMIT_BYTES))
    except (OSError, ValueError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise SshError(
            f"the SSH private key {address.key_path} cannot be used: {error}",
            node=address.node,
            hint="`ssh.key_path` of the topology must name a readable OpenSSH key without a passphrase",
        ) from error
    try:
        return client_key, asyncssh.import_public_key(address.host_key)
    except asyncssh.KeyImportError as error:
        raise SshError(f"the recorded host key {address.host_key!r} is not a key", node=address.node) from error


async def _connect_tcp(address: GuestAddress) -> socket.socket:
    try:
        sock = open_bound_socket(address.host, address.source, address.device)
    except OSError as error:
        raise Unreachable(f"{address.host}:{address.port}: {_reason(error)}") from error
    sock.setblocking(False)
    try:
        async with asyncio.timeout(_TCP_CONNECT_S):
            await asyncio.get_running_loop().sock_connect(sock, (address.host, address.port))
    except TimeoutError:
        sock.close()
        raise Unreachable(f"nothing responds at {address.host}:{address.port}") from None
    except OSError as error:
        sock.close()
        raise Unreachable(f"{address.host}:{address.port}: {_reason(error)}") from error
    except BaseException:
        sock.close()
        raise
    return sock


def _classified(error: OSError | asyncssh.Error, address: GuestAddress) -> SshError | Unreachable:
    match error:
        case asyncssh.PermissionDenied():
            return SshError(
                f"{address} refuses the key {address.key_path}",
                node=address.node,
                hint="check `ssh.user` and `ssh.key_path`; the key is installed at first boot, so one made with another"
                " key must be recreated",
            )
        case asyncssh.HostKeyNotVerifiable():
            return SshError(
                f"{address} does not present the node's host key, so it may be another machine",
                node=address.node,
                hint="another machine may use this address, or the node's host keys were changed from inside",
            )
        case asyncssh.KeyExchangeFailed():
            return SshError(
                f"{address} has no SSH algorithm in common with us: {printable_words(error.reason)}", node=address.node
            )
        case asyncssh.Error():
            return Unreachable(f"{address}: {printable_words(error.reason)}")
        case _:
            return Unreachable(f"{address}: {_reason(error)}")


def _reason(error: OSError) -> str:
    """The kernel's error text; asyncio puts its own, which says less, into `strerror`."""
    return os.strerror(error.errno) if error.errno else str(error)
