"""The one door: the page, MCP and the metrics, served by one application at one address behind one token."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

import structlog
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from reconciler.errors import ConfigurationInvalid, OperationFailed
from reconciler.frontends.mcp.cluster_server import ClusterServer
from reconciler.frontends.mcp.http_connection import TimelyConnection
from reconciler.frontends.mcp.http_server import MCP_PATH, mcp_protocol, token_in, whole_messages
from reconciler.frontends.mcp.mode import chosen_mode
from reconciler.frontends.mcp.server_options import TOKEN_FILE, HttpPlace, Options
from reconciler.frontends.mcp.tool_usecases import ToolService
from reconciler.frontends.web.access import Access
from reconciler.frontends.web.page import Page, Words
from reconciler.frontends.web.page_app import page_routes
from reconciler.frontends.web.page_guard import App, Guard, Protected, Receive, Scope, Send
from reconciler.frontends.web.way_in import announced, entry_url
from reconciler.progress import no_progress
from reconciler.runtime import Runtime
from reconciler.usecases.application import UseCases

log = structlog.get_logger(__name__)

_ACTOR = "page"
_MOST_CONNECTIONS = 1000
_PATIENCE_AT_END_S = 5
_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class OpenDoor:
    """Where it is, and the URL that lets one browser in."""

    url: str
    access: Access

    def entry(self, cluster: str = "") -> str:
        """A URL that works once."""
        return entry_url(self.url, self.access.new_code(), cluster)


@asynccontextmanager
async def opened_door(
    runtime: Runtime,
    place: HttpPlace,
    words: Words,
    *,
    allow_actions: bool,
    metrics: CollectorRegistry | None = None,
) -> AsyncIterator[OpenDoor]:
    """Serve at an address of the loopback interface. Raises `ConfigurationInvalid` if it cannot be used."""
    state_dir = runtime.settings.state_dir
    token = token_in(state_dir / TOKEN_FILE)
    with _listening(place.host, place.port) as listener:
        access = Access(token)
        page = Page(UseCases(runtime, actor=_ACTOR, progress=no_progress), access, words, allow_actions=allow_actions)
        door = OpenDoor(f"http://{_authority(*listener.getsockname()[:2])}/", access)
        server = _Server(_configuration(door_app(page, metrics)))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await _started(server, serving)
            with announced(door.url, state_dir):
                log.info("page_served", url=door.url, allow_actions=allow_actions)
                yield door
        finally:
            await page.close()
            server.should_exit = True
            await serving
            await page.sources.ended()


def door_app(page: Page, metrics: CollectorRegistry | None) -> Starlette:
    """The application."""
    mode = chosen_mode(Options(read_only=not page.allow_actions))
    protocol = mcp_protocol(
        ClusterServer(mode, local=False, host=ToolService(page.use.runtime)),
        TransportSecuritySettings(enable_dns_rebinding_protection=False),  # the guard has looked
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with protocol.router.lifespan_context(protocol):
            yield

    only_token = Middleware(Protected, access=page.access, sessions=False)
    routes: list[BaseRoute] = [
        *page_routes(page),
        Route(MCP_PATH, _Unchanged(whole_messages(protocol)), middleware=[only_token]),
    ]
    if metrics is not None:
        routes.append(Route("/metrics", _served_metrics(metrics), middleware=[only_token]))
    return Starlette(routes=routes, middleware=[Middleware(Guard)], lifespan=lifespan)


class _Unchanged:
    """An application that a route passes every request to, whatever its method."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _served_metrics(metrics: CollectorRegistry) -> Callable[[Request], Response]:
    def serve_metrics(_: Request) -> Response:
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)

    return serve_metrics


class _Server(uvicorn.Server):
    """A server beside other work, which handles the signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _started(server: _Server, serving: "asyncio.Task[None]") -> None:
    while not server.started:
        if serving.done():
            serving.result()
            raise OperationFailed("the page could not be served: the cause is in the log")
        await asyncio.sleep(_POLL_S)


def _configuration(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=TimelyConnection,
        ws="none",
        loop="none",
        lifespan="on",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_PATIENCE_AT_END_S,
    )


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    if host != "localhost" and not ip_address(host).is_loopback:
        raise ConfigurationInvalid(
            f"{host} is not an address of the loopback interface",
            hint="serve the page there, and reach it from elsewhere with `ssh -L 8765:127.0.0.1:8765 HOST`",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_MOST_CONNECTIONS)
    except (OSError, OverflowError) as error:
        raise ConfigurationInvalid(f"cannot listen at {_authority(host, port)}: {error}") from error
    with listener:
        yield listener


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
