"""The part of the server that is read: resources, prompts, and completions of their arguments."""

from collections.abc import Iterable
from typing import Any

from mcp.server.apps import client_supports_apps
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    EmptyResult,
    GetPromptResult,
    InputRequiredResult,
    ListResourcesResult,
    PaginatedRequestParams,
    Prompt,
    Resource,
    ResourceTemplate,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)

from reconciler.error_codes import ErrorCode
from reconciler.frontends.mcp.backend import Backend, look
from reconciler.frontends.mcp.lab_app import APP_URI, lab_app
from reconciler.frontends.mcp.next_steps import naming_switched_off
from reconciler.frontends.mcp.prompts import PROMPTS, prompt_text
from reconciler.frontends.mcp.resources import (
    RESOURCES,
    completion,
    content_of,
    names_for,
    reader_of,
    templates,
)
from reconciler.frontends.mcp.subscriptions import stream_changes, subscribe, unsubscribe

_NOT_THERE = frozenset({ErrorCode.CLUSTER_NOT_FOUND, ErrorCode.NODE_NOT_FOUND, ErrorCode.TOPOLOGY_NOT_FOUND})


class ReadingServer(MCPServer[Backend]):
    """An MCP server with resources and prompts; resources whose tool is switched off are not there."""

    def __init__(self, offered: Iterable[str], *, keeps_connections: bool, **settings: Any) -> None:
        """A server that `keeps_connections` can announce changes outside of an answer, as older revisions have it."""
        super().__init__("vmcluster", subscriptions=False, extensions=[lab_app()], **settings)
        self._looking = frozenset(offered)
        low = self._lowlevel_server
        low.add_request_handler("completion/complete", CompleteRequestParams, self._complete)
        low.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, self._listen)
        low.add_request_handler("resources/list", PaginatedRequestParams, self._list_resources_for)
        if keeps_connections:
            low.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
            low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)

    async def list_resources(self) -> list[Resource]:
        """The resources without arguments."""
        return RESOURCES

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        """The resources of a cluster."""
        return templates(self._looking)

    async def read_resource(
        self, uri: Any, context: Context[Backend, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Read a resource. Raises `ResourceNotFoundError`, and `ResourceError` with the message of a tool's error."""
        if str(uri) == APP_URI:
            return await super().read_resource(uri, context)
        found = reader_of(str(uri))
        if found is None or found[0].tool not in self._looking or context is None:
            raise ResourceNotFoundError(f"Unknown resource: {uri}")
        reader, names = found
        backend = context.request_context.lifespan_context
        answer = await look(backend, f"read:{reader.tool}", lambda use: reader.read(use, names))
        if answer.error is not None:
            kind = ResourceNotFoundError if answer.error.code in _NOT_THERE else ResourceError
            raise kind(f"{answer.error.code}: {naming_switched_off(answer.error.message, self._looking)}")
        return [ReadResourceContents(content=await content_of(answer), mime_type=reader.mime_type)]

    async def list_prompts(self) -> list[Prompt]:
        """The prompts."""
        return PROMPTS

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Backend, Any] | None = None
    ) -> GetPromptResult:
        """A prompt with its arguments."""
        try:
            return prompt_text(name, arguments or {})
        except KeyError as missing:
            raise MCPError(INVALID_PARAMS, f"no such prompt, or its argument is missing: {missing}") from missing

    async def _list_resources_for(
        self, ctx: ServerRequestContext[Backend], _: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        apps = await super().list_resources() if client_supports_apps(ctx) else []
        return ListResourcesResult(resources=[*await self.list_resources(), *apps])

    async def _listen(
        self, ctx: ServerRequestContext[Backend], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        return await stream_changes(ctx, params.notifications, self._looking)

    async def _subscribe(self, ctx: ServerRequestContext[Backend], params: SubscribeRequestParams) -> EmptyResult:
        return await subscribe(ctx, params.uri, self._looking)

    async def _unsubscribe(self, ctx: ServerRequestContext[Backend], params: UnsubscribeRequestParams) -> EmptyResult:
        return unsubscribe(ctx, params.uri)

    async def _complete(self, ctx: ServerRequestContext[Backend], params: CompleteRequestParams) -> CompleteResult:
        known = (params.context.arguments if params.context else None) or {}
        cluster = known.get("cluster")
        answer = await look(ctx.lifespan_context, "complete", lambda use: names_for(use, params.argument.name, cluster))
        names = answer.result or []
        return CompleteResult(completion=completion(names, params.argument.value) if names else Completion(values=[]))
