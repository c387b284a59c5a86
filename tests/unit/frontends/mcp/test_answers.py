"""Every outcome is an answer in the envelope, and the server goes on working after each."""

import asyncio
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mcp import Client
from mcp_types import ImageContent, TextContent

from reconciler.model.results import ToolResult
from reconciler.model.screenshot import Screenshot
from reconciler.store.sqlite import SqliteStore
from tests.kvm_verdict import give_kvm_verdict
from tests.unit.frontends.mcp.conftest import Agent
from tests.unit.store.samples import sample_record

EMPTY = {"success": True, "result": [], "error": None, "next": "topology_list()"}


async def stored(configuration: dict[str, str]) -> None:
    """Put the cluster `lab` (nodes zeta and alpha, both off) into the store."""
    give_kvm_verdict(Path(configuration["VMCLUSTER_STATE_DIR"]))
    async with SqliteStore(Path(configuration["VMCLUSTER_STATE_DIR"])) as store:
        await store.put(sample_record(), expected_generation=0, actor="test")


async def test_an_empty_store_lists_no_cluster(agent: Agent) -> None:
    assert await agent.call("cluster_list") == EMPTY


async def test_clusters_are_listed_without_libvirt(agent: Agent, configuration: dict[str, str]) -> None:
    await stored(configuration)
    (summary,) = (await agent.call("cluster_list"))["result"]
    assert (summary["cluster_name"], summary["node_count"], summary["wanted_running"]) == ("lab", 2, 0)


@pytest.mark.parametrize(
    "tool", ["cluster_start", "cluster_stop", "cluster_destroy", "cluster_status", "cluster_handle"]
)
async def test_a_cluster_that_was_never_defined_is_not_found(tool: str, agent: Agent) -> None:
    error = (await agent.call(tool, cluster_name="No_Such"))["error"]
    assert error["code"] == "CLUSTER_NOT_FOUND"
    assert "No_Such" in error["message"]


async def test_a_cluster_that_was_never_defined_is_created_by_the_call_that_is_named(
    agent: Agent, configuration: dict[str, str]
) -> None:
    (Path(configuration["VMCLUSTER_TOPOLOGY_DIR"]) / "nope.yaml").touch()
    error = (await agent.call("cluster_start", cluster_name="nope"))["error"]
    assert '`cluster_apply(topology_name="nope")` creates it from the topology of that name' in error["message"]
    error = (await agent.call("cluster_start", cluster_name="other"))["error"]
    assert "`cluster_define` creates one from a topology; there are: " in error["message"]
    assert "nope" in error["message"]


@pytest.mark.parametrize("tool", ["snapshot_create", "snapshot_list", "snapshot_revert", "snapshot_delete"])
async def test_a_snapshot_of_a_cluster_that_was_never_defined_is_not_found(tool: str, agent: Agent) -> None:
    name = {} if tool == "snapshot_list" else {"snapshot_name": "base"}
    assert (await agent.call(tool, cluster_name="nope", **name))["error"]["code"] == "CLUSTER_NOT_FOUND"


async def test_what_cannot_be_a_snapshots_name_is_refused_before_the_host_is_asked(
    agent: Agent, configuration: dict[str, str]
) -> None:
    await stored(configuration)
    for tool in ("snapshot_create", "snapshot_revert", "snapshot_delete"):
        for name in ("../lab", "a/b", "", "-x", ".", "a" * 101, "a\n"):
            error = (await agent.call(tool, cluster_name="lab", snapshot_name=name))["error"]
            assert error["code"] == "INVALID_ARGUMENT", (tool, name)


async def test_snapshots_need_libvirt_but_their_list_does_not(agent: Agent, configuration: dict[str, str]) -> None:
    await stored(configuration)
    for tool in ("snapshot_create", "snapshot_revert", "snapshot_delete"):
        error = (await agent.call(tool, cluster_name="lab", snapshot_name="base"))["error"]
        assert (error["code"], error["recoverable"]) == ("LIBVIRT_UNAVAILABLE", True), tool
    assert (await agent.call("snapshot_list", cluster_name="lab"))["result"] == []


@pytest.mark.parametrize("tool", ["cluster_define", "cluster_apply", "cluster_plan"])
async def test_a_topology_that_is_nowhere_is_not_found(tool: str, agent: Agent) -> None:
    name = "topology_name" if tool == "cluster_define" else "topology"
    assert (await agent.call(tool, **{name: "nowhere"}))["error"]["code"] == "TOPOLOGY_NOT_FOUND"


