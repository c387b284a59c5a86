"""The tools for network faults on a real firewall; nothing boots here."""

import json
import subprocess
from typing import Any

import pytest

from reconciler.host.features import NETEM, complaint_about
from reconciler.process import run
from tests.integration.bed import Bed
from tests.integration.mcp.client import connected
from tests.unit.frontends.mcp.conftest import Agent

CLUSTER = "alpha"


async def call(agent: Agent, tool: str, **arguments: Any) -> Any:
    """The result of a tool that succeeds."""
    envelope = await agent.call(tool, cluster_name=CLUSTER, **arguments)
    assert envelope["success"], envelope["error"]
    return envelope["result"]


async def refusal(agent: Agent, tool: str, **arguments: Any) -> dict[str, Any]:
    """The error of a tool that fails."""
    envelope = await agent.call(tool, cluster_name=CLUSTER, **arguments)
    assert envelope["result"] is None
    error: dict[str, Any] = envelope["error"]
    return error


def cuts() -> int:
    """How many pairs the firewall cuts, seen with other eyes than the product's."""
    shown = subprocess.run(["nft", "-j", "list", "ruleset", "bridge"], capture_output=True, check=True).stdout
    return sum(len(entry["set"].get("elem", [])) for entry in json.loads(shown)["nftables"] if "set" in entry)


async def test_faults_are_made_listed_and_healed(bed: Bed) -> None:
    bed.write_topology(CLUSTER, nodes=3)
    async with connected(bed) as agent:
        await agent.call("cluster_define", topology_name=CLUSTER)
        split = await call(agent, "net_partition", partition_a=["n0"], partition_b=["n1", "n2"])
        assert (split["fault_type"], split["affected_nodes"]) == ("partition", ["n0", "n1", "n2"])
        assert cuts() == 4
        slow = await call(agent, "net_impair", source_node="n1", target_node="n2", rate_kbit=1000)

        listed = await call(agent, "net_fault_list")
        assert [of["handle_id"] for of in listed] == [split["handle_id"], slow["handle_id"]]
        assert {key: listed[0][key] for key in split} == split, "the handle, and the parameters beside it"
        parameters = listed[0]["parameters"]
        assert (parameters["partition_a"], parameters["partition_b"]) == (["n0"], ["n1", "n2"])
        assert (parameters["applied"], parameters["observed"]["n0"]["n1"]) == (True, {"cut": True})
        assert listed[1]["parameters"]["rate_kbit"] == 1000
        assert listed[1]["parameters"]["applied"] is False, "its node is off"

        assert await call(agent, "net_heal", fault_handle=split["handle_id"]) is True
        assert await call(agent, "net_heal", fault_handle=split["handle_id"]) is True
        assert cuts() == 0
        await call(agent, "net_partition", partition_a=[], partition_b=[], shape="majorities-ring")
        assert cuts() == 3
        assert await call(agent, "net_heal_all") == 2
        assert (await call(agent, "net_heal_all"), await call(agent, "net_fault_list"), cuts()) == (0, [], 0)


async def test_what_cannot_be_is_refused_by_its_code_and_leaves_nothing(bed: Bed) -> None:
    bed.write_topology(CLUSTER, nodes=2)
    n0_from_n1 = {"partition_a": ["n0"], "partition_b": ["n1"]}
    async with connected(bed) as agent:
        unknown = await refusal(agent, "net_partition", **n0_from_n1)
        assert (unknown["code"], unknown["recoverable"]) == ("CLUSTER_NOT_FOUND", False)
        await agent.call("cluster_define", topology_name=CLUSTER)
        for code, tool, arguments in (
            ("FAULT_NOT_FOUND", "net_heal", {"fault_handle": "partition-7"}),
            ("NO_PARAMETERS", "net_impair", {"source_node": "n0"}),
            ("NODE_NOT_FOUND", "net_impair", {"source_node": "n9", "latency_ms": 10}),
            ("NODE_NOT_FOUND", "net_partition", {"partition_a": ["n0"], "partition_b": ["n9"]}),
            ("INVALID_ARGUMENT", "net_partition", {"partition_a": ["n0"], "partition_b": ["n0"]}),
            ("INVALID_ARGUMENT", "net_partition", {"partition_a": ["n0"], "partition_b": []}),
            ("INVALID_ARGUMENT", "net_partition", {**n0_from_n1, "shape": "halves"}),
            ("INVALID_ARGUMENT", "net_impair", {"source_node": "n0", "target_node": "n0", "latency_ms": 10}),
            ("INVALID_ARGUMENT", "net_impair", {"source_node": "n0", "jitter_ms": 10}),
            ("INVALID_ARGUMENT", "net_impair", {"source_node": "n0", "loss_pct": 500}),
        ):
            error = await refusal(agent, tool, **arguments)
            assert (error["code"], error["recoverable"]) == (code, False), (tool, arguments, error)
        assert (await refusal(agent, "net_impair", source_node="n9", latency_ms=10))["node"] == "n9"
        assert (await call(agent, "net_fault_list"), cuts()) == ([], 0)


async def test_what_the_kernel_lacks_is_refused_when_it_is_asked_for_and_not_when_a_node_starts(bed: Bed) -> None:
    if await complaint_about(NETEM, run) is None:
        pytest.skip("this kernel has netem")
    bed.write_topology(CLUSTER)
    async with connected(bed) as agent:
        await agent.call("cluster_define", topology_name=CLUSTER)
        error = await refusal(agent, "net_impair", source_node="n0", latency_ms=10)
        assert (error["code"], error["recoverable"]) == ("HOST_CAPABILITY_MISSING", True)
        assert all(words in error["message"] for words in ("sch_netem", "rate limits (`rate_kbit`) and partitions"))
        assert await call(agent, "net_fault_list") == []
