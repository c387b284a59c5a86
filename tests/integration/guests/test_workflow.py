"""The acceptance path of the contract, as an agent walks it: every step a tool call, on machines that really run."""

from pathlib import Path

import pytest

from tests.guest_kernel.workshop import MODULE, Workshop
from tests.integration.bed import BASE_IMAGE, Bed
from tests.integration.bed import SHARED_CLUSTER as CLUSTER
from tests.integration.guests.conftest import NODES
from tests.integration.mcp.client import connected
from tests.unit.frontends.mcp.conftest import Agent
from tests.waiting import BOOT_TIMEOUT_S


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A module built for the guests' kernel."""
    shop = Workshop.opened(BASE_IMAGE.parent, tmp_path / MODULE)
    shop.build("first")
    return shop.tree


async def ask(agent: Agent, tool: str, **arguments: object) -> object:
    """The result of a call that must succeed."""
    answer = await agent.call(tool, cluster_name=CLUSTER, **arguments)
    assert answer["success"], (tool, answer["error"])
    return answer["result"]


async def run(agent: Agent, node: str, command: str) -> tuple[int, str]:
    answer = await ask(agent, "node_exec", node_name=node, command=command, timeout_s=60)
    assert isinstance(answer, dict)
    return answer["exit_code"], answer["stdout"].strip()


@pytest.mark.usefixtures("trio")
async def test_an_agent_walks_the_whole_way_from_a_build_to_a_verdict_and_back(guest_bed: Bed, tree: Path) -> None:
    first, second, third = NODES
    async with connected(guest_bed) as agent:
        assert (await agent.call("cluster_define", topology_name=CLUSTER))["success"]
        await ask(agent, "cluster_start", ssh_timeout_s=BOOT_TIMEOUT_S)
        artifact = (await agent.call("artifact_register", source_path=str(tree)))["result"]["artifact_id"]
        await ask(agent, "artifact_sync", artifact_id=artifact)
        await ask(agent, "artifact_install", artifact_id=artifact)
        await ask(agent, "snapshot_create", snapshot_name="installed", include_memory=True)
        handle = await ask(agent, "cluster_handle")
        assert isinstance(handle, dict)
        assert [node["name"] for node in handle["nodes"]] == list(NODES)
        assert handle["artifact_path"].endswith(artifact)

        marker = (await ask(agent, "dmesg_mark"))[first]  # type: ignore[index]
        await ask(agent, "net_partition", partition_a=[first], partition_b=[second, third])
        assert (await run(agent, first, f"ping -c1 -W2 {second}"))[0] != 0
        assert (await run(agent, second, f"ping -c1 -W5 {third}"))[0] == 0
        await ask(agent, "node_crash", node=third, ssh_timeout_s=BOOT_TIMEOUT_S)
        assert (await run(agent, third, f"ping -c1 -W2 {first}"))[0] != 0, "the cut outlives a crash"
        assert (await run(agent, second, f"modprobe {MODULE}; grep -c ^{MODULE} /proc/modules")) == (0, "1")
        logs = await ask(agent, "dmesg_collect", since_marker=marker)
        assert isinstance(logs, dict)
        assert any(MODULE in line["text"] for line in logs[second]["lines"])
        assert await ask(agent, "net_heal_all") == 1
        assert await ask(agent, "net_fault_list") == []
        assert (await run(agent, first, f"ping -c1 -W10 {second}"))[0] == 0

        await ask(agent, "snapshot_revert", snapshot_name="installed", ssh_timeout_s=BOOT_TIMEOUT_S)
        assert await run(agent, second, f"grep -c ^{MODULE} /proc/modules") == (1, "0")
        status = await ask(agent, "cluster_stop", mode="destroy")
        assert isinstance(status, dict)
        assert {node["domain_state"] for node in status["nodes"]} == {"shut off"}
