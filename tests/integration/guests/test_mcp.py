"""The workflow of an agent on guests that run: what the tools answer, and what a client hears meanwhile."""

import asyncio

import pytest

from tests.integration.bed import SHARED_CLUSTER as CLUSTER
from tests.integration.bed import Bed
from tests.integration.guests.conftest import NODES
from tests.integration.mcp.client import connected
from tests.waiting import BOOT_TIMEOUT_S, eventually

pytestmark = pytest.mark.usefixtures("untouched_trio")


async def test_commands_run_on_one_node_and_on_all(guest_bed: Bed) -> None:
    async with connected(guest_bed) as agent:
        status = (await agent.call("cluster_status", cluster_name=CLUSTER))["result"]
        assert all(node["ssh_reachable"] and node["loaded_modules"] for node in status["nodes"])

        one = await agent.call("node_exec", cluster_name=CLUSTER, node_name=NODES[0], command="hostname; exit 3")
        assert one["success"]
        assert (one["result"]["stdout"].strip(), one["result"]["exit_code"]) == (NODES[0], 3)

        for selection in (None, [], "all", ["all"], list(NODES)):
            every = await agent.call("node_exec_all", cluster_name=CLUSTER, command="hostname", nodes=selection)
            assert {node: of["stdout"].strip() for node, of in every["result"]["results"].items()} == dict(
                zip(NODES, NODES, strict=True)
            )


async def test_environment_and_input_reach_the_command(guest_bed: Bed) -> None:
    async with connected(guest_bed) as agent:
        answer = await agent.call(
            "node_exec",
            cluster_name=CLUSTER,
            node_name=NODES[0],
            command='echo "$WHO $(cat)"',
            env={"WHO": "a b"},
            stdin="ü",
        )
        assert answer["result"]["stdout"] == "a b ü\n"
        target = {"cluster_name": CLUSTER, "node_name": NODES[0], "command": "cat"}
        for text in ('{"a": [1, null]}', "null", "[]", "7", " x\r\n\0\u2028"):
            assert (await agent.call("node_exec", **target, stdin=text))["result"]["stdout"] == text


async def test_a_command_that_takes_too_long_is_a_result_that_says_so(guest_bed: Bed) -> None:
    async with connected(guest_bed) as agent:
        target = {"cluster_name": CLUSTER, "node_name": NODES[0]}
        await agent.call("node_exec", **target, command="true")  # a login may take longer than what is tested
        answer = await agent.call("node_exec", **target, command="sleep 30", timeout_s=1)
        assert (answer["success"], answer["result"]["timed_out"]) == (True, True)


@pytest.mark.usefixtures("trio")
async def test_a_crashed_node_comes_back_while_others_are_spoken_to(guest_bed: Bed) -> None:
    first, *_, last = NODES
    said: list[tuple[float, str]] = []
    async with connected(guest_bed) as agent:
        boot_id = {"node_name": first, "command": "cat /proc/sys/kernel/random/boot_id"}
        before = await agent.call("node_exec", cluster_name=CLUSTER, **boot_id)
        crash = asyncio.create_task(
            agent.watch(
                lambda step, words: said.append((step, words)),
                "node_crash",
                cluster_name=CLUSTER,
                node=first,
                ssh_timeout_s=BOOT_TIMEOUT_S,
            )
        )
        await eventually(lambda: bool(said))
        assert (await agent.call("node_exec", cluster_name=CLUSTER, node_name=last, command="true"))["success"]
        assert not crash.done()
        crashed = await crash
        assert crashed["success"], crashed["error"]
        assert (crashed["result"]["name"], crashed["result"]["ssh_reachable"]) == (first, True)
        after = await agent.call("node_exec", cluster_name=CLUSTER, **boot_id)
    assert before["result"]["stdout"] != after["result"]["stdout"]
    assert [step for step, _ in said] == [float(number) for number in range(1, len(said) + 1)]
    assert any("reachable over SSH" in words for _, words in said)
