"""Scripted solutions: what a careful person would call, no more. Each returns its answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.evals.world import BOOT_TIMEOUT_S, FRESH, NODES, Tools, World
from tests.guest_kernel.workshop import MODULE

Solution = Callable[[World, Tools], Awaitable[str]]

_PROVOKE = f"/sys/module/{MODULE}/parameters/provoke"
_POLL_S = 2.0


async def sick_cluster(world: World, tools: Tools) -> str:
    here = {"cluster_name": world.cluster}
    status = await tools.call("cluster_status", **here)
    sick = {node["name"]: node["domain_state"] for node in status["nodes"] if node["domain_state"] != "running"}
    crashed, paused = (next(of for of, state in sick.items() if state == word) for word in ("crashed", "paused"))
    plan = await tools.call("cluster_plan", topology=world.cluster)
    await tools.call("dmesg_collect", **here, nodes=[crashed], filter_level="err+")
    await tools.call("net_fault_list", **here)
    approvals = dict.fromkeys(plan["approvals"], True)
    await tools.call("cluster_apply", topology=world.cluster, **approvals, timeout_s=BOOT_TIMEOUT_S)
    await tools.call("net_heal_all", **here)
    await tools.call("cluster_status", **here)
    return f"{crashed}: its kernel had panicked\n{paused}: it was paused"


async def split_brain(world: World, tools: Tools) -> str:
    here = {"cluster_name": world.cluster}
    await tools.call("cluster_status", **here)
    await _until_followed(world, tools, {"n0"})
    fault = await tools.call("net_partition", **here, partition_a=["n0"], partition_b=["n1", "n2"])
    await tools.call("net_fault_list", **here)
    leaders = await _until_followed(world, tools, {"n0", "n1"})
    await tools.call("net_heal", **here, fault_handle=fault["handle_id"])
    await _until_followed(world, tools, {"n0"})
    await tools.call("node_exec_all", **here, command="cat /var/log/leader.log")
    return f"During the cut the leaders were {' and '.join(sorted(leaders))}"


async def regression(world: World, tools: Tools) -> str:
    here = {"cluster_name": world.cluster}
    artifacts = [
        (await tools.call("artifact_register", source_path=str(build)))["artifact_id"] for build in world.builds
    ]
    await tools.call("artifact_diff", artifact_id_a=artifacts[0], artifact_id_b=artifacts[-1])
    good, bad = 0, len(artifacts)  # the first build is taken to be good, as one before it would be
    while bad - good > 1:
        middle = (good + bad) // 2
        works = await _works(world, tools, artifacts[middle])
        good, bad = (middle, bad) if works else (good, middle)
        await tools.call("snapshot_revert", **here, snapshot_name=FRESH)
    await _deploy(world, tools, artifacts[good])
    await tools.call("node_exec_all", **here, command=f"modprobe {MODULE}", timeout_s=60)
    await tools.call("cluster_status", **here)
    return f"The first broken build is {bad + 1}"


async def clean_start(world: World, tools: Tools) -> str:
    here = {"cluster_name": world.cluster}
    await tools.call("snapshot_create", **here, snapshot_name="before", include_memory=True)
    await tools.call("node_exec_all", **here, command="touch /root/experiment && ls /root/experiment")
    await tools.call("snapshot_revert", **here, snapshot_name="before")
    await tools.call("node_exec_all", **here, command="ls /root")
    return "back to `before`"


async def slow_link(world: World, tools: Tools) -> str:
    link = {"source_node": "n0", "target_node": "n1", "rate_kbit": 1000, "duration_s": 600}
    fault = await tools.call("net_impair", cluster_name=world.cluster, **link)
    await tools.call("net_fault_list", cluster_name=world.cluster)
    return f"{fault['handle_id']} ends at {fault['expires_at']}"


async def one_fault_too_many(world: World, tools: Tools) -> str:
    faults = await tools.call("net_fault_list", cluster_name=world.cluster)
    (cut,) = (of["handle_id"] for of in faults if of["fault_type"] == "partition")
    await tools.call("net_heal", cluster_name=world.cluster, fault_handle=cut)
    await tools.call("node_exec", cluster_name=world.cluster, node_name="n1", command="ping -c1 -W10 n2")
    return f"{cut} was in the way"


async def long_job(world: World, tools: Tools) -> str:
    command = "for i in 1 2 3 4 5; do echo step $i; sleep 2; done; exit 3"
    job = await tools.call("job_start", cluster_name=world.cluster, node_name="n1", command=command)
    await asyncio.sleep(10)
    while job["state"] == "running":
        await asyncio.sleep(_POLL_S)
        (job,) = await tools.call("job_status", cluster_name=world.cluster)
    printed = await tools.call("job_output", cluster_name=world.cluster, job_id=job["job_id"])
    return f"It ended with {job['exit_code']}; its last line: {printed['output'].splitlines()[-1]}"


async def odd_node(world: World, tools: Tools) -> str:
    command = "cat /etc/service.conf"
    results = (await tools.call("node_exec_all", cluster_name=world.cluster, command=command))["results"]
    texts: dict[str, str] = {node: of["stdout"] for node, of in results.items()}
    common = max(texts.values(), key=list(texts.values()).count)
    (odd,) = (node for node, text in texts.items() if text != common)
    put = {"node_name": odd, "command": "cat >/etc/service.conf", "stdin": common}
    await tools.call("node_exec", cluster_name=world.cluster, **put)
    return odd


async def new_cluster(world: World, tools: Tools) -> str:
    text: str = (await tools.call("topology_show", topology=world.cluster))["yaml"]
    image = next(line for line in text.splitlines() if line.startswith("base_image:")).partition(": ")[2]
    topology = f"""\
