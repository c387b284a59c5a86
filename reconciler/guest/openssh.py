"""Runs the system's `ssh` for a person at a terminal: its command line, and the known_hosts file it verifies with."""

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from reconciler.files.atomic import reporting_os_errors, write_whole
from reconciler.guest import bound_socket
from reconciler.guest.address import GuestAddress

_DEFAULT_PORT = 22


def render_ssh_command(address: GuestAddress, known_hosts_path: Path, extra_args: Sequence[str] = ()) -> list[str]:
    """The argument vector of an interactive login; `extra_args` follow the host: a remote command, word by word.

    Nothing of the user's own SSH set-up is used: no configuration file, agent, other key or known host.
    """
    return [*render_ssh_transport(address, known_hosts_path), "--", address.host, *extra_args]


def render_ssh_transport(
    address: GuestAddress, known_hosts_path: Path, more_options: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """The same without the host, for programs that add it and their own command; options are in ssh_config(5)."""
    options = {**login_options(address, known_hosts_path), **more_options}
    rendered = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    login = ["-p", str(address.port), "-l", address.user]
    return ["ssh", "-F", "none", *rendered, *login]


def login_options(address: GuestAddress, known_hosts_path: Path) -> dict[str, str]:
    """Which key to log in with and which host key to accept, as options of ssh_config(5)."""
    return {
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "PreferredAuthentications": "publickey",
        "StrictHostKeyChecking": "yes",
        "IdentityFile": _as_value(address.key_path),  # `-i` looks for the file before tokens are replaced
        "UserKnownHostsFile": _as_value(known_hosts_path),
        "GlobalKnownHostsFile": "none",
        "UpdateHostKeys": "no",
        "ConnectTimeout": _connect_timeout(address),
        **({} if address.source is None else {"BindAddress": address.source}),
        **_binding(address),
    }


def _binding(address: GuestAddress) -> dict[str, str]:
    """What has ssh connect through an interface: the route that goes with an address may be lost."""
    if address.source is None or address.device is None:
        return {}
    program = [sys.executable, "-I", "-S", bound_socket.__file__, address.device, address.source]
    words = [word.replace("%", "%%") for word in (*program, _connect_timeout(address))]
    return {"ProxyCommand": f"{shlex.join(words)} %h %p", "ProxyUseFdpass": "yes"}


def _connect_timeout(address: GuestAddress) -> str:
    return str(max(1, round(address.connect_timeout_s)))


def render_host_block(aliases: Sequence[str], address: GuestAddress, known_hosts_path: Path) -> str:
    """A block of ssh_config(5): under any of these names, ssh logs in to the node."""
    login = {"HostName": address.host, "Port": str(address.port), "User": address.user}
    options = {**login, **login_options(address, known_hosts_path)}
    return "".join([f"Host {' '.join(aliases)}\n", *(f"  {name} {value}\n" for name, value in options.items())])


def render_known_hosts(addresses: Iterable[GuestAddress]) -> str:
    """A known_hosts file with one line per node."""
    return "".join(f"{_host_pattern(address)} {_key_of(address)}\n" for address in addresses)


def write_known_hosts(path: Path, addresses: Iterable[GuestAddress]) -> None:
    """Write the known_hosts file for these nodes, whole or not at all, unless it is there already."""
    rendered = render_known_hosts(addresses).encode()
    with reporting_os_errors(path):
        is_current = path.is_file() and path.read_bytes() == rendered
    if not is_current:
        write_whole(path, rendered)


def _as_value(path: Path) -> str:
    """A path quoted for ssh_config(5): quotes keep spaces, and `%` begins a token."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _host_pattern(address: GuestAddress) -> str:
    return address.host if address.port == _DEFAULT_PORT else f"[{address.host}]:{address.port}"


def _key_of(address: GuestAddress) -> str:
    return " ".join(address.host_key.split()[:2])
