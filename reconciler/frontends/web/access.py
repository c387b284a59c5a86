"""Who may see the page: requests for this server, by a holder of its token or by a browser that was let in.

A browser is let in by a code that works once, in the part of the URL that is never sent. What it gets for the code
it sends as a bearer token, like everybody else: no request is authorized by the browser alone, as with cookies.
"""

import hmac
import secrets
import time
from collections.abc import Callable, MutableMapping
from ipaddress import ip_address
from urllib.parse import urlsplit

CODE_S = 300.0
"""How long a code works."""
SESSION_S = 12 * 3600.0
"""How long a browser stays let in without a request."""
_MOST = 100
_BYTES = 32

Clock = Callable[[], float]


class Access:
    """The token of a server, the codes that were given out, and the browsers that were let in; all in memory."""

    def __init__(self, token: str, clock: Clock = time.monotonic) -> None:
        self._token = token.encode()
        self._clock = clock
        self._codes: dict[str, float] = {}
        self._sessions: dict[str, float] = {}

    def holds_token(self, secret: str) -> bool:
        """Whether that is the token."""
        return hmac.compare_digest(secret.encode(errors="surrogatepass"), self._token)

    def new_code(self) -> str:
        """A code that lets one browser in, for five minutes."""
        return self._remember(self._codes)

    def session_for(self, secret: str) -> str | None:
        """What a browser gets for a code, which then works no longer, or for the token; None for anything else."""
        if self._taken(self._codes, secret, CODE_S) or self.holds_token(secret):
            return self._remember(self._sessions)
        return None

    def lets_in(self, secret: str) -> bool:
        """Whether the page is shown for that: the token, or a session, which is prolonged."""
        if self._taken(self._sessions, secret, SESSION_S):
            self._sessions[secret] = self._clock()
            return True
        return self.holds_token(secret)

    def end_session(self, secret: str) -> None:
        """Forget a browser."""
        self._sessions.pop(secret, None)

    def _remember(self, where: MutableMapping[str, float]) -> str:
        secret = secrets.token_urlsafe(_BYTES)
        where[secret] = self._clock()
        while len(where) > _MOST:
            del where[min(where, key=where.__getitem__)]
        return secret

    def _taken(self, where: MutableMapping[str, float], secret: str, longest_s: float) -> bool:
        since = where.pop(secret, None)  # by hash: a secret of 256 bits is not found by the time that this takes
        return since is not None and self._clock() - since <= longest_s


def is_for_us(host: str | None) -> bool:
    """Whether a request names this host as one on the loopback interface does, on any port: SSH may forward another.

    A name that a hostile site made point to this host is not among them.
    """
    try:
        name = urlsplit(f"//{host}").hostname if host else None
        return name is not None and (name == "localhost" or ip_address(name).is_loopback)
    except ValueError:
        return False


def is_own_page(origin: str | None, host: str | None, scheme: str) -> bool:
    """Whether a request comes from a page of this server, or from no page at all."""
    return origin is None or origin == f"{scheme}://{host}"
