"""Which addresses on the web images may be fetched from. Pure."""

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit, urlunsplit

from reconciler.errors import InvalidArgument

_LOCALHOST = "localhost"


def is_address(text: str) -> bool:
    """Whether a text is meant as an address, rather than as a name or a path."""
    return "://" in text


def require_safe(url: str, came_from: str | None = None) -> None:
    """Raise `InvalidArgument` unless an address is encrypted, or on this host.

    No other host may redirect to this one: what listens here may trust whom it hears.
    """
    parts = _split(url)
    on_this_host = _is_this_host(parts)
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and on_this_host)):
        why = f", to which {shown_address(came_from)} redirects," if came_from else ""
        raise InvalidArgument(
            f"{shown_address(url)}{why} is not an https address", hint="give the https address of the image"
        )
    if parts.username is not None or parts.password is not None:
        raise InvalidArgument(
            f"{shown_address(url)} contains a user's name or password", hint="give the address without them"
        )
    if came_from and on_this_host and not _is_this_host(_split(came_from)):
        raise InvalidArgument(f"{shown_address(came_from)} redirects to this host itself: {shown_address(url)}")


def shown_address(url: str) -> str:
    """An address as people may see it, and files keep it: without a user's name, and without what may be a token."""
    try:
        parts = _split(url)
        port = f":{parts.port}" if parts.port else ""
    except (InvalidArgument, ValueError):
        return url.partition("?")[0][:200]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return urlunsplit((parts.scheme, host + port, parts.path, "", ""))


def file_name(url: str) -> str:
    """The last part of an address: what publishers call the file in their checksums."""
    return _split(url).path.rpartition("/")[2]


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise InvalidArgument(f"{url[:200]!r} is not an address: {error}") from error


def _is_this_host(parts: SplitResult) -> bool:
    try:
        return parts.hostname == _LOCALHOST or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
