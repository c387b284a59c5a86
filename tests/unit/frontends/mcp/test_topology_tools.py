"""Topologies over MCP: written, listed and shown; and sent as text with a call."""

from pathlib import Path
from typing import Any

import pytest

from reconciler.guest.keys import generate_client_key
from tests.unit.frontends.mcp.conftest import Agent

LAB = """\
cluster_name: lab
base_image: {image}
network: {{name: net-lab, bridge: vb-lab, subnet: 192.168.150.0/24, forward: isolated}}
nodes:
  - {{name: a, role: node, vcpus: {vcpus}, memory_mb: 512, ip: 192.168.150.10}}
"""


def lab(image: str = "/var/lib/vmcluster/images/no-such-image.qcow2", vcpus: object = 1) -> str:
    return LAB.format(image=image, vcpus=vcpus)


def content_and_mode(file: str) -> tuple[str, int]:
    return Path(file).read_text(), Path(file).stat().st_mode & 0o777


@pytest.fixture(autouse=True)
def key(configuration: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The host has a key to log in with, so that topologies have no problem but their own."""
    path = Path(configuration["HOME"]) / "key"
    generate_client_key(path)
    monkeypatch.setenv("VMCLUSTER_SSH_KEY_PATH", str(path))


async def error_of(agent: Agent, tool: str, **arguments: Any) -> dict[str, Any]:
    envelope = await agent.call(tool, **arguments)
    assert not envelope["success"]
    error: dict[str, Any] = envelope["error"]
    return error


async def test_a_topology_that_was_written_is_listed_and_shown(agent: Agent, configuration: dict[str, str]) -> None:
    written = (await agent.call("topology_write", topology="lab", topology_yaml=lab()))["result"]
    assert written["file"] == f"{configuration['VMCLUSTER_TOPOLOGY_DIR']}/lab.yaml"
    assert content_and_mode(written["file"]) == (lab(), 0o644)
    assert (await agent.call("topology_show", topology="lab"))["result"] == written
    (listed,) = (await agent.call("topology_list"))["result"]
    assert (listed["name"], listed["valid"]) == ("lab", False)
    assert [of["path"] for of in written["problems"]] == ["base_image"]


async def test_another_text_replaces_a_topology_only_on_request(agent: Agent) -> None:
    for _ in range(2):
        assert (await agent.call("topology_write", topology="lab", topology_yaml=lab()))["success"]
    other = {"topology": "lab", "topology_yaml": lab(vcpus=2)}
    assert (await error_of(agent, "topology_write", **other))["code"] == "CONFLICT"
    assert (await agent.call("topology_show", topology="lab"))["result"]["yaml"] == lab()
    assert (await agent.call("topology_write", replace=True, **other))["result"]["yaml"] == lab(vcpus=2)


async def test_a_wrong_topology_or_name_writes_nothing(agent: Agent) -> None:
    error = await error_of(agent, "topology_write", topology="lab", topology_yaml=lab(vcpus="many"))
    assert error["code"] == "TOPOLOGY_INVALID"
    assert "lab:5:" in error["message"]
    for name in ("../lab", "a/b", ".hidden", "-"):
        error = await error_of(agent, "topology_write", topology=name, topology_yaml=lab())
        assert error["code"] == "INVALID_ARGUMENT", name
    assert (await agent.call("topology_list"))["result"] == []


async def test_a_text_reaches_only_the_files_that_its_sender_may_name(agent: Agent) -> None:
    told = set()
    for image in ("/etc/passwd", "/etc/no-such-file"):
        for tool in ("topology_write", "cluster_plan"):
            error = await error_of(agent, tool, topology="lab", topology_yaml=lab(image))
            told.add(error["message"].replace(image, "IMAGE"))
    assert len(told) == 1
    assert "host_read_roots" in told.pop()


async def test_a_file_that_is_no_topology_is_not_shown(agent: Agent, configuration: dict[str, str]) -> None:
    (Path(configuration["VMCLUSTER_TOPOLOGY_DIR"]) / "notes.yaml").write_text("password: SECRET\n")
    error = await error_of(agent, "topology_show", topology="notes")
    assert (error["code"], "SECRET" in error["message"]) == ("TOPOLOGY_NOT_FOUND", False)


async def test_a_topology_sent_with_a_call_is_checked_with_the_same_positions(agent: Agent) -> None:
    for tool, name in (
        ("cluster_plan", "topology"),
        ("cluster_define", "topology_name"),
        ("cluster_apply", "topology"),
    ):
        error = await error_of(agent, tool, **{name: "mine", "topology_yaml": lab(vcpus="many")})
        assert error["code"] == "TOPOLOGY_INVALID"
        assert "mine:5:" in error["message"]


async def test_the_past_of_a_cluster_that_never_existed_is_not_found(agent: Agent) -> None:
    for tool in ("cluster_history", "cluster_events", "cluster_wait", "cluster_rollback_plan", "cluster_rollback"):
        assert (await error_of(agent, tool, cluster_name="nobody"))["code"] == "CLUSTER_NOT_FOUND", tool
    assert (await agent.call("cluster_events"))["result"] == []


async def test_a_wait_names_the_conditions_that_there_are(agent: Agent) -> None:
    error = await error_of(agent, "cluster_wait", cluster_name="lab", condition="Redy")
    assert (error["code"], "Ready" in error["message"]) == ("INVALID_ARGUMENT", True)


async def test_the_host_is_checked(agent: Agent) -> None:
    checks = (await agent.call("host_doctor"))["result"]["checks"]
    assert "failed" in {of["verdict"] for of in checks if "libvirt" in of["name"]}
