"""A cluster as an MCP App, which clients that negotiate the extension show inside the chat. Others are not told of it.

https://github.com/modelcontextprotocol/ext-apps, revision 2026-01-26.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mcp.server.apps import APP_MIME_TYPE, Apps, client_supports_apps
from mcp.server.mcpserver.resources import FunctionResource
from mcp_types import Tool

from reconciler.frontends.browser.app_document import app_document
from reconciler.frontends.mcp.backend import Call, look
from reconciler.frontends.mcp.stdio_messages import as_text

if TYPE_CHECKING:
    from reconciler.model.results import ClusterStatus
    from reconciler.usecases.application import UseCases

APP_URI = "ui://vmcluster/cluster"
DRAWN = "cluster_status"
"""The tool that the App calls for what it draws."""
_SHOWN_WITH_APP = frozenset({DRAWN, "cluster_apply", "net_partition", "net_impair"})
_VIEW = "vmcluster/view"


def lab_app() -> Apps:
    """The extension with the document, which is put together when a client reads it."""
    app = Apps()
    app.add_resource(
        FunctionResource(
            uri=APP_URI,
            name="cluster",
            title="Live view of a cluster, for clients with MCP Apps",
            mime_type=APP_MIME_TYPE,
            meta={"ui": {"prefersBorder": True}},
            fn=app_document,
        )
    )
    return app


def with_app(tools: Iterable[Tool]) -> list[Tool]:
    """The tools, as they are listed for a client that shows the App."""
    return [
        tool.model_copy(update={"meta": {"ui": {"resourceUri": APP_URI}}}) if tool.name in _SHOWN_WITH_APP else tool
        for tool in tools
    ]


async def drawn_in_app(call: Call, status: "ClusterStatus") -> dict[str, Any] | None:
    """What the App draws of a cluster, as metadata of an answer: no model is shown that. None for other clients."""
    from reconciler.frontends.browser.page_messages import view_message  # noqa: PLC0415  imports the use cases
    from reconciler.usecases.live_view import LiveCluster  # noqa: PLC0415

    async def draw(use: "UseCases") -> dict[str, Any]:
        view = await LiveCluster(use.runtime, status.cluster_name, status).look()
        return await asyncio.to_thread(view_message, view, str)

    if not client_supports_apps(call):
        return None
    view = (await look(call.request_context.lifespan_context, "view", draw)).result
    return view and {_VIEW: {"now": time.time(), **as_text(view)}}
