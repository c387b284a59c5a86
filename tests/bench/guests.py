"""Three real machines: start, status, commands, destroy."""

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from reconciler.guest.openssh import render_ssh_command, write_known_hosts
from reconciler.model.topology import StartMode
from tests.bench.figure import Figure, median_figure
from tests.integration.bed import Bed, Session, temporary_bed

CLUSTER = "bench"
FORK = "bench-fork"
NODES = ("n0", "n1", "n2")
ROUNDS = 15


async def measure() -> Sequence[Figure]:
    """All figures of one life of a cluster."""
    with temporary_bed() as bed:
        bed.write_topology(CLUSTER, nodes=len(NODES), boots=True, edit=_booted)
        async with bed.runtime() as runtime:
            return await _life(bed, Session(runtime))


def _booted(document: dict[str, Any]) -> None:
    document["start"] = StartMode.BOOT.value


async def _life(bed: Bed, session: Session) -> list[Figure]:
    await session.clusters.define(CLUSTER)
    start = await _timed(lambda: session.clusters.start(CLUSTER, ssh_timeout_s=300))
    await asyncio.sleep(20)  # what systemd still does after the first login is over
    figures = [
        Figure("boot 3 nodes until SSH answers", start, limit=50.0, baseline=70.0, reference="untrimmed image, noted"),
        *await _commands(bed, session),
        *await _snapshots(session, start),
    ]
    destroy = await _timed(lambda: session.clusters.destroy(CLUSTER))
    return [
        *figures,
        Figure("destroy 3 running nodes", destroy, limit=2.5, baseline=6.6, reference="best neighbour, noted"),
    ]


async def _commands(bed: Bed, session: Session) -> list[Figure]:
    """Commands beside OpenSSH's control master, interleaved, so that the machine's load affects both alike."""
    openssh = await _control_master(bed, session)
    one: list[float] = []
    master: list[float] = []
    every: list[float] = []
    slowest: list[float] = []  # of the three nodes in the same call: what is left is what we add
    status: list[float] = []
    for _ in range(ROUNDS):
        one.append(await _timed(lambda: session.nodes.run(CLUSTER, "n0", "true")))
        master.append(await _timed(lambda: _run(openssh)))
        began = time.perf_counter()
        answers = await session.nodes.run_all(CLUSTER, "true")
        every.append(time.perf_counter() - began)
        slowest.append(max(result.duration_s for result in answers.results.values()))
        status.append(await _timed(lambda: session.inspection.status(CLUSTER)))
    return [
        median_figure(
            "exec true on one node, warm", one, baseline=master, limit_ratio=1.0, reference="ssh over a control master"
        ),
        median_figure(
            "exec true on 3 nodes at once",
            every,
            baseline=slowest,
            limit_ratio=1.2,
            reference="the slowest of the three",
        ),
        median_figure(
            "status of 3 running nodes", status, baseline=every, limit_ratio=1.2, reference="exec true on all three"
        ),
    ]


async def _snapshots(session: Session, start_s: float) -> list[Figure]:
    """Snapshots of the running cluster, and going back to the one with memory, beside the cold start."""
    live = await session.snapshots.create(CLUSTER, "live")
    memory = await session.snapshots.create(CLUSTER, "memory", include_memory=True)
    reverts = [await _timed(lambda: session.snapshots.revert(CLUSTER, "memory")) for _ in range(3)]
    forks = [await _forked(session) for _ in range(3)]
    return [
        Figure("pause for a disk snapshot of 3 running nodes", live.pause_s, limit=0.1),
        Figure("pause for a snapshot with memory", memory.pause_s),
        median_figure(
            "revert with memory until SSH answers",
            reverts,
            limit=5.0,
            baseline=[start_s],
            limit_ratio=1 / 8,
            reference="boot in this run",
        ),
        median_figure(
            "fork 3 nodes with memory until exec answers",
            forks,
            limit=4.0,
            baseline=reverts,
            limit_ratio=1.5,
            reference="revert with memory",
        ),
    ]


async def _forked(session: Session) -> float:
    """How long a fork of the running cluster takes to its first command; it is removed again."""

    async def fork() -> None:
        await session.forks.make(CLUSTER, FORK, snapshot="memory")
        await session.nodes.run(FORK, "n0", "true")

    took = await _timed(fork)
    await session.clusters.destroy(FORK, remove_overlays=True)
    return took


async def _control_master(bed: Bed, session: Session) -> list[str]:
    """A master connection to n0 by the system's ssh, and the command that runs `true` over it."""
    address = await session.nodes.address(CLUSTER, "n0")
    known_hosts = bed.directory / "known_hosts"
    write_known_hosts(known_hosts, [address])
    options = ["-o", f"ControlPath={bed.directory}/master", "-o", "ControlPersist=yes"]
    command = render_ssh_command(address, known_hosts)
    command[1:1] = [*options, "-o", "ControlMaster=auto"]
    await _run([*command, "true"])
    return [*command, "true"]


async def _run(command: list[str]) -> None:
    await asyncio.to_thread(subprocess.run, command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began
