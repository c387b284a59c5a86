"""The page over HTTP: its files, which say nothing, and behind a token what it shows and does."""

import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route

from reconciler import __version__
from reconciler.frontends.browser.page_files import page_files, page_index
from reconciler.frontends.browser.page_messages import Spell, encoded, kernel_message, losses_message, plan_message
from reconciler.frontends.web.mailbox import Mailbox
from reconciler.frontends.web.page import Page
from reconciler.frontends.web.page_actions import PAGE_ACTIONS
from reconciler.frontends.web.page_guard import Protected, Receive, Scope, Send, bearer
from reconciler.usecases.application import UseCases
from reconciler.usecases.live_view import pending_plan
from reconciler.usecases.screens import screenshot_of

MOST_VIEWERS = 300
_MOST_BODY = 64 * 1024
_SILENCE_S = 15.0
_KERNEL_LOG_S = 10.0
_MOST_LINES = 20_000
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_NOT_KEPT = {"Cache-Control": "no-store"}
_ASKED_AGAIN = {"Cache-Control": "no-cache"}
_KEPT = {"Cache-Control": "max-age=31536000, immutable"}
_DIGITS = 16
_SESSION = "Vmcluster-Session"

Endpoint = Callable[[Request], Awaitable[Response]]


def page_routes(page: Page) -> list[BaseRoute]:
    """The files of the page for all, everything else for who was let in."""
    shown = _Shown(page)
    entry = _Entry(page, shown)
    node = "/clusters/{cluster}/nodes/{node}"
    inside = [
        Route("/feed", shown.feed),
        Route("/session", entry.leave, methods=["DELETE"]),
        Route("/clusters/{cluster}/plan", shown.plan),
        Route("/clusters/{cluster}/snapshots/{snapshot}/losses", shown.losses),
        Route(f"{node}/console", shown.console),
        Route(f"{node}/kernel-log", shown.kernel_log),
        Route(f"{node}/screen", shown.screen),
        Route("/clusters/{cluster}/actions/{action}", _Actions(page).act, methods=["POST"]),
    ]
    only_token = Middleware(Protected, access=page.access, sessions=False)
    let_in = Middleware(Protected, access=page.access, sessions=True)
    return [
        *(Route(path, file) for path, file in _files()),
        Route("/api/session", entry.enter, methods=["POST"]),
        Route("/api/code", entry.new_code, methods=["POST"], middleware=[only_token]),
        Mount("/api", routes=inside, middleware=[let_in]),
    ]


def _files() -> Iterator[tuple[str, Endpoint]]:
    """The page's files by path, read once. A browser keeps all but the first, which names them by their content."""
    files = page_files()
    directory = f"/static/{hashlib.sha256(b''.join(files.values())).hexdigest()[:_DIGITS]}/"
    yield "/", _file(page_index().replace(b"/static/", directory.encode()), "html", _ASKED_AGAIN)
    for name, content in files.items():
        yield f"{directory}{name}", _file(content, _kind(name), _KEPT)


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def _file(content: bytes, kind: str, kept: Mapping[str, str]) -> Endpoint:
    async def serve_file(_: Request) -> Response:
        return Response(content, media_type=_TYPES[kind], headers=kept)

    return serve_file


def _json(message: Any, status: int = 200) -> Response:
    return Response(encoded(message), status, _NOT_KEPT, "application/json")


