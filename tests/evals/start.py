"""Makes what a task begins with, through the tools and, for what they do not do, through the host's commands.

A step is one of `tool` (its other fields are the arguments; `cluster_name` is added), `host` (a shell command of this
host) and `until` (the domain states of nodes that are waited for).
"""

import asyncio
import subprocess
from collections.abc import Sequence
from typing import Any

from tests.evals.world import Tools, World
from tests.waiting import PATIENCE_S

_POLL_S = 0.5


async def take(steps: Sequence[dict[str, Any]], world: World, tools: Tools) -> None:
    """Take steps one after the other. Raises `Refused`, `CalledProcessError` and `TimeoutError`."""
    for step in steps:
        await _take(_filled(step, world.names), world, tools)


async def _take(step: dict[str, Any], world: World, tools: Tools) -> None:
    match step:
        case {"tool": tool, **arguments}:
            await tools.call(tool, **{"cluster_name": world.cluster, **arguments})
        case {"host": command}:
            await asyncio.to_thread(subprocess.run, ["sh", "-c", command], check=True, env=dict(world.environment))
        case {"until": states}:
            async with asyncio.timeout(PATIENCE_S):
                while not await _has(states, world, tools):
                    await asyncio.sleep(_POLL_S)
        case _:
            raise ValueError(f"no such step: {step}")


async def _has(states: dict[str, str], world: World, tools: Tools) -> bool:
    status = await tools.call("cluster_status", cluster_name=world.cluster)
    found = {node["name"]: node["domain_state"] for node in status["nodes"]}
    return all(found[node] == state for node, state in states.items())


def _filled(value: Any, names: dict[str, str]) -> Any:
    """A step with the world's names; other braces, as of shells, stay."""
    match value:
        case str():
            for name, stands_for in names.items():
                value = value.replace(f"{{{name}}}", stands_for)
            return value
        case list():
            return [_filled(of, names) for of in value]
        case dict():
            return {key: _filled(of, names) for key, of in value.items()}
        case _:
            return value
