"""Subscriptions to resources, in both forms that the protocol has had.

Up to revision 2025-11-25 a client subscribes to one resource after the other, and hears of changes outside of any
answer: that takes a connection that stays, which stateless HTTP has not. Since 2026-07-28 one request names all
resources, and its answer is the stream of their changes, over either transport.
"""

from collections.abc import Container
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY, ResourceUpdated, event_to_notification
from mcp_types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    EmptyResult,
    SubscriptionFilter,
    SubscriptionsAcknowledgedNotification,
    SubscriptionsAcknowledgedNotificationParams,
    SubscriptionsListenResult,
)

from reconciler.frontends.mcp.backend import Backend
from reconciler.frontends.mcp.resource_watch import Subscription
from reconciler.frontends.mcp.resources import viewed_at
from reconciler.model.viewed import Viewed

Request = ServerRequestContext[Backend, Any]


async def stream_changes(
    ctx: Request, wanted: SubscriptionFilter, offered: Container[str]
) -> SubscriptionsListenResult:
    """Stream the changes of the resources that exist, until the client ends the request.

    Lists of tools, prompts and resources may be listened to as well: they never change. Raises `MCPError`.
    """
    if ctx.request_id is None:
        raise MCPError(INVALID_REQUEST, "subscriptions/listen needs a request id")
    found = {uri: viewed_at(uri, offered) for uri in wanted.resource_subscriptions or ()}
    viewed = {uri: of for uri, of in found.items() if of is not None}
    meta = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
    watch = ctx.lifespan_context.watch
    subscription = watch.open()
    try:
        if viewed:
            await watch.add(subscription, viewed)
        acknowledged = SubscriptionsAcknowledgedNotificationParams(notifications=_honored(wanted, viewed), _meta=meta)
        await ctx.session.send_notification(
            SubscriptionsAcknowledgedNotification(params=acknowledged), related_request_id=ctx.request_id
        )
        while True:
            for uri in await subscription.next():
                changed = event_to_notification(ResourceUpdated(uri), meta)
                await ctx.session.send_notification(changed, related_request_id=ctx.request_id)
    finally:
        watch.end(subscription)


async def subscribe(ctx: Request, uri: str, offered: Container[str]) -> EmptyResult:
    """Announce the changes of a resource on this connection. Raises `MCPError` if there is no such resource."""
    viewed = viewed_at(uri, offered)
    if viewed is None:
        raise MCPError(INVALID_PARAMS, "Unknown resource", data={"uri": uri})
    watch = ctx.lifespan_context.watch
    if watch.of_connection is None:
        watch.of_connection = watch.open()
        watch.keep(_send(watch.of_connection, ctx.session))
    await watch.add(watch.of_connection, {uri: viewed})
    return EmptyResult()


def unsubscribe(ctx: Request, uri: str) -> EmptyResult:
    """No longer announce them; one that was not followed is not either."""
    watch = ctx.lifespan_context.watch
    if watch.of_connection is not None:
        watch.remove(watch.of_connection, uri)
    return EmptyResult()


async def _send(subscription: Subscription, session: ServerSession) -> None:
    while True:
        for uri in await subscription.next():
            await session.send_resource_updated(uri)


def _honored(wanted: SubscriptionFilter, viewed: dict[str, Viewed]) -> SubscriptionFilter:
    return SubscriptionFilter(
        tools_list_changed=wanted.tools_list_changed or None,
        prompts_list_changed=wanted.prompts_list_changed or None,
        resources_list_changed=wanted.resources_list_changed or None,
        resource_subscriptions=list(viewed) or None,
    )
