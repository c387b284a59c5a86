"""From spawning a process to its answer: the MCP server's list of tools, and `vmcluster doctor`."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from reconciler.host.virt_type.probe import MEMORY_FILE
from tests.bench import mcp_startup
from tests.bench.figure import Figure, median_figure

ROUNDS = 9
DOCTOR_ROUNDS = 5
DOCTOR_LIMIT_S = 3.0


async def measure() -> Sequence[Figure]:
    """The server beside a bare SDK server with as many tools; `doctor` without and with a remembered KVM verdict."""
    own, bare = await asyncio.to_thread(mcp_startup.medians, ROUNDS)
    name = "spawn to answered tools/list"
    clock = _beside_bare(name, own.clock_s, bare.clock_s)
    processor = _beside_bare(f"{name}, processor", own.processor_s, bare.processor_s)
    return [clock, processor, await asyncio.to_thread(_doctor)]


def _beside_bare(name: str, own_s: float, bare_s: float) -> Figure:
    limit = mcp_startup.LIMIT
    return Figure(name, own_s, samples=ROUNDS, baseline=bare_s, limit_ratio=limit, reference="bare SDK server")


def _doctor() -> Figure:
    cold, warm = [], []
    with tempfile.TemporaryDirectory() as state_dir:
        for _ in range(DOCTOR_ROUNDS):
            (Path(state_dir) / MEMORY_FILE).unlink(missing_ok=True)
            cold.append(_doctor_s(state_dir))
            warm.append(_doctor_s(state_dir))
    return median_figure("doctor, KVM tried", cold, limit=DOCTOR_LIMIT_S, baseline=warm, reference="verdict remembered")


def _doctor_s(state_dir: str) -> float:
    command = [str(Path(sys.executable).with_name("vmcluster")), "doctor"]
    began = time.monotonic()
    # The exit code is the host's health, which a lab's host may lack: no key, no image.
    subprocess.run(command, env={**os.environ, "VMCLUSTER_STATE_DIR": state_dir}, check=False, capture_output=True)
    return time.monotonic() - began