cluster_name: extra
base_image: {image}
network: {{name: net-extra, bridge: vb-extra, subnet: 192.168.152.0/24, forward: isolated}}
nodes:
  - {{name: solo, role: node, vcpus: 1, memory_mb: 512, ip: 192.168.152.10}}
"""
    await tools.call("cluster_define", topology_yaml=topology)
    return image


async def clean_up(world: World, tools: Tools) -> str:
    here = {"cluster_name": world.cluster}
    freed = (await tools.call("snapshot_delete", **here, snapshot_name="old"))["freed_bytes"]
    await tools.call("net_heal_all", **here)
    for job in await tools.call("job_status", **here):
        await tools.call("job_stop", **here, job_id=job["job_id"])
    await tools.call("cluster_status", **here)
    return f"{freed} bytes"


SOLUTIONS: dict[str, Solution] = {
    of.__name__.replace("_", "-"): of
    for of in (
        *(sick_cluster, split_brain, regression, clean_start, slow_link, one_fault_too_many),
        *(long_job, odd_node, new_cluster, clean_up),
    )
}


async def _until_followed(world: World, tools: Tools, wanted: set[str]) -> set[str]:
    """Which leaders the nodes follow, as soon as it is these."""
    while True:
        answer = await tools.call("node_exec_all", cluster_name=world.cluster, command="cat /run/leader")
        followed = {of["stdout"].strip() for of in answer["results"].values()}
        if followed == wanted:
            return followed
        await asyncio.sleep(3 * _POLL_S)


async def _deploy(world: World, tools: Tools, artifact: str) -> None:
    await tools.call("artifact_sync", cluster_name=world.cluster, artifact_id=artifact)
    await tools.call("artifact_install", cluster_name=world.cluster, artifact_id=artifact)


async def _works(world: World, tools: Tools, artifact: str) -> bool:
    """Whether a build says that it was asked, on every node, and no kernel complains."""
    here = {"cluster_name": world.cluster}
    await _deploy(world, tools, artifact)
    marker = next(iter((await tools.call("dmesg_mark", **here)).values()))
    command = f"modprobe {MODULE} && echo say >{_PROVOKE}; sleep 3"
    await tools.call("node_exec_all", **here, command=command, timeout_s=60)
    logs: dict[str, Any] = await tools.call("dmesg_collect", **here, since_marker=marker)
    return all(_asked(logs[node]) for node in NODES)


def _asked(log: dict[str, Any]) -> bool:
    return not log["oops_detected"] and any("asked" in line["text"] for line in log["lines"])
