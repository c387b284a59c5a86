"""The snapshot tools through a server process of its own, on a real libvirtd; nothing boots here."""

from typing import Any

from tests.integration.bed import Bed, audit
from tests.integration.mcp.client import connected


async def test_a_snapshot_is_taken_listed_reverted_to_and_deleted(bed: Bed) -> None:
    bed.write_topology("alpha")
    said: list[str] = []
    async with connected(bed) as agent:
        await agent.call("cluster_define", topology_name="alpha")
        created = await agent.watch(
            lambda _step, words: said.append(words), "snapshot_create", cluster_name="alpha", snapshot_name="base"
        )
        assert created["success"], created
        assert any(words.startswith("TakeSnapshot") for words in said)
        info = created["result"]
        assert (info["snapshot_name"], info["cluster_name"], info["include_memory"]) == ("base", "alpha", False)
        assert {node["node_name"]: node["power"] for node in info["per_node"].values()} == {"n0": "off", "n1": "off"}

        assert (await agent.call("snapshot_list", cluster_name="alpha"))["result"] == [info]
        reverted = (await agent.call("snapshot_revert", cluster_name="alpha", snapshot_name="base"))["result"]
        assert [node["domain_state"] for node in reverted["nodes"]] == ["shut off", "shut off"]
        status = (await agent.call("cluster_status", cluster_name="alpha", detail="full"))["result"]
        assert {of["type"]: of["status"] for of in status["conditions"]}["SnapshotsReady"] == "True"

        deleted = (await agent.call("snapshot_delete", cluster_name="alpha", snapshot_name="base"))["result"]
        assert all(node["deleted"] for node in deleted["per_node"].values())
        assert (await agent.call("snapshot_list", cluster_name="alpha"))["result"] == []
        assert (await agent.call("cluster_destroy", cluster_name="alpha", remove_overlays=True))["success"]
    assert audit(bed).clean


async def test_a_revert_names_the_faults_that_stay_and_ends_them_on_request(bed: Bed) -> None:
    bed.write_topology("alpha")
    async with connected(bed) as agent:
        await agent.call("cluster_define", topology_name="alpha")
        for name in ("base", "next"):
            assert (await agent.call("snapshot_create", cluster_name="alpha", snapshot_name=name))["success"]
        listed = (await agent.call("snapshot_list", cluster_name="alpha"))["result"]
        assert [of.get("parent") for of in listed] == [None, "base"]
        split = {"partition_a": ["n0"], "partition_b": ["n1"]}
        handle = (await agent.call("net_partition", cluster_name="alpha", **split))["result"]["handle_id"]
        kept = await agent.call("snapshot_revert", cluster_name="alpha", snapshot_name="base")
        assert kept["result"]["faults_in_force"] == [handle]
        assert kept["next"].startswith("net_heal_all(")
        healed = await agent.call("snapshot_revert", cluster_name="alpha", snapshot_name="base", heal=True)
        assert "faults_in_force" not in healed["result"]
        assert (await agent.call("net_fault_list", cluster_name="alpha"))["result"] == []
        deleted = (await agent.call("snapshot_delete", cluster_name="alpha", snapshot_name="next"))["result"]
        assert deleted["freed_bytes"] > 0
        gone = (await agent.call("cluster_destroy", cluster_name="alpha"))["result"]
        assert (gone["removed_nodes"], gone["disks_kept"]) == (["n0", "n1"], True)
        assert (await agent.call("cluster_destroy", cluster_name="alpha", remove_overlays=True))["success"]
    assert audit(bed).clean


async def test_snapshots_that_cannot_be_have_codes_of_their_own(bed: Bed) -> None:
    bed.write_topology("alpha", nodes=1)
    async with connected(bed) as agent:
        await agent.call("cluster_define", topology_name="alpha")
        assert (await agent.call("snapshot_create", cluster_name="alpha", snapshot_name="base"))["success"]

        async def code(tool: str, name: str) -> str:
            answer = await agent.call(tool, cluster_name="alpha", snapshot_name=name)
            return str(answer["error"]["code"])

        assert await code("snapshot_create", "base") == "SNAPSHOT_EXISTS"
        assert await code("snapshot_revert", "nope") == "SNAPSHOT_NOT_FOUND"
        assert await code("snapshot_delete", "nope") == "SNAPSHOT_NOT_FOUND"

        bed.write_topology("alpha", nodes=2)
        assert (await agent.call("cluster_define", topology_name="alpha"))["success"]
        assert await code("snapshot_revert", "base") == "REVERT_FAILED"


async def test_a_revert_without_a_restart_leaves_a_machine_that_ran_off(bed: Bed) -> None:
    """A machine this young answers no SSH, and need not: its disks and its power are what is looked at."""
    bed.write_topology("alpha", nodes=1)
    async with connected(bed) as agent:
        await agent.call("cluster_apply", topology="alpha", wait_for_ssh=False)
        created = (await agent.call("snapshot_create", cluster_name="alpha", snapshot_name="live"))["result"]
        assert created["pause_s"] > 0
        assert _powers(created) == {"running"}
        left_off = (
            await agent.call("snapshot_revert", cluster_name="alpha", snapshot_name="live", restart_after=False)
        )["result"]
        assert [node["domain_state"] for node in left_off["nodes"]] == ["shut off"]
        running = (await agent.call("snapshot_revert", cluster_name="alpha", snapshot_name="live", wait_for_ssh=False))[
            "result"
        ]
        assert [node["domain_state"] for node in running["nodes"]] == ["running"]
        assert (await agent.call("cluster_stop", cluster_name="alpha", mode="destroy"))["success"]


def _powers(info: dict[str, Any]) -> set[str]:
    return {node["power"] for node in info["per_node"].values()}
