"""What tools may name on the host: what the configuration opens, else the client's roots, else the project."""

from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.session import ClientRequestContext
from mcp_types import INTERNAL_ERROR, ErrorData, ListRootsResult, Root
from pydantic import FileUrl

from reconciler.frontends.mcp.cluster_server import ClusterServer
from reconciler.frontends.mcp.listed_tools import listed_tools
from reconciler.frontends.mcp.tools import TOOLS

from .conftest import Agent, agent_of

MODES = ["auto", "legacy"]


@pytest.fixture
def project(tmp_path: Path, configuration: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two projects with a build each; the server was started in the first."""
    for name in ("started-in", "other projéct"):
        (tmp_path / "home" / name / "build").mkdir(parents=True)
        (tmp_path / "home" / name / "build" / "module.ko").write_text(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VMCLUSTER_ARTIFACT_STORE_DIR", str(tmp_path / "trees"))
    monkeypatch.setenv("VMCLUSTER_ARTIFACT_REGISTRY", str(tmp_path / "registry.json"))
    monkeypatch.chdir(tmp_path / "home" / "started-in")
    return tmp_path / "home"


async def refusal(agent: Agent, path: Path) -> str | None:
    """Why a build may not be registered; None where it is."""
    envelope = await agent.call("artifact_register", source_path=str(path))
    if envelope["success"]:
        return None
    assert envelope["error"]["code"] == "INVALID_ARGUMENT"
    return str(envelope["error"]["message"])


def naming(*uris: str) -> Any:
    async def answer(_: ClientRequestContext) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri=FileUrl(uri)) for uri in uris])

    return answer


async def test_a_client_without_roots_reaches_its_servers_directory_and_scratch(project: Path) -> None:
    scratch = project.parent / "state" / "scratch"
    async with Client(ClusterServer(), cache=None) as client:
        agent = await agent_of(client)
        assert await refusal(agent, project / "started-in" / "build") is None
        said = await refusal(agent, project / "other projéct" / "build")
        assert said
        assert f"`host_read_roots` allows: {project / 'started-in'}, {scratch} (" in said
        (scratch / "build").mkdir()
        assert scratch.stat().st_mode & 0o777 == 0o700
        assert await refusal(agent, scratch / "build") is None


@pytest.mark.parametrize("mode", MODES)
async def test_the_roots_that_a_client_names_take_the_place_of_the_servers_directory(project: Path, mode: Any) -> None:
    callback = naming(
        f"{(project / 'other projéct').as_uri()}", "file:///", "file://elsewhere/etc", "file:///nothing/here"
    )
    async with Client(ClusterServer(), cache=None, mode=mode, list_roots_callback=callback) as client:
        agent = await agent_of(client)
        assert await refusal(agent, project / "other projéct" / "build") is None
        for place in (project / "started-in" / "build", Path("/etc")):
            assert f"allows: {project / 'other projéct'}, /nothing/here, " in str(await refusal(agent, place))


@pytest.mark.parametrize("mode", MODES)
async def test_what_the_configuration_opens_is_all(project: Path, mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMCLUSTER_HOST_READ_ROOTS", f"{project / 'other projéct'}:/nowhere")
    callback = naming((project / "started-in").as_uri())
    async with Client(ClusterServer(), cache=None, mode=mode, list_roots_callback=callback) as client:
        agent = await agent_of(client)
        assert await refusal(agent, project / "other projéct" / "build") is None
        said = await refusal(agent, project / "started-in" / "build")
        assert said
        assert f"`host_read_roots` allows: {project / 'other projéct'}, /nowhere (" in said


async def _refuse(_: ClientRequestContext) -> ErrorData:
    return ErrorData(code=INTERNAL_ERROR, message="not today")


async def test_a_client_that_does_not_say_its_roots_reaches_nothing(project: Path) -> None:
    refuse: Any = _refuse

    async with Client(ClusterServer(), cache=None, mode="legacy", list_roots_callback=refuse) as client:
        envelope = await (await agent_of(client)).call("artifact_register", source_path=str(project))
    assert envelope["error"]["code"] == "OPERATION_FAILED"
    assert (
        "the client declares roots but does not list them: not today (set `host_read_roots`"
        in envelope["error"]["message"]
    )


@pytest.mark.parametrize("place", ["home", "/"])
async def test_a_server_that_was_started_in_a_home_or_above_opens_none_of_it(
    project: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project if place == "home" else place)
    async with Client(ClusterServer(), cache=None) as client:
        said = await refusal(await agent_of(client), project / "started-in" / "build")
    assert said
    assert f"allows: {project.parent / 'state' / 'scratch'} (" in said


async def test_copies_are_held_to_their_own_roots(agent: Agent, project: Path) -> None:
    secret = project.parent / "secret"
    secret.write_text("secret")
    (project / "started-in" / "link").symlink_to(secret)
    for path in (secret, project / "started-in" / "link", Path("/etc/shadow")):
        pushed = await agent.call("node_push", cluster_name="lab", source_path=str(path), dest_path="/x")
        assert f"{path} is not below a directory that `host_read_roots` allows" in pushed["error"]["message"]
    (project / "started-in" / "out").symlink_to(project.parent)
    for path in (project.parent / "new", project / "started-in" / "out" / "new", Path("/etc/new/er/file")):
        pulled = await agent.call(
            "node_pull", cluster_name="lab", node_name="n", source_path="/etc/hostname", dest_path=str(path)
        )
        assert pulled["error"]["code"] == "INVALID_ARGUMENT"
        assert f"{path} is not below a directory that `host_write_roots` allows" in pulled["error"]["message"]
    inside = str(project / "started-in" / "new")
    pulled = await agent.call("node_pull", cluster_name="lab", node_name="n", source_path="/x", dest_path=inside)
    assert pulled["error"]["code"] == "CLUSTER_NOT_FOUND"


async def test_what_vmcluster_keeps_is_no_destination_but_scratch_is(
    agent: Agent, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMCLUSTER_HOST_WRITE_ROOTS", "/")
    for place, code in (
        ("overlays/lab/x", "INVALID"),
        ("topologies/lab.yaml", "INVALID"),
        ("state/records.sqlite", "INVALID"),
        ("state/scratch/x", "CLUST"),
    ):
        pulled = await agent.call(
            "node_pull", cluster_name="lab", node_name="n", source_path="/x", dest_path=str(project.parent / place)
        )
        assert pulled["error"]["code"].startswith(code), pulled
    assert list((project.parent / "state" / "scratch").iterdir()) == []


TOPOLOGY = """\
cluster_name: lab
base_image: {image}
overlay_dir: {overlays}
network: {{name: net, bridge: vb-lab, subnet: 192.168.77.0/24}}
boot: {{kernel: {kernel}}}
ssh: {{key_path: {key}}}
nodes:
  - {{name: n0, role: r, vcpus: 1, memory_mb: 256, ip: 192.168.77.10, extra_disks: [{{path: {disk}, existing: true}}]}}
"""


async def test_a_topology_may_name_any_image_of_the_host_but_no_existing_disk_outside_of_our_own(
    agent: Agent, project: Path
) -> None:
    path = project.parent / "topologies" / "lab.yaml"
    closed = project.parent / "closed"
    closed.mkdir()
    (closed / "disk").write_text("SECRET")
    names = ("image", "overlays", "kernel", "key", "disk")
    path.write_text(TOPOLOGY.format(**{name: closed / name for name in names}))
    said = (await agent.call("cluster_plan", topology="lab"))["error"]
    assert said["code"] == "TOPOLOGY_INVALID"
    assert (
        f"nodes[0].extra_disks[0].path: {closed / 'disk'} is not below a directory that `disk_roots` allows: "
        in (said["message"])
    )
    assert "base_image: cannot read the disk image" in said["message"]
    assert said["message"].count("is not below a directory") == 1
    made = path.read_text().replace("existing: true", "size_gb: 1")
    path.write_text(made)
    said = (await agent.call("cluster_plan", topology="lab"))["error"]
    assert "is not below a directory" not in said["message"]


async def test_a_topologys_paths_out_of_reach_are_named_with_their_setting_and_never_looked_at(
    agent: Agent, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMCLUSTER_HOST_READ_ROOTS", str(project / "started-in"))
    monkeypatch.setenv("VMCLUSTER_DISK_ROOTS", "/var/lib/vmcluster")
    path = project.parent / "topologies" / "lab.yaml"
    closed = project.parent / "closed"
    closed.mkdir()
    names = ("image", "overlays", "kernel", "key", "disk")
    (closed / "disk").write_text("SECRET")
    path.write_text(TOPOLOGY.format(**{name: closed / name for name in names}))
    said = (await agent.call("cluster_plan", topology="lab"))["error"]
    assert said["code"] == "TOPOLOGY_INVALID"
    problems = [line for line in said["message"].splitlines() if "is not below" in line]
    of = {line.split(": ")[1]: line for line in problems}
    for where, name, setting in (
        ("base_image", "image", "`host_read_roots` or `disk_roots`"),
        ("boot.kernel", "kernel", "`host_read_roots` or `disk_roots`"),
        ("overlay_dir", "overlays", "`disk_roots`"),
        ("ssh.key_path", "key", "`host_read_roots`"),
        ("nodes[0].extra_disks[0].path", "disk", "`disk_roots`"),
    ):
        assert f"{closed / name} is not below a directory that {setting} allows: " in of[where]
    path.write_text(TOPOLOGY.format(**{name: project / "started-in" / name for name in names}))
    there = (await agent.call("cluster_plan", topology="lab"))["error"]["message"]
    assert "base_image: cannot read the disk image" in there
    assert "extra_disks[0].path: " in there
    assert "`disk_roots` allows: " in there, "disks are not among a project's files"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "./lab", "lab\0", "a/../lab", "linked", ".."])
async def test_only_files_in_the_topology_directory_are_topologies_by_name(
    agent: Agent, project: Path, name: str
) -> None:
    (project.parent / "topologies" / "linked.yaml").symlink_to("/etc/passwd")
    (project / "started-in" / "lab.yaml").write_text("cluster_name: SECRET\n")
    for tool, argument in (
        ("cluster_define", "topology_name"),
        ("cluster_plan", "topology"),
        ("cluster_apply", "topology"),
    ):
        said = (await agent.call(tool, **{argument: name}))["error"]
        assert said["code"] == "TOPOLOGY_NOT_FOUND"
        assert "root:" not in said["message"]
    for name_here in ("lab", "lab.yaml"):
        said = (await agent.call("cluster_plan", topology=name_here))["error"]
        assert (said["code"], "SECRET" in said["message"]) == ("TOPOLOGY_NOT_FOUND", False)


def test_every_tool_that_names_files_of_the_host_is_held_to_the_clients_roots() -> None:
    schemas = {name: f"{tool.description} {tool.input_schema}" for name, tool in listed_tools().items()}
    naming = {name for name, said in schemas.items() if "server's host" in said or "topology_dir" in said}
    assert naming == {tool.function.__name__ for tool in TOOLS if tool.names_files}
    assert {"node_push", "node_pull", "artifact_register", "cluster_apply"} <= naming
