"""A controller in a process of its own, to be killed and stopped: the real service above a simulated machine."""

import asyncio
import logging
import os
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from ipaddress import IPv4Address
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import structlog

from reconciler.act import runner
from reconciler.act.context import ActContext
from reconciler.act.outcome import Outcome
from reconciler.controller import looks, parts, retries, status_writer
from reconciler.controller import round as rounds
from reconciler.daemon import round_loop
from reconciler.daemon.service import Scope, Service
from reconciler.model.document import ClusterDocument
from reconciler.model.host import HostReport
from reconciler.model.plan import Action, Plan
from reconciler.model.record import ClusterRecord
from reconciler.model.status import HeldSnapshot
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.store.etcd import etcd_client, etcd_meeting, etcd_membership
from tests.simulation.machines import Machine, RemoteMachine, perform

TTL_S = 2
"""Of a host's lease; the other times are as much shorter than those that users have."""


@dataclass(frozen=True, slots=True)
class Post:
    """Where a controller serves."""

    host: str
    number: int
    store: str
    directory: Path
    machine: Path
    log: Path
    clock_s: float = 0.0
    """How far its clock is from the true time."""


def serve(post: Post) -> None:
    """Be the controller of a host until this process is killed."""
    os.setsid()
    _set_clock(post.clock_s)
    log = post.log.open("a")
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(log),
    )
    asyncio.run(_serve(post))


def _set_clock(ahead_s: float) -> None:
    """Let the program see another time of day, as after somebody has set the clock."""

    class Set(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(seconds=ahead_s)

    true_time_ns = time.time_ns
    time.time_ns = lambda: true_time_ns() + int(ahead_s * 1e9)
    for name, module in list(sys.modules.items()):
        if name.startswith("reconciler.") and getattr(module, "datetime", None) is datetime:
            module.datetime = Set  # type: ignore[attr-defined]


async def _serve(post: Post) -> None:
    machine = await RemoteMachine.connect(post.machine)
    _act_on(machine)
    settings = Settings(
        store=post.store,
        host_name=post.host,
        state_dir=post.directory,
        fault_registry=post.directory / "faults.json",
        libvirt_uri=f"qemu+unix:///system?socket={post.directory}/libvirt-sock",
    )
    async with Runtime(settings) as runtime:
        lease, host = runtime.lease("watch"), runtime.host_lease("watch")
        keeper = Service(runtime.store, runtime.rounds, lease, host, runtime.libvirt.connection, Scope(resync_s=1.0))
        reporting = asyncio.create_task(_report(runtime, post))
        try:
            await keeper.run(asyncio.Event())
        finally:
            reporting.cancel()


async def _report(runtime: Runtime, post: Post) -> None:
    report = HostReport(
        name=post.host,
        address=IPv4Address("10.0.0.1") + post.number,
        version="test",
        vcpus=8,
        memory_mb=65536,
        disk_bytes=2**40,
        disk_free_bytes=2**40,
        kvm_usable=False,
    )
    while True:
        try:
            await runtime.store.membership().enter()
            await runtime.store.put_host(report)
        except Exception as error:
            structlog.get_logger(__name__).warning("not_reported", cause=str(error))
        await asyncio.sleep(TTL_S)


def _act_on(machine: Machine) -> None:
    """Let this process look at, and act on, that machine only, with times as short as its lease."""

    async def observe(record: ClusterRecord, *_: object) -> ClusterDocument:
        return await machine.observe(record)

    async def carry_out(todo: Plan, context: ActContext) -> list[Outcome]:
        async def on_machine(action: Action, context: ActContext) -> None:
            await perform(action, context, machine)

        return await runner.carry_out(todo, context, on_machine)

    async def held(*_: object) -> tuple[HeldSnapshot, ...]:
        return await machine.held()

    async def possible(*_: object) -> list[str]:
        return []

    replaced: list[tuple[ModuleType, str, Any]] = [
        (looks, "observe_cluster", observe),
        (rounds, "carry_out", carry_out),
        (looks, "revert_obstacles", possible),
        (rounds, "bound_consoles", possible),
        (status_writer, "_held", held),
        (parts, "read_manifests", lambda *_: []),
        (etcd_membership, "TTL_S", TTL_S),
        (etcd_client, "ANSWER_S", TTL_S / 5),
        (etcd_client, "PATIENCE_S", TTL_S / 2),
        (etcd_meeting, "_ANSWER_S", TTL_S / 2),
        (runner, "PREPARED_S", 20.0),
        (retries, "LONGEST_DELAY_S", TTL_S),
        (round_loop, "LONGEST_DELAY_S", TTL_S),
    ]
    for module, name, value in replaced:
        assert hasattr(module, name), name
        setattr(module, name, value)
