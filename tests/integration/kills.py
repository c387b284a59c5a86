"""Kills our processes while they work, and checks what follows.

Each run is a forked child with its own runtime: it shares only the host and the store's file.
"""

import asyncio
import os
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import libvirt

from reconciler.host.libvirt import libvirt_events
from reconciler.model.choices import StopMode
from reconciler.model.record import ClusterRecord
from reconciler.records import record_changes
from tests.integration.bed import Bed, Session

MOST_BOUNDARIES = 60

Verb = Callable[[Session], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Verbs:
    """What is done to one cluster, by a process that may be killed at it."""

    cluster: str

    async def define(self, session: Session) -> None:
        await session.clusters.define(self.cluster)

    async def start(self, session: Session) -> None:
        await session.clusters.start(self.cluster, wait_for_ssh=False)

    async def start_paused(self, session: Session) -> None:
        await session.clusters.start(self.cluster, paused=True)

    async def stop(self, session: Session) -> None:
        await session.clusters.stop(self.cluster, mode=StopMode.DESTROY)

    async def destroy(self, session: Session) -> None:
        await session.clusters.destroy(self.cluster, remove_overlays=True)

    async def ask_for_power_cycle(self, session: Session) -> None:
        """Requested once, by a client that is not killed: what is interrupted is carrying it out."""
        record = await self._record(session)
        cycled = record_changes.power_cycled(record, frozenset({"n0"}), StopMode.DESTROY)
        await session.runtime.store.put(cycled, expected_generation=record.generation, actor="test")

    async def carry_out(self, session: Session) -> None:
        await session.runtime.controller.converge(await self._record(session), timeout_s=120)

    async def _record(self, session: Session) -> ClusterRecord:
        record = await session.runtime.store.get(self.cluster)
        assert record is not None
        return record


class Killer:
    """A checkpoint that kills its process without warning the `at`-th time it is reached."""

    def __init__(self, at: int) -> None:
        self._left = at

    def __call__(self, _name: str) -> None:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


def run_in_child(bed: Bed, verb: Verb, checkpoint: Callable[[str], None] | None = None) -> int:
    """Start the verb in a forked child and return its process id."""
    with libvirt_events_standing_still():
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        asyncio.run(_in_session(bed, verb, checkpoint))
        code = 0
    except Exception:
        traceback.print_exc()  # nothing else would report it
    finally:
        os._exit(code)


async def _in_session(bed: Bed, verb: Verb, checkpoint: Callable[[str], None] | None) -> None:
    async with bed.runtime(checkpoint) as runtime:
        await verb(Session(runtime))


@contextmanager
def libvirt_events_standing_still() -> Iterator[None]:
    """Keep libvirt's event loop, if an earlier test has started it in this process, out of libvirt's locks.

    A lock that its thread holds at a fork is held in the child forever, and every call of the child waits for it.
    """
    if not libvirt_events.runs_here():
        yield
        return
    reached, leave = threading.Event(), threading.Event()

    def stand_still(_timer: int, _opaque: None) -> None:
        reached.set()
        leave.wait()

    timer = libvirt.virEventAddTimeout(0, stand_still, None)
    reached.wait()
    try:
        yield
    finally:
        leave.set()
        libvirt.virEventRemoveTimeout(timer)


def wait_for(child: int) -> bool:
    """Wait for a child; returns whether it ended without being killed. A child that failed fails the test."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    if os.WEXITSTATUS(status) != 0:
        sys.stderr.write(look_of_libvirtd())
        raise AssertionError("the verb failed")
    return True


def look_of_libvirtd() -> str:
    """Where each thread of libvirtd and each of its children is in the kernel: evidence if it does not answer."""
    lines = []
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        for task in sorted(process.glob("task/*")):
            with suppress(OSError):
                name, place = (task / "comm").read_text().strip(), (task / "wchan").read_text()
                call = (task / "syscall").read_text().split()[:2]
                lines.append(f"{process.name}/{task.name} {name}: {place or '-'} {' '.join(call)}\n")
    return "".join(line for line in lines if "python" not in line)


def run(bed: Bed, *verbs: Verb) -> None:
    """Run verbs to completion, each in its own child."""
    for verb in verbs:
        assert wait_for(run_in_child(bed, verb))


def kill_at_every_boundary(bed: Bed, prepare: list[Verb], verb: Verb, again: Verb, check: Callable[[], None]) -> int:
    """Kill `verb` at its first boundary, its second, … until it completes; after each, `again` must repair it."""
    for boundary in range(MOST_BOUNDARIES):
        run(bed, *prepare)
        survived = wait_for(run_in_child(bed, verb, Killer(boundary)))
        run(bed, again)
        check()
        if survived:
            return boundary
    raise AssertionError(f"{verb} has more than {MOST_BOUNDARIES} boundaries")


def end(child: int) -> None:
    """Kill a child, wherever it is."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
