"""The door over real connections: what passes, what does not, and many that look at once."""

import asyncio
import json
import select
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from reconciler.errors import ConfigurationInvalid, StoreUnavailable
from reconciler.frontends.mcp import http_connection
from reconciler.frontends.mcp.server_options import HttpPlace
from reconciler.frontends.web import page_app
from reconciler.frontends.web.door import OpenDoor, opened_door
from reconciler.frontends.web.way_in import entry_to_running
from reconciler.model.document import PowerState
from reconciler.model.record import Deletion
from reconciler.records.stored_records import recorded
from tests.unit.frontends.web.shown_lab import CLUSTER, ShownLab
from tests.waiting import PATIENCE_S, eventually

FEED = f"/api/feed?cluster={CLUSTER}"
INSIDE = [
    ("GET", FEED),
    ("GET", f"/api/clusters/{CLUSTER}/plan"),
    ("GET", f"/api/clusters/{CLUSTER}/nodes/alpha/console"),
    ("POST", f"/api/clusters/{CLUSTER}/actions/crash"),
    ("DELETE", "/api/session"),
    ("POST", "/api/code"),
    ("POST", "/mcp"),
]


@pytest.fixture
async def door(lab: ShownLab) -> AsyncIterator[OpenDoor]:
    await lab.define()
    async with lab.door(allow_actions=True) as opened:
        yield opened


def token_of(lab: ShownLab) -> str:
    return (lab.runtime.settings.state_dir / "mcp-token").read_text().strip()


def client_of(door: OpenDoor, token: str = "") -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(base_url=door.url, headers=headers, timeout=PATIENCE_S, trust_env=False)


async def heard(client: httpx.AsyncClient, path: str = FEED) -> AsyncIterator[tuple[str, Any]]:
    """The events of a feed."""
    async with client.stream("GET", path) as answer:
        assert answer.status_code == 200
        kind = ""
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                yield kind, json.loads(value)


@pytest.mark.parametrize(("method", "path"), INSIDE)
@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic eDp5", "Bearer"])
async def test_without_the_token_nothing_is_shown_or_done(
    door: OpenDoor, method: str, path: str, authorization: str | None
) -> None:
    async with client_of(door) as client:
        headers = {"Authorization": authorization} if authorization else {}
        answer = await client.request(method, path, headers=headers, json={"node": "alpha"})
        assert answer.status_code == 401
        assert CLUSTER not in answer.text


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Host", "evil.example", 421),
        ("Host", "127.0.0.1.evil.example:80", 421),
        ("Origin", "http://evil.example", 403),
        ("Origin", "null", 403),
        ("Origin", "http://127.0.0.1:1", 403),
    ],
)
async def test_another_host_or_page_is_refused_even_with_the_token(
    lab: ShownLab, door: OpenDoor, header: str, value: str, status: int
) -> None:
    async with client_of(door, token_of(lab)) as client:
        for path in ("/", "/api/session", f"/api/clusters/{CLUSTER}/plan", "/mcp"):
            assert (await client.get(path, headers={header: value})).status_code == status


async def test_the_browser_is_told_to_load_nothing_from_elsewhere_and_nothing_inline(door: OpenDoor) -> None:
    async with client_of(door) as client:
        for path in ("/", "/static/main.js", "/nothing", "/api/feed"):
            policy = (await client.get(path)).headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
        page = (await client.get("/")).text
        assert "http:" not in page
        assert "https:" not in page
        assert "style=" not in page
        assert "onclick" not in page


async def test_a_session_opens_the_page_and_not_what_is_for_programs(door: OpenDoor) -> None:
    async with client_of(door) as client:
        code = door.entry().partition("#code=")[2]
        session = (await client.post("/api/session", json={"secret": code})).json()["session"]
        assert (await client.post("/api/session", json={"secret": code})).status_code == 401
        own = {"Authorization": f"Bearer {session}"}
        assert (await client.get(f"/api/clusters/{CLUSTER}/plan", headers=own)).json()["result"]["converged"]
        for path in ("/mcp", "/api/code"):
            assert (await client.post(path, headers=own)).status_code == 401
        assert (await client.delete("/api/session", headers=own)).status_code == 204
        assert (await client.get(f"/api/clusters/{CLUSTER}/plan", headers=own)).status_code == 401


