"""The options of `vmcluster-mcp`. Light to import: read before anything else."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from reconciler import __version__
from reconciler.model.choices import Confirmation, Toolset

TOKEN_FILE = "mcp-token"  # noqa: S105  a name
"""In `state_dir`: what clients send over HTTP, unless another file is named."""


@dataclass(frozen=True, slots=True)
class HttpPlace:
    """Where the server listens, and how clients reach it: `names` are the host names that they may use."""

    host: str
    port: int
    names: tuple[str, ...] = ()
    token_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @property
    def on_loopback(self) -> bool:
        """Whether only this host reaches it."""
        return self.host == "localhost" or ip_address(self.host).is_loopback


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; None is left to environment and configuration."""

    read_only: bool = False
    toolsets: frozenset[Toolset] | None = None
    confirm: Confirmation | None = None
    http: HttpPlace | None = None


def options_of(arguments: Sequence[str]) -> Options:
    """The options. Ends the process for `--help` and `--version`, and for a wrong option, as `argparse` does."""
    parser = _parser()
    said = parser.parse_args(arguments)
    confirm = None if said.confirm is None else Confirmation(said.confirm)
    return Options(said.read_only, said.toolsets, confirm, _http(said, parser))


def _http(said: argparse.Namespace, parser: argparse.ArgumentParser) -> HttpPlace | None:
    if said.http is None:
        for option in ("token_file", "tls_cert", "tls_key", "http_names"):
            if getattr(said, option) is not None:
                parser.error(f"--{option.replace('_', '-')} needs --http")
        return None
    host, port = said.http
    place = HttpPlace(host, port, said.http_names or (), said.token_file, said.tls_cert, said.tls_key)
    if (place.certificate is None) != (place.key is None):
        parser.error("--tls-cert and --tls-key belong together")
    if not place.on_loopback and place.certificate is None:
        parser.error(f"{host} is not a loopback address: the token would pass in the clear (add --tls-cert, --tls-key)")
    return place


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vmcluster-mcp",
        description="Serve MCP on standard input and output, or over HTTP.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--read-only", action="store_true", help="offer only tools that change nothing")
    parser.add_argument(
        "--toolsets",
        type=_toolsets,
        metavar="NAME,...",
        help=f"offer only the tools of these sets: {', '.join(Toolset)} (default: all)",
    )
    parser.add_argument(
        "--confirm",
        choices=[of.value for of in Confirmation],
        help="ask the user before each call of a destructive tool, and refuse it where the client cannot ask "
        "(default: never)",
    )
    http = parser.add_argument_group("Streamable HTTP, at /mcp")
    http.add_argument(
        "--http",
        type=listening_address,
        metavar="ADDRESS:PORT",
        help="listen there; addresses other than loopback need TLS",
    )
    http.add_argument(
        "--token-file",
        type=_path,
        metavar="FILE",
        help="file with the bearer token that clients send, created if missing (default: mcp-token in state_dir)",
    )
    http.add_argument("--tls-cert", type=_path, metavar="FILE", help="certificate chain (PEM)")
    http.add_argument("--tls-key", type=_path, metavar="FILE", help="its private key (PEM)")
    http.add_argument(
        "--http-names",
        type=lambda text: tuple(name for part in text.split(",") if (name := part.strip().lower())),
        metavar="NAME,...",
        help="host names that clients may use besides the address",
    )
    return parser


def _toolsets(text: str) -> frozenset[Toolset]:
    names = [name for part in text.split(",") if (name := part.strip().lower())]
    unknown = [name for name in names if name not in set(Toolset)]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"{', '.join(map(repr, unknown)) or repr(text)} is no toolset (there are: {', '.join(Toolset)})"
        )
    return frozenset(map(Toolset, names))


def listening_address(text: str) -> tuple[str, int]:
    """An address and a port. Raises `argparse.ArgumentTypeError`."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
        if parts.netloc != text or parts.username is not None or not host or port is None:
            raise ValueError
        if host != "localhost":
            ip_address(host)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not ADDRESS:PORT, such as 127.0.0.1:8765 or [::1]:8765"
        ) from None
    return host, port


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()
