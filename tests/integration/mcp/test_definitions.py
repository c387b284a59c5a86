"""The tools on a real libvirtd; nothing boots here."""

from typing import Any

from tests.integration.bed import Bed, audit
from tests.integration.mcp.client import connected
from tests.lab.daemons import start_libvirtd, stop_libvirtd


def _more_memory(document: dict[str, Any]) -> None:
    document["nodes"][0]["memory_mb"] = 640


async def test_a_cluster_is_planned_defined_looked_at_and_destroyed(bed: Bed) -> None:
    bed.write_topology("alpha")
    async with connected(bed) as agent:
        planned = (await agent.call("cluster_plan", topology="alpha", start=False))["result"]
        assert {action["change"] for action in planned["actions"]} == {"create"}
        assert audit(bed).clean

        defined = (await agent.call("cluster_define", topology_name="alpha"))["result"]
        assert [node["domain_state"] for node in defined["nodes"]] == ["shut off", "shut off"]
        assert audit(bed).domains == {"alpha.n0", "alpha.n1"}

        again = (await agent.call("cluster_plan", topology="alpha", start=False))["result"]
        assert (again["converged"], again["actions"]) == (True, [])
        assert (await agent.call("cluster_status", cluster_name="alpha"))["result"]["network_active"]
        assert [of["cluster_name"] for of in (await agent.call("cluster_list"))["result"]] == ["alpha"]

        assert (await agent.call("cluster_destroy", cluster_name="alpha", remove_overlays=True))["success"]
    assert audit(bed).clean


async def test_what_needs_nodes_that_run_says_so(bed: Bed) -> None:
    bed.write_topology("alpha")
    async with connected(bed) as agent:
        await agent.call("cluster_define", topology_name="alpha")
        for tool, arguments in (
            ("cluster_handle", {}),
            ("node_exec", {"node_name": "n0", "command": "true", "timeout_s": 2}),
            ("node_exec_all", {"command": "true", "timeout_s": 2}),
        ):
            error = (await agent.call(tool, cluster_name="alpha", **arguments))["error"]
            assert error["code"] == "CLUSTER_NOT_RUNNING", tool
            assert "n0" in error["message"]


async def test_nodes_without_ssh_in_time_are_an_error_that_carries_the_status(bed: Bed) -> None:
    """A second is too short for any guest: the machines run, and that is what the answer says."""
    bed.write_topology("alpha", nodes=1)
    said: list[str] = []
    async with connected(bed) as agent:
        await agent.call("cluster_define", topology_name="alpha")
        started = await agent.watch(
            lambda _step, words: said.append(words), "cluster_start", cluster_name="alpha", ssh_timeout_s=1
        )
        assert started["error"]["code"] == "SSH_TIMEOUT"
        assert [node["domain_state"] for node in started["result"]["nodes"]] == ["running"]
        assert any("Start n0" in words for words in said)

        crashed = await agent.call("node_crash", cluster_name="alpha", node="n0", ssh_timeout_s=1)
        assert crashed["error"]["code"] == "SSH_TIMEOUT"
        assert (crashed["result"]["name"], crashed["result"]["domain_state"]) == ("n0", "running")

        off = await agent.call("node_crash", cluster_name="alpha", node="n0", restart_after=False)
        assert (off["success"], off["result"]["domain_state"]) == (True, "shut off")
        assert audit(bed).active == frozenset()


async def test_an_edit_that_restarts_nodes_needs_a_word(bed: Bed) -> None:
    bed.write_topology("alpha", nodes=1)
    async with connected(bed) as agent:
        await agent.call("cluster_apply", topology="alpha", wait_for_ssh=False)
        bed.write_topology("alpha", nodes=1, edit=_more_memory)
        refused = await agent.call("cluster_apply", topology="alpha", wait_for_ssh=False)
        assert refused["error"]["code"] == "APPROVAL_REQUIRED"
        assert (await agent.call("cluster_stop", cluster_name="alpha", mode="destroy"))["success"]
        shown = (await agent.call("cluster_plan", topology="alpha", start=False))["result"]["plan_hash"]
        stale = await agent.call("cluster_apply", topology="alpha", start=True, plan_hash=shown)
        assert (stale["error"]["code"], stale["error"]["recoverable"]) == ("CONFLICT", True)
        assert audit(bed).active == frozenset()
        assert (await agent.call("cluster_apply", topology="alpha", start=False, plan_hash=shown))["success"]


async def test_the_server_works_again_when_libvirt_is_back(bed: Bed) -> None:
    bed.write_topology("alpha", nodes=1)
    async with connected(bed) as agent:
        await agent.call("cluster_define", topology_name="alpha")
        stop_libvirtd()
        away = (await agent.call("cluster_status", cluster_name="alpha"))["error"]
        start_libvirtd()
        assert (away["code"], away["recoverable"]) == ("LIBVIRT_UNAVAILABLE", True)
        status = (await agent.call("cluster_status", cluster_name="alpha"))["result"]
        assert [node["domain_state"] for node in status["nodes"]] == ["shut off"]