async def test_what_lets_a_browser_in_is_answered_with_the_feed_if_it_wants_one(
    lab: ShownLab, door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"secret": token_of(lab), "feed": {"cluster": CLUSTER, "node": 1}}
    async with client_of(door) as client:
        async with client.stream("POST", "/api/session", json=wanted) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert (await anext(answer.aiter_lines())) == "event: hello"
        own = {"Authorization": f"Bearer {answer.headers['Vmcluster-Session']}"}
        assert (await client.get(f"/api/clusters/{CLUSTER}/plan", headers=own)).status_code == 200
        monkeypatch.setattr(page_app, "MOST_VIEWERS", 0)
        answer = await client.post("/api/session", json=wanted)
        assert answer.json()["session"] == answer.headers["Vmcluster-Session"]
        refused = await client.post("/api/session", json={**wanted, "secret": "no"})
        assert refused.status_code == 401
        assert "Vmcluster-Session" not in refused.headers


async def test_with_a_session_end_the_feeds_that_it_opened(
    lab: ShownLab, door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_app, "_SILENCE_S", 0.05)
    sessions = [door.access.session_for(door.access.new_code()) or "" for _ in range(2)]
    async with client_of(door, sessions[0]) as leaving, client_of(door, sessions[1]) as staying:
        feed, other = heard(leaving), heard(staying)
        assert (await anext(feed))[0] == (await anext(other))[0] == "hello"
        assert (await leaving.delete("/api/session")).status_code == 204
        async with asyncio.timeout(PATIENCE_S):
            async for _ in feed:
                """What was on its way may still be told."""
        lab.turn("beta", PowerState.OFF)
        async for kind, said in other:
            if kind == "cluster" and said["nodes"][1]["state"] == "shut off":
                break
        await other.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 60_000, b'{"secret": 1}', b"x" * 100_000, b"\xff"])
