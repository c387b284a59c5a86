"""One try of a task: its start, an agent at work through the relay, and what its checker says of the end."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.evals.checks import CHECKS
from tests.evals.measure import Measure
from tests.evals.solutions import SOLUTIONS
from tests.evals.start import take
from tests.evals.task import Task
from tests.evals.world import BOOT_TIMEOUT_S, FRESH, ROOT, Tools, World

Agent = Callable[[Task, World, Path], Awaitable[str]]
"""Works on a task through a server whose messages go to the record at that path; returns its answer."""


@dataclass(frozen=True)
class Outcome:
    """What became of a try; `problems` is empty if the task was solved."""

    task: Task
    answer: str
    problems: tuple[str, ...]
    measure: Measure

    def as_json(self) -> str:
        """For people and programs."""
        said = {"task": self.task.name, "solved": not self.problems, "problems": self.problems, "answer": self.answer}
        return json.dumps({**said, **self.measure.as_data()}, indent=2)


class SolvedAtStart(Exception):
    """The checker finds nothing wrong before anybody has done anything, so it measures nothing."""


async def attempt(task: Task, world: World, agent: Agent) -> Outcome:
    """Try a task on a cluster that is as after its boot. Raises `SolvedAtStart`."""
    record = world.directory / f"{task.name}.jsonl"
    record.write_text("")
    async with world.tools() as tools:
        await take(task.start, world, tools)
        try:
            if not await _problems(task, world, tools, ""):
                raise SolvedAtStart(task.name)
            answer = await agent(task, world, record)
            problems = await _problems(task, world, tools, answer)
        finally:
            await take(task.end, world, tools)
    with record.open() as lines:
        measure = Measure.of(lines)
    return Outcome(task, answer, tuple(problems), measure)


async def scripted(task: Task, world: World, record: Path) -> str:
    """The scripted solution as an agent."""
    async with world.tools(record) as tools:
        return await SOLUTIONS[task.name](world, tools)


def external(command: Sequence[str]) -> Agent:
    """A program as an agent: what it prints is its answer.

    `{goal}` and `{mcp_config}` in its arguments stand for the goal and a file with the server's command, in the form
    that most clients read; both are also in the environment, as EVAL_GOAL and EVAL_MCP_CONFIG.
    """

    async def work(task: Task, world: World, record: Path) -> str:
        told = {"goal": task.goal.format(**world.names).strip(), "mcp_config": str(write_config(world, record))}
        argv = [_with(word, told) for word in command]
        environment = {**os.environ, "EVAL_GOAL": told["goal"], "EVAL_MCP_CONFIG": told["mcp_config"]}
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=world.directory,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
        return printed.decode(errors="replace")

    return work


async def by_hand(task: Task, world: World, record: Path) -> str:
    """Somebody who connects a client of their own, and types the answer at the end."""
    print(
        task.goal.format(**world.names), f"MCP configuration: {write_config(world, record)}", sep="\n", file=sys.stderr
    )
    print("Type the answer, and a line with a full stop, when it is done:", file=sys.stderr)
    lines: list[str] = []
    while (line := await asyncio.to_thread(sys.stdin.readline)) not in ("", ".\n"):
        lines.append(line)
    return "".join(lines)


def write_config(world: World, record: Path) -> Path:
    """Write the configuration of a client: the recorded server, with all that it needs of this environment."""
    command, *arguments = world.recorded(record)
    wanted = {key: of for key, of in world.environment.items() if key.startswith("VMCLUSTER_")}
    environment = {**wanted, "PYTHONPATH": str(ROOT)}
    server = {"command": command, "args": arguments, "env": environment}
    path = world.directory / "mcp.json"
    path.write_text(json.dumps({"mcpServers": {"vmcluster": server}}, indent=2))
    return path


async def prepare(world: World) -> None:
    """Have the cluster run as after its boot: boot it from its topology the first time, and revert it after that."""
    async with world.tools() as tools:
        if not any(of["cluster_name"] == world.cluster for of in await tools.call("cluster_list")):
            await tools.call("cluster_define", topology_name=world.cluster)
            await tools.call("cluster_start", cluster_name=world.cluster, ssh_timeout_s=BOOT_TIMEOUT_S)
            await tools.call("snapshot_create", cluster_name=world.cluster, snapshot_name=FRESH, include_memory=True)
        await _rewind(world, tools)


async def _rewind(world: World, tools: Tools) -> None:
    here = {"cluster_name": world.cluster}
    await tools.call("net_heal_all", **here)
    await tools.call("snapshot_revert", **here, snapshot_name=FRESH, ssh_timeout_s=BOOT_TIMEOUT_S)
    for snapshot in await tools.call("snapshot_list", **here):
        if snapshot["snapshot_name"] != FRESH:
            await tools.call("snapshot_delete", **here, snapshot_name=snapshot["snapshot_name"])


async def _problems(task: Task, world: World, tools: Tools, answer: str) -> list[str]:
    return [problem async for problem in CHECKS[task.check](world, tools, answer)]


def _with(word: str, told: dict[str, str]) -> str:
    for name, stands_for in told.items():
        word = word.replace(f"{{{name}}}", stands_for)
    return word
