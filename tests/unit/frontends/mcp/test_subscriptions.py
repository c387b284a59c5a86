"""Clients hear of changed resources, in the forms of every revision of the protocol."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.subscriptions import ResourceUpdated
from mcp_types import ResourceUpdatedNotification

from reconciler.frontends.mcp.cluster_server import ClusterServer
from reconciler.frontends.mcp.mode import Mode
from reconciler.frontends.mcp.resource_watch import MOST_RESOURCES, MOST_SUBSCRIPTIONS, Subscription
from reconciler.model.choices import Toolset
from reconciler.model.event import ClusterEvent, EventKind
from reconciler.model.names import console_path
from reconciler.model.viewed import View, Viewed
from reconciler.store.sqlite import SqliteStore
from tests.unit.frontends.mcp.test_answers import stored
from tests.unit.frontends.mcp.test_http_server import Served, served
from tests.unit.store.samples import sample_record, sample_status, with_boots
from tests.waiting import PATIENCE_S, eventually

__all__ = ["served"]

LAB = "vmcluster://clusters/lab"
_OF_LAB = ("status", "topology", "plan", "events", "faults", "console/alpha")
ALL = ["vmcluster://clusters", *(f"{LAB}/{of}" for of in _OF_LAB)]


class Heard:
    """What a client was told of since it last looked: the ends of URIs."""

    def __init__(self) -> None:
        self.of: set[str] = set()

    async def __call__(self, message: Any) -> None:
        assert isinstance(message, ResourceUpdatedNotification)
        self.note(str(message.params.uri))

    def note(self, uri: str) -> None:
        self.of.add(uri.removeprefix(f"{LAB}/").removeprefix("vmcluster://"))

    async def just(self, *expected: str) -> None:
        """Wait until it was told of all of these; it was told of nothing else."""
        await eventually(lambda: set(expected) <= self.of)
        assert self.of == set(expected)
        self.of.clear()


async def expect_changes(heard: Heard, state_dir: Path, topologies: Path) -> None:
    """Make changes of every kind, and expect to be told just of the resources that show them."""
    async with SqliteStore(state_dir) as store:
        spec = sample_record().spec.model_copy(update={"overlay_dir": topologies})
        first = await store.put(sample_record().model_copy(update={"spec": spec}), expected_generation=0, actor="test")
        await heard.just("clusters", "status", "plan", "faults")
        second = await store.put(with_boots(first, 1), expected_generation=1, actor="test")
        await heard.just("clusters", "status", "plan")
        event = ClusterEvent(
            cluster_name="other", at=datetime.now(UTC), kind=EventKind.DRIFT_FOUND, subject="x", message="m"
        )
        await store.add_events([event])
        await store.add_events([event.model_copy(update={"cluster_name": "lab"})])
        await heard.just("events")
        await store.put_status(sample_status())
        await heard.just("clusters", "status", "plan", "faults")
        await store.put_status(sample_status())  # nothing but its time is another
        (topologies / "lab.yaml").write_text("cluster_name: lab\n")
        await heard.just("topology", "plan")
        log = console_path(topologies, "lab", "alpha")
        log.parent.mkdir(parents=True)
        log.write_text("Linux version\n")
        await heard.just("console/alpha")
        await store.remove("lab", expected_generation=second.generation, actor="test")
        await heard.just("clusters", "status", "plan", "faults", "console/alpha")


def places(configuration: dict[str, str]) -> tuple[Path, Path]:
    return Path(configuration["VMCLUSTER_STATE_DIR"]), Path(configuration["VMCLUSTER_TOPOLOGY_DIR"])


async def listening(client: Client, heard: Heard, configuration: dict[str, str]) -> None:
    """Follow everything with a stream of the newest revision."""
    async with client.listen(resource_subscriptions=[*ALL, f"{LAB}/nothing"], tools_list_changed=True) as stream:
        assert stream.honored.resource_subscriptions == ALL
        assert stream.honored.tools_list_changed

        async def hear() -> None:
            async for event in stream:
                assert isinstance(event, ResourceUpdated)
                heard.note(event.uri)

        hearing = asyncio.create_task(hear())
        await expect_changes(heard, *places(configuration))
        hearing.cancel()


async def test_the_newest_revision_streams_changes(configuration: dict[str, str]) -> None:
    async with Client(ClusterServer(), cache=None) as client:
        assert client.server_capabilities.resources
        assert client.server_capabilities.resources.subscribe
        await listening(client, Heard(), configuration)


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.filterwarnings("ignore:resources/.* is removed as of 2026-07-28")
async def test_older_revisions_are_told_outside_of_answers(
    configuration: dict[str, str], spawned: StdioServerParameters
) -> None:
    heard = Heard()
    async with Client(spawned, cache=None, mode="legacy", message_handler=heard) as client:
        for uri in ALL:
            await client.subscribe_resource(uri)
            await client.subscribe_resource(uri)
        await client.subscribe_resource("vmcluster://clusters/other/status")
        await client.unsubscribe_resource("vmcluster://clusters/other/status")
        for wrong in (f"{LAB}/nothing", "file:///etc/passwd", f"{LAB}/console/{'x' * 1000}"):
            with pytest.raises(Exception, match="Unknown resource"):
                await client.subscribe_resource(wrong)
        state_dir, topologies = places(configuration)
        await expect_changes(heard, state_dir, topologies)
        for uri in ALL:
            await client.unsubscribe_resource(uri)
        await stored(configuration)
        assert (await client.call_tool("cluster_list", {})).structured_content
        assert not heard.of


@pytest.mark.long
@pytest.mark.processes
async def test_over_stateless_http_only_the_newest_revision_subscribes(
    served: Served, configuration: dict[str, str]
) -> None:
    said = await asyncio.to_thread(served.request, "resources/subscribe", "2025-11-25", uri=ALL[0])
    assert said["error"]["message"] == "Method not found"
    web = httpx.AsyncClient(headers={"Authorization": f"Bearer {served.token}"}, timeout=PATIENCE_S)
    transport = streamable_http_client(served.url, http_client=web)
    async with web, Client(transport, cache=None) as client:
        await listening(client, Heard(), configuration)


async def test_subscriptions_are_bounded_and_end_with_their_clients(configuration: dict[str, str]) -> None:
    many = [f"vmcluster://clusters/c{number}/status" for number in range(MOST_RESOURCES + 1)]
    async with Client(ClusterServer(), cache=None) as client:
        with pytest.raises(Exception, match=f"at most {MOST_RESOURCES} resources"):
            async with client.listen(resource_subscriptions=many):
                pass
        async with AsyncExitStack() as streams:
            for _ in range(MOST_SUBSCRIPTIONS):
                await streams.enter_async_context(client.listen(resource_subscriptions=many[:1]))
            with pytest.raises(Exception, match="subscriptions already"):
                await streams.enter_async_context(client.listen(resource_subscriptions=many[:1]))
        async with client.listen(resource_subscriptions=many[:MOST_RESOURCES]) as stream:
            assert len(stream.honored.resource_subscriptions or ()) == MOST_RESOURCES


async def test_a_resource_that_is_switched_off_cannot_be_followed(configuration: dict[str, str]) -> None:
    server = ClusterServer(Mode(toolsets=frozenset({Toolset.FAULT})))
    async with (
        Client(server, cache=None) as client,
        client.listen(resource_subscriptions=[f"{LAB}/events", f"{LAB}/faults"]) as stream,
    ):
        assert stream.honored.resource_subscriptions == [f"{LAB}/faults"]


async def test_what_a_client_does_not_take_waits_once(configuration: dict[str, str]) -> None:
    subscription = Subscription()
    viewed = {f"{LAB}/{view}": Viewed(view, "lab") for view in (View.STATUS, View.PLAN)}
    subscription.viewed |= viewed
    for _ in range(1000):
        subscription.announce(frozenset({Viewed(View.STATUS, "lab"), Viewed(View.EVENTS, "lab")}))
    assert await subscription.next() == [f"{LAB}/status"]


async def test_a_store_that_is_away_is_an_error_and_is_watched_again_afterwards(
    configuration: dict[str, str],
) -> None:
    state_dir, _ = places(configuration)
    state_dir.mkdir()
    (state_dir / "records.sqlite").write_text("no database at all, but long enough to be looked at")
    async with Client(ClusterServer(), cache=None) as client:
        with pytest.raises(Exception, match="STORE_UNAVAILABLE"):
            async with client.listen(resource_subscriptions=ALL[:1]):
                pass
        (state_dir / "records.sqlite").unlink()
        async with client.listen(resource_subscriptions=ALL[:1]) as stream:
            await stored(configuration)
            assert await anext(stream) == ResourceUpdated(ALL[0])