async def test_what_is_no_login_is_refused(door: OpenDoor, body: bytes) -> None:
    async with client_of(door) as client:
        answer = await client.post("/api/session", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in {400, 401}
        assert (await client.post("/api/session", content=b'{"secret": ""}')).status_code == 400


async def test_a_feed_says_at_once_what_there_is_and_then_what_changes(lab: ShownLab, door: OpenDoor) -> None:
    async with client_of(door, token_of(lab)) as client:
        feed = heard(client)
        kinds: dict[str, Any] = {}
        while "cluster" not in kinds or "clusters" not in kinds:
            kind, said = await anext(feed)
            kinds[kind] = said
        assert kinds["hello"]["actions"] is True
        assert [of["name"] for of in kinds["clusters"]] == [CLUSTER]
        assert {of["name"]: of["state"] for of in kinds["cluster"]["nodes"]} == dict.fromkeys(
            ("alpha", "beta", "gamma"), "running"
        )
        lab.turn("beta", PowerState.CRASHED)
        async for kind, said in feed:
            if kind == "cluster" and said["nodes"][1]["state"] == "crashed":
                break
        await feed.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("place", ["/api/feed", "/api/feed?node=alpha"])
async def test_who_names_no_cluster_is_shown_the_first_that_can_be_shown(
    lab: ShownLab, door: OpenDoor, place: str
) -> None:
    store = lab.runtime.store
    await lab.define(cluster="a-gone")
    gone = (await recorded(store, "a-gone")).model_copy(update={"deletion": Deletion(remove_overlays=False)})
    await store.put(gone, expected_generation=gone.generation, actor="test")
    await lab.define(cluster="z-other")
    async with client_of(door, token_of(lab)) as client:
        kinds: dict[str, Any] = {}
        async for kind, said in heard(client, place):
            kinds[kind] = said
            if kind == "cluster":
                break
        assert kinds["hello"]["cluster"] == kinds["cluster"]["name"] == CLUSTER
        assert "console" not in kinds


async def test_where_the_store_cannot_be_read_a_feed_begins_and_says_so(
    lab: ShownLab, door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def names(_: object) -> list[str]:
        raise StoreUnavailable("no store")

    monkeypatch.setattr(type(lab.runtime.store), "names", names)
    async with client_of(door, token_of(lab)) as client:
        kinds: dict[str, Any] = {}
        async for kind, said in heard(client, "/api/feed"):
            kinds[kind] = said
            if kind == "clusters-trouble":
                break
        assert kinds["hello"]["cluster"] == ""
        assert "no store" in said["message"]


async def test_a_running_node_without_login_is_sick_and_others_are_not(lab: ShownLab, door: OpenDoor) -> None:
    lab.silent.add("gamma")
    async with client_of(door, token_of(lab)) as client:
        async for kind, said in heard(client):
            if kind == "cluster" and said["nodes"][2]["problem"]:
                assert [of["problem"] for of in said["nodes"]] == ["", "", "no SSH login"]
                return


async def test_a_cluster_that_there_is_not_is_said_to_be_gone(lab: ShownLab, door: OpenDoor) -> None:
    async with client_of(door, token_of(lab)) as client:
        async for kind, said in heard(client, "/api/feed?cluster=other&node=../../etc"):
            if kind == "gone":
                assert "no cluster named 'other'" in said["message"]
                return


async def test_a_hundred_viewers_cost_one_look(lab: ShownLab, door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    found, looks = lab.runtime.libvirt.find_domains, 0

    async def counted(cluster: str) -> Any:
        nonlocal looks
        looks += 1
        return await found(cluster)

    monkeypatch.setattr(lab.runtime.libvirt, "find_domains", counted)
    async with client_of(door, token_of(lab)) as client:

        async def view() -> None:
            async for kind, said in heard(client):
                if kind == "cluster" and said["nodes"][0]["state"] == "shut off":
                    return

        viewers = [asyncio.create_task(view()) for _ in range(100)]
        await eventually(lambda: looks > 3)
        lab.turn("alpha", PowerState.OFF)
        await asyncio.gather(*viewers)
        assert looks < 100


async def test_with_the_last_viewer_ends_all_that_was_looked_at_for_it(lab: ShownLab, door: OpenDoor) -> None:
    async with client_of(door, token_of(lab)) as client:
        feed = heard(client, f"{FEED}&node=alpha")
        told = {(await anext(feed))[0]}
        while not {"clusters", "cluster", "console-cleared"} <= told:
            told.add((await anext(feed))[0])
        assert looking() == 4
        await feed.aclose()  # type: ignore[attr-defined]
        await eventually(lambda: looking() == 0)


def looking() -> int:
    """How many sources of the page are looked at."""
    return sum("Source._keep_following" in str(task.get_coro()) for task in asyncio.all_tasks())


async def test_a_viewer_that_never_reads_is_dropped_and_nobody_else_is(
    lab: ShownLab, door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "READING_S", 0.2)
    where = urlsplit(door.url)
    assert where.port
    with socket.create_connection(("127.0.0.1", where.port)) as unread:
        request = f"GET {FEED}&node=alpha HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token_of(lab)}\r\n\r\n"
        unread.sendall(request.encode())
        state = select.poll()
        state.register(unread, 0)  # only whether the other end is gone
        chatter = asyncio.create_task(_chatter(lab))
        async with client_of(door, token_of(lab)) as client:
            async for kind, said in heard(client):
                if kind == "cluster" and said["nodes"][0]["state"] == "shut off":
                    break
        await eventually(lambda: bool(state.poll(0)))
        chatter.cancel()


async def _chatter(lab: ShownLab) -> None:
    for number in range(100_000):
        lab.print_on_console("alpha", f"{'x' * 400}\n" * 200)
        if number == 20:
            lab.turn("alpha", PowerState.OFF)
        await asyncio.sleep(0.01)


async def test_agents_use_the_same_door_with_the_token(lab: ShownLab, door: OpenDoor) -> None:
    async with client_of(door, token_of(lab)) as http:
        transport = streamable_http_client(f"{door.url}mcp", http_client=http)
        async with Client(transport) as agent:
            called = await agent.call_tool("cluster_list", {})
            assert called.structured_content is not None
            assert called.structured_content["result"][0]["cluster_name"] == CLUSTER


async def test_a_page_that_only_shows_does_nothing_and_neither_do_its_agents(lab: ShownLab) -> None:
    await lab.define()
    async with lab.door() as door, client_of(door, token_of(lab)) as client:
        answer = await client.post(f"/api/clusters/{CLUSTER}/actions/crash", json={"node": "alpha"})
        assert answer.status_code == 403
        async with Client(streamable_http_client(f"{door.url}mcp", http_client=client)) as agent:
            offered = {tool.name for tool in (await agent.list_tools()).tools}
        assert "cluster_status" in offered
        assert "node_crash" not in offered


@pytest.mark.parametrize(
    ("action", "said", "told"),
    [
        ("crash", {"node": "delta"}, "delta"),
        ("crash", {"node": ""}, "node"),
        ("crash", {"node": "alpha", "more": 1}, "more"),
        ("partition", {"groups": [["alpha"], ["alpha"]]}, "alpha"),
        ("partition", {"groups": [["alpha"], ["beta"]], "duration_s": -1}, "duration_s"),
        ("heal", {"fault": "partition-7"}, "partition-7"),
        ("snapshot", {"name": "../x"}, "../x"),
        ("start", [], "arguments"),
    ],
)
async def test_an_action_that_cannot_be_is_answered_with_the_reason(
    lab: ShownLab, door: OpenDoor, action: str, said: Any, told: str
) -> None:
    async with client_of(door, token_of(lab)) as client:
        answer = (await client.post(f"/api/clusters/{CLUSTER}/actions/{action}", json=said)).json()
        assert answer["result"] is None
        assert told in answer["error"]["message"]
        assert answer["error"]["code"] != "INTERNAL_ERROR"


async def test_an_action_continues_when_its_browser_has_gone(lab: ShownLab, door: OpenDoor) -> None:
    lab.boot.clear()
    async with client_of(door, token_of(lab)) as client:
        asked = asyncio.create_task(client.post(f"/api/clusters/{CLUSTER}/actions/crash", json={"node": "alpha"}))
        await eventually(lambda: getattr(lab.there.power["alpha"], "state", None) is PowerState.OFF)
        asked.cancel()
        lab.boot.set()
        await eventually(lambda: getattr(lab.there.power["alpha"], "state", None) is PowerState.RUNNING)


async def test_an_action_that_its_server_does_not_see_the_end_of_is_answered_with_that(lab: ShownLab) -> None:
    await lab.define()
    lab.boot.clear()
    async with lab.door(allow_actions=True) as door:
        client = client_of(door, token_of(lab))
        asked = asyncio.create_task(client.post(f"/api/clusters/{CLUSTER}/actions/crash", json={"node": "alpha"}))
        await eventually(lambda: getattr(lab.there.power["alpha"], "state", None) is PowerState.OFF)
    answer = await asked
    await client.aclose()
    assert answer.json()["error"]["code"] == "TIMEOUT"


async def test_the_page_that_is_served_is_found_until_it_ends(lab: ShownLab) -> None:
    state_dir = lab.runtime.settings.state_dir
    assert await asyncio.to_thread(entry_to_running, state_dir, "") is None
    async with lab.door() as door:
        found = await asyncio.to_thread(entry_to_running, state_dir, CLUSTER)
        assert found is not None
        assert found.startswith(f"{door.url}#code=")
        assert found.endswith(f"&cluster={CLUSTER}")
    assert await asyncio.to_thread(entry_to_running, state_dir, "") is None


async def test_only_the_loopback_interface_is_served(lab: ShownLab) -> None:
    door = opened_door(lab.runtime, HttpPlace("0.0.0.0", 0), lambda text, _: text, allow_actions=False)
    with pytest.raises(ConfigurationInvalid, match="loopback"):
        await door.__aenter__()