async def _said(request: Request) -> Any:
    """The JSON of a request. Raises `ValueError` if it is none, or too long."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise ValueError
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _MOST_BODY:
            raise ValueError
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError from error


def _texts_in(said: Mapping[str, Any]) -> dict[str, str]:
    return {key: of for key, of in said.items() if isinstance(of, str)}


_NO_JSON = "the body has to be JSON of at most 64 KiB\n"


class _Entry:
    """How browsers come in and go."""

    def __init__(self, page: Page, shown: "_Shown") -> None:
        self._access = page.access
        self._shown = shown

    async def enter(self, request: Request) -> Response:
        """A session for a code or the token, in a header; the answer is the feed that is asked for."""
        try:
            said = await _said(request)
        except (ValueError, ClientDisconnect):
            return PlainTextResponse(_NO_JSON, 400)
        secret = said.get("secret") if isinstance(said, dict) else None
        session = self._access.session_for(secret) if isinstance(secret, str) else None
        if session is None:
            return PlainTextResponse("that lets nobody in\n", 401)
        wanted = said.get("feed")
        feed = await self._shown.feed_for(session, _texts_in(wanted)) if isinstance(wanted, dict) else None
        answer = feed or _json({"session": session})
        answer.headers[_SESSION] = session
        return answer

    async def leave(self, request: Request) -> Response:
        """End a session."""
        self._access.end_session(bearer(request.headers))
        return Response(status_code=204)

    async def new_code(self, _: Request) -> Response:
        """A code that lets one browser in."""
        return _json({"code": self._access.new_code()})


class _Shown:
    """What the page shows."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def feed(self, request: Request) -> Response:
        """Everything that changes, as server-sent events."""
        feed = await self.feed_for(bearer(request.headers), request.query_params)
        return feed or PlainTextResponse(f"{MOST_VIEWERS} viewers are enough\n", 503)

    async def feed_for(self, secret: str, asked: Mapping[str, str]) -> Response | None:
        """The feed as long as the secret lets somebody in; None if there are too many viewers.

        A feed for which no cluster is named shows one, and its greeting says which.
        """
        cluster, node = asked.get("cluster", ""), asked.get("node", "")
        if not cluster:
            cluster, node = await self._page.first_cluster(), ""
        if self._page.sources.viewers >= MOST_VIEWERS:
            return None
        return _Feed(self._page.sources.watched(cluster, node), partial(self._told, secret, cluster))

    async def _told(self, secret: str, cluster: str, viewer: Mailbox) -> AsyncIterator[bytes]:
        hello = {"version": __version__, "actions": self._page.allow_actions, "now": time.time(), "cluster": cluster}
        yield _event("hello", encoded(hello))
        while not viewer.closed:
            news = await viewer.take(timeout_s=_SILENCE_S)
            if not self._page.access.lets_in(secret):
                return
            yield b"".join(_event(kind, data) for kind, data in news) or b":\n\n"

    async def plan(self, request: Request) -> Response:
        """What a controller would do now."""
        cluster, spell = self._about(request)
        return _json(
            await self._page.answer(
                cluster, lambda use: pending_plan(use.runtime, cluster), lambda plan: plan_message(plan, spell)
            )
        )

    async def losses(self, request: Request) -> Response:
        """What a revert would lose."""
        cluster, snapshot = request.path_params["cluster"], request.path_params["snapshot"]
        work = self._page.answer(cluster, lambda use: use.snapshots.revert_losses(cluster, snapshot), losses_message)
        return _json(await work)

    async def console(self, request: Request) -> Response:
        """All that is still there of a console, up to 20,000 lines."""
        cluster, node = request.path_params["cluster"], request.path_params["node"]
        return _json(
            await self._page.answer(
                cluster,
                lambda use: use.consoles.show(cluster, node, tail=_MOST_LINES),
                lambda console: {"lines": console.lines},
            )
        )

    async def kernel_log(self, request: Request) -> Response:
        """What a node's kernel reported: events, warnings, errors."""
        cluster, spell = self._about(request)
        node = request.path_params["node"]
        return _json(
            await self._page.answer(
                cluster,
                lambda use: use.kernel_logs.collect(
                    cluster, nodes=[node], filter_level="warn+", timeout_s=_KERNEL_LOG_S
                ),
                lambda logs: kernel_message(logs[node], spell),
            )
        )

    async def screen(self, request: Request) -> Response:
        """A picture of a node's screen."""
        cluster, node = request.path_params["cluster"], request.path_params["node"]
        taken: list[bytes] = []

        async def take(use: UseCases) -> None:
            taken.append((await screenshot_of(use.runtime, cluster, node)).png)

        answer = await self._page.answer(cluster, take)
        return Response(taken[0], 200, _NOT_KEPT, "image/png") if taken else _json(answer)

    def _about(self, request: Request) -> tuple[str, Spell]:
        cluster = request.path_params["cluster"]
        return cluster, self._page.spelled_for(cluster)


class _Feed(StreamingResponse):
    """Events for a viewer, who leaves with the response, wherever it stops.

    A server that says ASGI 2.4 promises to fail what is sent to a client that has gone, and some of them do not.
    So it is told that 2.3 is understood here: then Starlette listens for the client's leaving.
    """

    def __init__(
        self, watched: AbstractContextManager[Mailbox], told: Callable[[Mailbox], AsyncIterator[bytes]]
    ) -> None:
        super().__init__((), media_type="text/event-stream", headers=_NOT_KEPT)
        self._watched = watched
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._watched as viewer:
            self.body_iterator = self._told(viewer)
            await super().__call__({**scope, "asgi": {**scope["asgi"], "spec_version": "2.3"}}, receive, send)


class _Actions:
    """What the page does."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def act(self, request: Request) -> Response:
        """Carry out an action; refused unless the server was started with `--allow-actions`."""
        cluster, action = request.path_params["cluster"], PAGE_ACTIONS.get(request.path_params["action"])
        if not self._page.allow_actions:
            return PlainTextResponse("this page only shows: it was served without --allow-actions\n", 403)
        if action is None:
            return PlainTextResponse("there is no such action\n", 404)
        try:
            said = await _said(request)
        except (ValueError, ClientDisconnect):
            return PlainTextResponse(_NO_JSON, 400)
        if self._page.busy:
            return PlainTextResponse("too many actions are under way\n", 503)

        async def carry_out(use: UseCases) -> str:
            return await action.carry_out(use, cluster, action.read(said))

        return _json(await self._page.settle(cluster, carry_out))


def _event(kind: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode("ascii"), data)
