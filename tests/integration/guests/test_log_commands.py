"""Kernel logs, consoles and copies as people and agents use them: by command and by tool, on nodes that run."""

import asyncio
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests import outputs
from tests.integration.bed import SHARED_CLUSTER as CLUSTER
from tests.integration.bed import Bed, Session
from tests.integration.cli.conftest import COMMAND, DEADLINE_S
from tests.integration.guests.conftest import NODES
from tests.integration.mcp.client import connected


@asynccontextmanager
async def started(bed: Bed, *arguments: str) -> AsyncIterator[Process]:
    """A command that runs; it is interrupted at the end of the block."""
    process = await asyncio.create_subprocess_exec(*COMMAND, *arguments, env=bed.environment, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.communicate(), DEADLINE_S)


async def command(bed: Bed, *arguments: str) -> str:
    """What a command prints that succeeds."""
    async with started(bed, *arguments) as process:
        out, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == 0, out.decode() + err.decode()
    return out.decode()


async def data(bed: Bed, *arguments: str) -> Any:
    return outputs.read(arguments, 0, await command(bed, *arguments, "-o", "json"))


async def say(session: Session, node: str, line: str) -> None:
    answer = await session.nodes.run(CLUSTER, node, f"echo '{line}' >/dev/kmsg", timeout_s=30)
    assert answer.exit_code == 0, answer.stderr


async def told_of(session: Session, process: Process, start: str, text: str) -> None:
    """Wait until a command that follows n0 tells of what its kernel says again and again, in a line that starts so.

    On a busy host a login may stall for a while, and then the same is told from the console.
    """
    assert process.stdout is not None
    reading = asyncio.create_task(_read_line(process.stdout, start, text))
    for _ in range(DEADLINE_S):
        await say(session, "n0", f"<3>{text}")
        done, _ = await asyncio.wait({reading}, timeout=1)
        if done:
            break
    reading.result()


async def _read_line(stream: asyncio.StreamReader, start: str, text: str) -> None:
    line = ""
    while not (line.startswith(start) and line.endswith(f" {text}\n")):
        line = (await stream.readuntil()).decode()


async def test_a_marker_of_the_command_divides_what_it_collects_and_shows(
    untouched_trio: Session, guest_bed: Bed
) -> None:
    marker = (await command(guest_bed, "dmesg", "mark", CLUSTER)).strip()
    await say(untouched_trio, "n1", "<3>an error of n1")
    collected = await command(guest_bed, "dmesg", "collect", CLUSTER, "--since", marker, "--level", "err+")
    lines, _, table = collected.partition("\n\n")
    assert lines.startswith("n1 [")
    assert lines.endswith("] an error of n1")
    assert [row.split()[:4] for row in table.splitlines()[1:]] == [
        ["n0", "kmsg", "0", "0"],
        ["n1", "kmsg", "1", "0"],
        ["n2", "kmsg", "0", "0"],
    ]
    shown = await command(guest_bed, "console", CLUSTER, "n1", "--since", marker)
    assert shown.endswith("] an error of n1\n")


async def test_both_followers_tell_what_a_kernel_says(untouched_trio: Session, guest_bed: Bed) -> None:
    async with (
        started(guest_bed, "dmesg", "follow", CLUSTER, "--nodes", "n0") as kernel,
        started(guest_bed, "console", CLUSTER, "n0", "--tail", "1", "--follow") as console,
    ):
        await told_of(untouched_trio, kernel, "n0 [", "news of n0")
        await told_of(untouched_trio, console, "[", "news on the console")


async def test_the_commands_copy_to_all_nodes_and_back(untouched_trio: Session, guest_bed: Bed, tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)
    there, back = f"/run/{tmp_path.name}/tool", tmp_path / "back"
    pushed = await data(guest_bed, "push", CLUSTER, str(tmp_path / "tool"), there)
    assert {node: of["size_bytes"] for node, of in pushed["per_node"].items()} == dict.fromkeys(NODES, 10)
    table = await command(guest_bed, "pull", CLUSTER, "n2", there, str(back))
    assert table.splitlines()[1].split()[:5] == ["n2", "1", "0", "0", "10"]
    assert (back.read_text(), back.stat().st_mode & 0o777) == ("#!/bin/sh\n", 0o755)


async def test_an_agent_marks_collects_looks_and_copies(
    untouched_trio: Session, guest_bed: Bed, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_text("text")
    there = f"/run/{tmp_path.name}/tree"
    async with connected(guest_bed) as agent:

        async def result(tool: str, **arguments: Any) -> Any:
            answer = await agent.call(tool, cluster_name=CLUSTER, **arguments)
            assert answer["success"], answer["error"]
            return answer["result"]

        marker = (await result("dmesg_mark"))["n0"]
        await say(untouched_trio, "n0", "<3>for the agent")
        collected = await result("dmesg_collect", since_marker=marker)
        assert [line["text"] for line in collected["n0"]["lines"]] == ["for the agent"]
        assert [collected[node]["lines"] for node in ("n1", "n2")] == [[], []]
        shown = await result("node_console", node_name="n0", since_marker=marker)
        assert [line.partition("] ")[2] for line in shown["lines"]] == ["for the agent"]

        pushed = await result("node_push", source_path=str(tree), dest_path=there, nodes=["n0", "n1"])
        assert {node: (of["files"], of["directories"]) for node, of in pushed["per_node"].items()} == {
            "n0": (1, 2),
            "n1": (1, 2),
        }
        again = await agent.call(
            "node_push", cluster_name=CLUSTER, source_path=str(tree), dest_path=there, nodes=["n0"]
        )
        assert "a directory already exists there" in again["error"]["message"]
        await result("node_pull", node_name="n1", source_path=there, dest_path=str(tmp_path / "back"))
    assert (tmp_path / "back" / "sub" / "file").read_text() == "text"
