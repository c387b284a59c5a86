"""Whether a task ended as its goal says: each checker looks at the world through the tools, and at the answer."""

import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.evals.world import FRESH, NODES, Tools, World
from tests.guest_kernel.workshop import MODULE

Checker = Callable[[World, Tools, str], AsyncIterator[str]]
"""Yields what is wrong, as sentences; nothing if the task is solved."""


async def repaired(world: World, tools: Tools, answer: str) -> AsyncIterator[str]:
    """All nodes run and hear each other, the paused one kept its memory, and the answer names both troubles."""
    async for problem in _healthy(world, tools):
        yield problem
    if await _on(world, tools, "n2", "ls /dev/shm") != "kept":
        yield "n2 has lost its memory"
    if not re.search(r"n1\b.*(panic|crash)", answer, re.IGNORECASE):
        yield "the answer does not say that n1 has panicked"
    if not re.search(r"n2\b.*(pause|suspend)", answer, re.IGNORECASE):
        yield "the answer does not say that n2 was paused"


async def one_leader(world: World, tools: Tools, answer: str) -> AsyncIterator[str]:
    """The logs show two leaders at the same time, and then one."""
    async for problem in _healthy(world, tools):
        yield problem
    logs = {node: await _on(world, tools, node, "cut -d' ' -f2 /var/log/leader.log") for node in NODES}
    if any(not re.search(r"n0\s(.*\s)?n1\s(.*\s)?n0$", logs[node], re.DOTALL) for node in ("n1", "n2")):
        yield f"n1 and n2 have not followed n0, n1 and n0 again: {logs}"
    if logs["n0"].split() != ["n0"]:
        yield f"n0 has followed another node: {logs['n0']}"
    if {"n0", "n1"} - set(re.findall(r"\bn[0-2]\b", answer)):
        yield "the answer does not name both leaders"


async def last_good_build(world: World, tools: Tools, answer: str) -> AsyncIterator[str]:
    """The third build is the broken one; the second is installed and loaded everywhere."""
    async for problem in _healthy(world, tools):
        yield problem
    artifacts = {of["source_path"]: of["artifact_id"] for of in await tools.call("artifact_list")}
    good = artifacts.get(str(world.builds[-2]))
    status = await tools.call("cluster_status", cluster_name=world.cluster)
    for node in status["nodes"]:
        if good is None or node["artifact_id_installed"] != good:
            yield f"{node['name']} has {node['artifact_id_installed']} installed, not {good}"
        if MODULE not in node["loaded_modules"]:
            yield f"{node['name']} has not loaded the module"
        elif await _on(world, tools, node["name"], f"cat /sys/module/{MODULE}/version") != "second":
            yield f"{node['name']} has loaded another build's module"
    if re.findall(r"\b[123]\b", answer)[-1:] != ["3"]:
        yield "the answer does not say that build 3 is the first broken one"


async def back_to_before(world: World, tools: Tools, answer: str) -> AsyncIterator[str]:
    """The snapshot has memory, was reverted to, and no node has the file."""
    async for problem in _healthy(world, tools):
        yield problem
    taken = {of["snapshot_name"]: of for of in await tools.call("snapshot_list", cluster_name=world.cluster)}
    if not taken.get("before", {}).get("include_memory"):
        yield "there is no snapshot `before` with memory"
    events = await tools.call("cluster_events", cluster_name=world.cluster)
    resumed = {of["node"] for of in events if of["subject"] == "ResumeMemory" and of["kind"] == "ActionDone"}
    if "before" in taken and resumed != set(NODES):
        yield "the nodes were not taken back to their memory"
    for node in NODES:
        if await _on(world, tools, node, "ls /root/experiment 2>/dev/null"):
            yield f"{node} still has the file"


async def one_slow_link(world: World, tools: Tools, answer: str) -> AsyncIterator[str]:
    """One fault with an end: 1000 kbit/s from n0 to n1."""
    faults = await tools.call("net_fault_list", cluster_name=world.cluster)
    if len(faults) != 1:
        yield f"there are {len(faults)} faults"
        return
    (fault,) = faults
    links = fault["parameters"]["observed"]
    if set(links) != {"n1"} or set(links["n1"]) != {"n0"} or links["n1"]["n0"].get("rate_kbit") != 1000:
        yield f"the links are not as they should be: {json.dumps(links)}"
    if not fault.get("expires_at"):
        yield "the fault never ends"


async def only_the_limit(world: World, tools: Tools, answer: str) -> AsyncIterator[str]:
    """The partition is gone, the rate limit is there."""
    faults = await tools.call("net_fault_list", cluster_name=world.cluster)
    if [of["fault_type"] for of in faults] != ["impairment"]:
        yield f"these faults are left: {[of['fault_type'] for of in faults]}"
    async for problem in _hear_each_other(world, tools):
        yield problem


