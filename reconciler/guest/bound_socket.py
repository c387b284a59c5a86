"""Connects through one interface of this host, whatever the routes say.

Also runs by itself, as the `ProxyCommand` of ssh_config(5) with `ProxyUseFdpass`: ssh can choose the address that it
connects from (its `BindInterface` is no more than that), but not the interface. It hands the connection to ssh and
ends. Imports nothing of this program, so that it starts at once.

Facts: socket(7), SO_BINDTODEVICE; since Linux 5.7 it needs no privilege.
"""

import socket
import sys


def open_bound_socket(host: str, source: "str | None", device: "str | None") -> socket.socket:
    """A socket for TCP to `host`, from this address and through this interface of the host, if they are given.

    Raises `OSError` if the host has no such address or interface.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if device is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        if source is not None:
            sock.bind((source, 0))
    except BaseException:
        sock.close()
        raise
    return sock


def main(device: str, source: str, timeout_s: str, host: str, port: str) -> "str | None":
    """Connect, and pass the connection on over standard output, which is a socket; answer what failed."""
    try:
        with open_bound_socket(host, source, device) as sock:
            sock.settimeout(float(timeout_s))
            sock.connect((host, int(port)))
            sock.setblocking(True)
            with socket.socket(fileno=1) as output:
                socket.send_fds(output, [b"\0"], [sock.fileno()])
    except OSError as error:
        return f"connect to {host} port {port} through {device}: {error.strerror or error}"
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
