"""What every request to the page passes first, and what every answer says to the browser."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from reconciler.frontends.web.access import Access, is_for_us, is_own_page

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
"""Nothing from elsewhere, nothing inline, and no way for a text to become markup or script."""

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Lets through what is meant for this server and comes from its own page or from no page."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        headers = Headers(scope=scope)
        host = headers.get("host")
        if not is_for_us(host):
            await PlainTextResponse("this server has no such name\n", 421)(scope, receive, send_guarded)
        elif not is_own_page(headers.get("origin"), host, scope.get("scheme", "http")):
            await PlainTextResponse("requests of other pages are refused\n", 403)(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)


class Protected:
    """Lets through who has the token; with `sessions`, also the browsers that were let in."""

    def __init__(self, app: App, access: Access, *, sessions: bool) -> None:
        self._app = app
        self._lets_in = access.lets_in if sessions else access.holds_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._lets_in(bearer(Headers(scope=scope))):
            refused = PlainTextResponse("a bearer token is required\n", 401, {"WWW-Authenticate": "Bearer"})
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)


def bearer(headers: Headers) -> str:
    """The one bearer token of a request; empty if there is none."""
    said = headers.getlist("authorization")
    scheme, _, secret = said[0].partition(" ") if len(said) == 1 else ("", "", "")
    return secret.strip() if scheme.lower() == "bearer" else ""
