"""Topologies over MCP: written, listed and shown; and sent as text with a call."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import TopologyInvalid
from reconciler.files.roots import EVERYWHERE
from reconciler.guest.keys import generate_client_key
from reconciler.settings import Settings
from reconciler.usecases.topologies import Topologies
from tests.unit.frontends.mcp.conftest import Agent

LAB = """\
cluster_name: lab
base_image: {image}
network: {{name: net-lab, bridge: vb-lab, subnet: 192.168.150.0/24, forward: isolated}}
nodes:
  - {{name: a, role: node, vcpus: {vcpus}, memory_mb: 512, ip: 192.168.150.10}}
"""


NODE = "- name: a\n    role: node\n    vcpus: 1\n    memory_mb: 512\n    ip: 192.168.150.10"


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


@pytest.fixture
def topologies(configuration: dict[str, str], tmp_path: Path) -> Topologies:
    """The topologies of the host, for what JSON cannot carry."""
    return Topologies(Settings(topology_dir=Path(configuration["VMCLUSTER_TOPOLOGY_DIR"])), EVERYWHERE)


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


async def test_a_name_with_a_suffix_is_the_same_topology(agent: Agent, configuration: dict[str, str]) -> None:
    directory = Path(configuration["VMCLUSTER_TOPOLOGY_DIR"])
    for name, file in (("new.yml", "new.yaml"), ("new.yaml", "new.yaml"), ("old.yaml", "old.yml"), ("old", "old.yml")):
        (directory / "old.yml").write_text(lab())
        written = (await agent.call("topology_write", topology=name, topology_yaml=lab()))["result"]
        assert (written["name"], written["file"]) == (name.partition(".")[0], str(directory / file))
        other = await error_of(agent, "topology_write", topology=name, topology_yaml=lab(vcpus=2))
        assert other["code"] == "CONFLICT"
    assert not (directory / "new.yml").exists()
    assert not (directory / "old.yaml").exists()


async def test_a_replaced_topology_stays_as_private_as_it_was(agent: Agent, configuration: dict[str, str]) -> None:
    file = Path(configuration["VMCLUSTER_TOPOLOGY_DIR"]) / "lab.yaml"
    file.write_text(lab())
    file.chmod(0o600)
    await agent.call("topology_write", topology="lab", topology_yaml=lab(vcpus=2), replace=True)
    assert content_and_mode(str(file)) == (lab(vcpus=2), 0o600)


async def test_what_is_no_topology_is_not_replaced(agent: Agent, configuration: dict[str, str], tmp_path: Path) -> None:
    directory = Path(configuration["VMCLUSTER_TOPOLOGY_DIR"])
    (directory / "notes.yaml").write_text("password: SECRET\n")
    (directory / "gone.yaml").symlink_to(tmp_path / "nothing")
    (directory / "dir.yaml").mkdir()
    for name in ("notes", "gone", "dir"):
        for replace in (False, True):
            error = await error_of(agent, "topology_write", topology=name, topology_yaml=lab(), replace=replace)
            assert (error["code"], "SECRET" in error["message"]) == ("CONFLICT", False), name
    assert (directory / "notes.yaml").read_text() == "password: SECRET\n"
    assert not (tmp_path / "nothing").exists()


async def test_of_two_writers_of_one_name_the_second_is_refused(agent: Agent) -> None:
    texts = [lab(vcpus=count) for count in range(1, 9)]
    calls = [agent.call("topology_write", topology="lab", topology_yaml=text) for text in texts]
    successes = [text for text, of in zip(texts, await asyncio.gather(*calls), strict=True) if of["success"]]
    assert [(await agent.call("topology_show", topology="lab"))["result"]["yaml"]] == successes


async def test_a_text_that_no_file_can_hold_is_a_problem_with_its_place(topologies: Topologies) -> None:
    with pytest.raises(TopologyInvalid, match="lab:1:"):
        await topologies.write("lab", "# \udc80\n" + lab())


async def test_every_path_in_a_text_is_held_to_the_reach_of_its_sender(agent: Agent, tmp_path: Path) -> None:
    image = "base_image: /var/lib/vmcluster/images/no-such-image.qcow2\n"
    link = tmp_path / "link"
    link.symlink_to("/etc")
    for field in (
        *("base_image: {}", "overlay_dir: {}", "ssh: {{key_path: {}}}", "boot: {{kernel: {}}}"),
        "boot: {{kernel: /var/lib/vmcluster/images/k, initrd: {}}}",
        *("node base_image: {}", "node boot: {{kernel: {}}}", "node extra_disks: [{{path: {}, existing: true}}]"),
        "node extra_disks: [{{path: {}, size_gb: 1}}]",
    ):
        for path in (
            "/etc/passwd",
            "/etc/no-such-file",
            f"{link}/passwd",
            "/var/lib/vmcluster/images/../../../../etc/x",
        ):
            line = field.format(path)
            text = lab() if not line.startswith("base_image") else lab().replace(image, "")
            text += f"    {line[5:]}\n" if line.startswith("node ") else f"{line}\n"
            if line.startswith("node "):
                text = text.replace("- {name: a, role: node, vcpus: 1, memory_mb: 512, ip: 192.168.150.10}", NODE)
            error = await error_of(agent, "topology_write", topology="lab", topology_yaml=text)
            assert error["code"] == "TOPOLOGY_INVALID", (line, error)
            assert "_roots" in error["message"], (line, error)


async def test_a_wrong_topology_or_name_writes_nothing(agent: Agent) -> None:
    error = await error_of(agent, "topology_write", topology="lab", topology_yaml=lab(vcpus="many"))
    assert error["code"] == "TOPOLOGY_INVALID"
    assert "lab:5:" in error["message"]
    for name in ("../lab", "a/b", ".hidden", "-", "a.yaml.yml", "a.yml.yaml", "a\n", "ä"):
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
    for after in (0, 2**64):
        assert (await agent.call("cluster_events", after=after))["result"] == []


async def test_a_wait_names_the_conditions_that_there_are(agent: Agent) -> None:
    error = await error_of(agent, "cluster_wait", cluster_name="lab", condition="Redy")
    assert (error["code"], "Ready" in error["message"]) == ("INVALID_ARGUMENT", True)


async def test_the_host_is_checked(agent: Agent) -> None:
    checks = (await agent.call("host_doctor"))["result"]["checks"]
    assert "failed" in {of["verdict"] for of in checks if "libvirt" in of["name"]}


@pytest.mark.parametrize("replaced", [False, True], ids=["new", "in place of the administrator's"])
async def test_what_a_client_wrote_stays_within_its_reach_if_links_appear_later(
    agent: Agent, configuration: dict[str, str], replaced: bool
) -> None:
    file = Path(configuration["VMCLUSTER_TOPOLOGY_DIR"]) / "lab.yaml"
    if replaced:
        file.write_text(lab())
    later = Path(configuration["VMCLUSTER_STATE_DIR"]) / "scratch" / "kernel"
    text = f"{lab()}boot: {{kernel: {later}}}\n"
    assert (await agent.call("topology_write", topology="lab", topology_yaml=text, replace=True))["success"]
    later.symlink_to("/etc/passwd")
    for tool in ("cluster_plan", "cluster_apply"):
        error = await error_of(agent, tool, topology="lab")
        assert (error["code"], "host_read_roots" in error["message"]) == ("TOPOLOGY_INVALID", True), error
    file.unlink()
    file.write_text(text)
    error = await error_of(agent, "cluster_plan", topology="lab")
    assert "not a bzImage" in error["message"], "the same text in a file of the administrator's may name it"