async def job_ended(world: World, tools: Tools, answer: str) -> AsyncIterator[str]:
    """A job on n1 has ended with 3, and the answer says so."""
    jobs = await tools.call("job_status", cluster_name=world.cluster)
    if [(of["node"], of["state"], of.get("exit_code")) for of in jobs] != [("n1", "ended", 3)]:
        yield f"the jobs are {jobs}"
    if not ("step 5" in answer and re.search(r"\b3\b", answer.replace("step 3", ""))):
        yield "the answer has not its last line and exit code"


async def same_everywhere(world: World, tools: Tools, answer: str) -> AsyncIterator[str]:
    """All nodes have the content that most of them had."""
    for node in NODES:
        if (found := await _on(world, tools, node, "cat /etc/service.conf")) != "mode=fast\nlimit=10":
            yield f"{node} has {found!r}"
    if re.findall(r"\bn[0-2]\b", answer)[-1:] != ["n1"]:
        yield "the answer does not name n1"


async def defined_only(world: World, tools: Tools, answer: str) -> AsyncIterator[str]:
    """The new cluster is defined and off; the other runs."""
    async for problem in _healthy(world, tools):
        yield problem
    if "extra" not in {of["cluster_name"] for of in await tools.call("cluster_list")}:
        yield "there is no cluster `extra`"
        return
    (node,) = (await tools.call("cluster_status", cluster_name="extra"))["nodes"]
    if (node["name"], node["domain_state"], node["ip"]) != ("solo", "shut off", "192.168.152.10"):
        yield f"its node is {node}"
    if not re.search(r"/\S+\.qcow2", answer):
        yield "the answer does not name the image"


async def nothing_left(world: World, tools: Tools, answer: str) -> AsyncIterator[str]:
    """No snapshot `old`, no fault, no job that runs; the cluster is healthy."""
    async for problem in _healthy(world, tools):
        yield problem
    if "old" in {of["snapshot_name"] for of in await tools.call("snapshot_list", cluster_name=world.cluster)}:
        yield "the snapshot is still there"
    jobs = await tools.call("job_status", cluster_name=world.cluster)
    if any(of["state"] == "running" for of in jobs) or not jobs:
        yield f"the jobs are {jobs}"
    if not re.search(r"\d{6}", answer.replace(",", "").replace(".", "")):
        yield "the answer has no number of bytes"


CHECKS: dict[str, Checker] = {
    of.__name__: of
    for of in (
        *(repaired, one_leader, last_good_build, back_to_before, one_slow_link, only_the_limit),
        *(job_ended, same_everywhere, defined_only, nothing_left),
    )
}


async def _healthy(world: World, tools: Tools) -> AsyncIterator[str]:
    """What is wrong with the cluster as a whole."""
    status = await tools.call("cluster_status", cluster_name=world.cluster)
    for node in status["nodes"]:
        if node["domain_state"] != "running" or not node["ssh_reachable"]:
            yield f"{node['name']} is {node['domain_state']}, SSH {node['ssh_reachable']}"
    sick = [of for of in status.get("conditions", ()) if of["type"] == "KernelHealthy" and of["status"] == "False"]
    if sick:
        yield f"a kernel is not healthy: {sick[0]['message']}"
    if faults := await tools.call("net_fault_list", cluster_name=world.cluster):
        yield f"{len(faults)} network faults are left"
    elif all(node["ssh_reachable"] for node in status["nodes"]):
        async for problem in _hear_each_other(world, tools):
            yield problem
    if FRESH not in {of["snapshot_name"] for of in await tools.call("snapshot_list", cluster_name=world.cluster)}:
        yield f"the snapshot {FRESH!r} is gone"


async def _hear_each_other(world: World, tools: Tools) -> AsyncIterator[str]:
    for node in NODES:
        others = " ".join(of for of in NODES if of != node)
        deaf = f"for of in {others}; do ping -c2 -W5 -q $of >/dev/null || echo $of; done"
        if unheard := await _on(world, tools, node, deaf):
            yield f"{node} does not hear {unheard.split()}"


async def _on(world: World, tools: Tools, node: str, command: str) -> str:
    """What a command prints on a node; why it could not be run, if so."""
    said: dict[str, Any] = await tools.answer(
        "node_exec", cluster_name=world.cluster, node_name=node, command=command, timeout_s=60
    )
    return said["result"]["stdout"].strip() if said["success"] else f"({said['error']['code']})"