@pytest.mark.parametrize("tool", ["cluster_define", "cluster_apply", "cluster_plan"])
async def test_no_topology_outside_its_directory_is_reached_by_any_name(
    tool: str, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (tmp_path / "secret.yaml", tmp_path / "secret.yml", tmp_path / "topologies" / "lab.yaml"):
        place.write_text("cluster_name: 7\n")
    monkeypatch.chdir(tmp_path)
    argument = "topology_name" if tool == "cluster_define" else "topology"
    names = ("secret.yaml", "secret.yml", "./secret.yaml", "../secret", f"{tmp_path}/secret.yaml", "~/secret.yaml")
    for name in (*names, "topologies/lab", "-", "/dev/stdin"):
        error = (await agent.call(tool, **{argument: name}))["error"]
        assert (error["code"], "it contains: lab" in error["message"]) == ("TOPOLOGY_NOT_FOUND", True), name
    for name in ("lab", "lab.yaml"):
        assert (await agent.call(tool, **{argument: name}))["error"]["code"] == "TOPOLOGY_INVALID"


async def test_a_node_that_the_cluster_does_not_have_is_not_found(agent: Agent, configuration: dict[str, str]) -> None:
    await stored(configuration)
    for tool, arguments in (
        ("node_crash", {"node": "beta"}),
        ("node_exec", {"node_name": "beta", "command": "true"}),
        ("node_exec_all", {"nodes": ["alpha", "beta"], "command": "true"}),
    ):
        error = (await agent.call(tool, cluster_name="lab", **arguments))["error"]
        assert error["code"] == "NODE_NOT_FOUND", tool
        assert "'beta'" in error["message"]


async def test_libvirt_away_is_an_answer_and_a_recoverable_one(agent: Agent, configuration: dict[str, str]) -> None:
    await stored(configuration)
    for _ in range(2):
        error = (await agent.call("cluster_status", cluster_name="lab"))["error"]
        assert (error["code"], error["recoverable"]) == ("LIBVIRT_UNAVAILABLE", True)
    assert (await agent.call("cluster_list"))["success"]


async def test_a_wrong_configuration_is_every_tools_answer_until_it_is_mended(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VMCLUSTER_LOG_LEVEL", "LOUD")
    for tool, arguments in (("cluster_list", {}), ("cluster_define", {"topology_name": "lab"})):
        error = (await agent.call(tool, **arguments))["error"]
        assert error["code"] == "CONFIGURATION_INVALID"
        assert "VMCLUSTER_LOG_LEVEL" in error["message"]
    assert "CONFIGURATION_INVALID" in capfd.readouterr().err
    monkeypatch.setenv("VMCLUSTER_LOG_LEVEL", "info")
    assert (await agent.call("cluster_list"))["success"]


async def test_many_first_calls_at_once_open_the_service_once(configuration: dict[str, str], agent: Agent) -> None:
    await stored(configuration)
    answers = await asyncio.gather(*(agent.call("cluster_list") for _ in range(8)))
    assert all(answer["success"] and len(answer["result"]) == 1 for answer in answers)


async def test_a_record_names_the_client_that_changed_it(agent: Agent, configuration: dict[str, str]) -> None:
    await stored(configuration)
    await agent.call("cluster_stop", cluster_name="lab", mode="destroy", timeout_s=0.1)
    async with SqliteStore(Path(configuration["VMCLUSTER_STATE_DIR"])) as store:
        actors = [entry.actor for entry in await store.history("lab")]
    assert actors == ["test", "mcp:mcp"]


async def test_a_handshake_of_the_older_revision_is_served_too(configuration: dict[str, str], agent: Agent) -> None:
    async with Client(agent.client.server, mode="legacy") as older:
        answer = await older.call_tool("cluster_list", {})
    assert answer.structured_content == EMPTY


async def test_a_relative_path_on_the_servers_host_is_refused(agent: Agent) -> None:
    paths = {"source_path": "/there", "dest_path": "here"}
    pulled = await agent.call("node_pull", cluster_name="lab", node_name="zeta", **paths)
    pushed = await agent.call("node_push", cluster_name="lab", source_path="here", dest_path="/there")
    for answer, argument in ((pulled, "dest_path"), (pushed, "source_path")):
        assert answer["error"]["code"] == "INVALID_ARGUMENT"
        assert f"{argument} 'here' must be absolute" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"jitter_ms": 5}, "`jitter_ms` has no effect without `latency_ms`"),
        ({"latency_correlation_pct": 5}, "`latency_correlation_pct` has no effect without `jitter_ms`"),
        ({}, "give `latency_ms`, `loss_pct`,"),
    ],
)
async def test_an_impairment_that_cannot_be_is_refused_in_the_words_of_its_tool(
    asked: dict[str, float], words: str, agent: Agent, configuration: dict[str, str]
) -> None:
    await stored(configuration)
    said = await agent.call("net_impair", cluster_name="lab", source_node="alpha", **asked)
    assert words in said["error"]["message"]


async def test_a_node_without_a_screen_is_told_which_key_gives_it_one(
    agent: Agent, configuration: dict[str, str]
) -> None:
    await stored(configuration)
    error = (await agent.call("node_screenshot", cluster_name="lab", node_name="alpha"))["error"]
    assert error["code"] == "INVALID_ARGUMENT"
    assert "`video: true`" in error["message"]
    assert (await agent.call("node_screenshot", cluster_name="lab", node_name="x"))["error"]["code"] == "NODE_NOT_FOUND"


def test_a_picture_is_an_image_beside_the_facts_about_it() -> None:
    from reconciler.frontends.mcp.callable_tools import protocol_result

    facts: dict[str, int] = {"width": 2, "height": 1, "screen_width": 4, "screen_height": 2, "size_bytes": 3}
    taken = Screenshot(node_name="a", taken_at=datetime.now(UTC), png=b"png", **facts)
    answer = protocol_result(ToolResult(success=True, result=taken), "node_screenshot", {})
    text, image = answer.content
    assert isinstance(text, TextContent)
    assert isinstance(image, ImageContent)
    assert (image.mime_type, b64decode(image.data)) == ("image/png", b"png")
    assert answer.structured_content is not None
    assert answer.structured_content["result"].items() >= facts.items()
    assert "png" not in answer.structured_content["result"]
