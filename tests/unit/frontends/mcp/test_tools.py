"""What a client sees of the tools: the contract, section 5."""

from typing import Any

import pytest
from mcp import Client

from reconciler.frontends.mcp.cluster_server import ClusterServer

CONTRACT: dict[str, dict[str, Any]] = {
    "cluster_define": {"topology_name": None},  # since it takes a topology's text instead
    "cluster_start": {"cluster_name": ..., "wait_for_ssh": True, "ssh_timeout_s": 120},
    "cluster_stop": {"cluster_name": ..., "mode": "shutdown", "timeout_s": 60},
    "cluster_destroy": {"cluster_name": ..., "remove_overlays": False},
    "cluster_status": {"cluster_name": ...},
    "cluster_handle": {"cluster_name": ...},
    "node_crash": {
        "cluster_name": ...,
        "node": ...,
        "restart_after": True,
        "wait_for_ssh": True,
        "ssh_timeout_s": 120,
    },
    "node_exec": {"cluster_name": ..., "node_name": ..., "command": ..., "timeout_s": 30, "env": None},
    "node_exec_all": {"cluster_name": ..., "command": ..., "nodes": None, "require_all": True, "timeout_s": 30},
    "snapshot_create": {"cluster_name": ..., "snapshot_name": ..., "include_memory": False},
    "snapshot_list": {"cluster_name": ...},
    "snapshot_revert": {
        "cluster_name": ...,
        "snapshot_name": ...,
        "restart_after": True,
        "wait_for_ssh": True,
        "ssh_timeout_s": 120,
    },
    "snapshot_delete": {"cluster_name": ..., "snapshot_name": ...},
    "net_partition": {"cluster_name": ..., "partition_a": ..., "partition_b": ...},
    "net_impair": {
        "cluster_name": ...,
        "source_node": ...,
        "target_node": "all",
        "latency_ms": 0,
        "jitter_ms": 0,
        "loss_pct": 0,
        "corrupt_pct": 0,
        "reorder_pct": 0,
    },
    "net_heal": {"cluster_name": ..., "fault_handle": ...},
    "net_heal_all": {"cluster_name": ...},
    "net_fault_list": {"cluster_name": ...},
    "dmesg_mark": {"cluster_name": ..., "nodes": None},
    "dmesg_collect": {"cluster_name": ..., "nodes": None, "since_marker": None, "filter_level": "all"},
    "artifact_register": {"source_path": ..., "build_type": "raw_tree", "kernel_version": None, "metadata": None},
    "artifact_list": {},
    "artifact_diff": {"artifact_id_a": ..., "artifact_id_b": ...},
    "artifact_sync": {
        "cluster_name": ...,
        "artifact_id": ...,
        "nodes": "all",
        "force": False,
        "dest_base": "/opt/vmcluster/artifacts",
    },
    "artifact_install": {
        "cluster_name": ...,
        "artifact_id": ...,
        "nodes": "all",
        "install_mode": "modprobe_path",
        "dest_base": "/opt/vmcluster/artifacts",
    },
}
"""Parameters and defaults; an ellipsis stands for a required one."""

LONGEST_LIST_BYTES = 60_000

READ_ONLY = {
    "cluster_list",
    "cluster_plan",
    "cluster_status",
    "cluster_handle",
    "cluster_events",
    "cluster_history",
    "cluster_rollback_plan",
    "cluster_wait",
    "topology_list",
    "topology_show",
    "host_doctor",
    "job_status",
    "job_output",
    "snapshot_list",
    "snapshot_tree",
    "fault_explain",
    "fault_verify",
    "net_fault_list",
    "dmesg_collect",
    "node_console",
    "node_screenshot",
    "artifact_list",
    "artifact_diff",
    "host_list",
    "host_show",
    "image_list",
}
OPEN_WORLD = ("node_exec", "node_push", "job_start", "image_build", "image_pull")
FAULTS = {"net_partition", "net_impair", "net_heal", "net_heal_all"}
HARMLESS = (
    READ_ONLY
    | FAULTS
    | {
        "cluster_define",
        "cluster_start",
        "cluster_fork",
        "snapshot_create",
        "dmesg_mark",
        "image_build",
        "image_pull",
        "artifact_register",
        "artifact_sync",
    }
)
REPEATABLE = HARMLESS | {
    "cluster_adopt",
    "cluster_rollback",
    "topology_write",
    "job_stop",
    "cluster_apply",
    "cluster_stop",
    "cluster_destroy",
    "snapshot_delete",
    "artifact_remove",
    "node_pull",
    "artifact_install",
    "artifact_uninstall",
}


@pytest.fixture(scope="module")
async def tools() -> dict[str, Any]:
    async with Client(ClusterServer()) as client:
        return {tool.name: tool for tool in (await client.list_tools()).tools}


@pytest.mark.parametrize("name", CONTRACT)
async def test_a_tool_has_the_parameters_and_defaults_of_the_contract(name: str, tools: dict[str, Any]) -> None:
    schema = tools[name].input_schema
    required = set(schema.get("required", []))
    offered = {key: ... if key in required else prop.get("default") for key, prop in schema["properties"].items()}
    assert {key: offered[key] for key in CONTRACT[name]} == CONTRACT[name]
    assert all(default is not ... for key, default in offered.items() if key not in CONTRACT[name]), "ours are optional"
    assert required == {key for key, default in CONTRACT[name].items() if default is ...}


async def test_every_parameter_is_described(tools: dict[str, Any]) -> None:
    for tool in tools.values():
        assert all(parameter["description"] for parameter in tool.input_schema["properties"].values()), tool.name


async def test_every_parameter_of_time_says_its_unit(tools: dict[str, Any]) -> None:
    for tool in tools.values():
        for key, parameter in tool.input_schema["properties"].items():
            assert not key.endswith("_s") or "seconds" in parameter["description"].lower(), (tool.name, key)


async def test_every_tool_has_the_envelope_as_its_output_schema(tools: dict[str, Any]) -> None:
    for tool in tools.values():
        assert set(tool.output_schema["properties"]) == {"success", "result", "error"}


async def test_output_schemas_carry_no_words_of_which_the_list_of_tools_would_grow(tools: dict[str, Any]) -> None:
    assert not any("'description': '" in str(tool.output_schema) for tool in tools.values())
    assert sum(len(tool.model_dump_json(exclude_none=True)) for tool in tools.values()) < LONGEST_LIST_BYTES


async def test_annotations_say_what_a_tool_may_do_to_the_world(tools: dict[str, Any]) -> None:
    for name, tool in tools.items():
        hints = tool.annotations
        assert tool.title, name
        assert tool.description, name
        assert hints.read_only_hint is (name in READ_ONLY), name
        changes = name not in READ_ONLY
        assert hints.destructive_hint is ((name not in HARMLESS) if changes else None), name
        assert hints.idempotent_hint is ((name in REPEATABLE) if changes else None), name
        assert hints.open_world_hint is name.startswith(OPEN_WORLD), name


async def test_the_order_of_the_tools_is_always_the_same(tools: dict[str, Any]) -> None:
    async with Client(ClusterServer()) as client:
        again = [tool.name for tool in (await client.list_tools()).tools]
    assert again == list(tools)


async def test_the_instructions_name_only_tools_that_exist(tools: dict[str, Any]) -> None:
    async with Client(ClusterServer()) as client:
        words = (client.instructions or "").replace(",", " ").replace(";", " ").replace(".", " ").split()
    named = {
        word
        for word in words
        if word.startswith(("cluster_", "node_", "snapshot_", "net_", "artifact_")) and word.islower()
    }
    assert named
    assert named <= set(tools)
