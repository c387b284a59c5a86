"""SIGKILL at every action boundary of every verb, then once more: the same end, nothing left over, nothing lost.

The domains are started paused and never boot, so that a kill costs a fraction of a second. Each run is a
forked child with a runtime of its own: nothing is shared but the host and the store's file.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable

import libvirt
import pytest

from reconciler.model.record import StopMode
from reconciler.service import intent
from tests.integration.bed import Audit, Bed, Session, audit, host_libvirt

CLUSTER = "killed"
RANDOM_KILLS = 12
MOST_BOUNDARIES = 60

Verb = Callable[[Session], Awaitable[object]]


async def define(session: Session) -> None:
    await session.clusters.define(CLUSTER)


async def start(session: Session) -> None:
    await session.clusters.start(CLUSTER, paused=True)


async def stop(session: Session) -> None:
    await session.clusters.stop(CLUSTER, mode=StopMode.DESTROY)


async def destroy(session: Session) -> None:
    await session.clusters.destroy(CLUSTER, remove_overlays=True)


async def ask_for_power_cycle(session: Session) -> None:
    """Asked once, by a client that is not killed; carrying it out is what is interrupted."""
    record = await session.runtime.store.get(CLUSTER)
    assert record is not None
    cycled = intent.power_cycled(record, frozenset({"n0"}), StopMode.DESTROY)
    await session.runtime.store.put(cycled, expected_generation=record.generation, actor="test")


async def carry_out(session: Session) -> None:
    record = await session.runtime.store.get(CLUSTER)
    assert record is not None
    await session.runtime.controller.converge(record, timeout_s=30)


class Killer:
    """A checkpoint that ends its process, without a word, the `at`-th time it is reached."""

    def __init__(self, at: int) -> None:
        self._left = at

    def __call__(self, _name: str) -> None:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


def run_in_child(bed: Bed, verb: Verb, checkpoint: Callable[[str], None] | None = None) -> int:
    """Start the verb in a forked child and return its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        asyncio.run(_in_session(bed, verb, checkpoint))
        code = 0
    finally:
        os._exit(code)


async def _in_session(bed: Bed, verb: Verb, checkpoint: Callable[[str], None] | None) -> None:
    async with bed.runtime(checkpoint) as runtime:
        await verb(Session(runtime))


def wait_for(child: int) -> bool:
    """Whether the child came to its end by itself; a child that failed is a failed test."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0, "the verb failed"
    return True


def run(bed: Bed, *verbs: Verb) -> None:
    """Run verbs to their ends, each in a child of its own."""
    for verb in verbs:
        assert wait_for(run_in_child(bed, verb))


def domain_ids() -> dict[str, int]:
    """libvirt's running number of each active domain: a new one for each boot."""
    with host_libvirt() as handle:
        return {domain.name(): domain.ID() for domain in handle.listAllDomains() if domain.isActive()}


def paused_domains() -> set[str]:
    with host_libvirt() as handle:
        return {domain.name() for domain in handle.listAllDomains() if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED}


def kill_at_every_boundary(bed: Bed, prepare: list[Verb], verb: Verb, again: Verb, check: Callable[[], None]) -> int:
    """Kill `verb` at its first boundary, its second, … until it gets through; after each, `again` must mend it."""
    for boundary in range(MOST_BOUNDARIES):
        run(bed, *prepare)
        survived = wait_for(run_in_child(bed, verb, Killer(boundary)))
        run(bed, again)
        check()
        if survived:
            return boundary
    raise AssertionError(f"{verb} has more than {MOST_BOUNDARIES} boundaries")


@pytest.fixture
def expected(bed: Bed) -> Audit:
    """What an undisturbed define leaves."""
    bed.write_topology(CLUSTER)
    run(bed, define)
    found = audit(bed)
    run(bed, destroy)
    assert audit(bed).clean
    return found


def test_define_killed_at_every_boundary_ends_the_same(bed: Bed, expected: Audit) -> None:
    boundaries = kill_at_every_boundary(bed, [destroy_if_there], define, define, lambda: _same(bed, expected))
    assert boundaries >= 14


def test_start_killed_at_every_boundary_ends_the_same(bed: Bed, expected: Audit) -> None:
    def check() -> None:
        _same(bed, expected)
        assert paused_domains() == expected.domains

    assert kill_at_every_boundary(bed, [define, stop], start, start, check) >= 4


def test_stop_killed_at_every_boundary_ends_the_same(bed: Bed, expected: Audit) -> None:
    def check() -> None:
        _same(bed, expected)
        assert not audit(bed).active

    assert kill_at_every_boundary(bed, [define, start], stop, stop, check) >= 4


def test_destroy_killed_at_every_boundary_leaves_nothing(bed: Bed, expected: Audit) -> None:
    def check() -> None:
        assert audit(bed).clean

    assert expected.domains
    assert kill_at_every_boundary(bed, [define, start], destroy, destroy, check) >= 18


def test_a_power_cycle_killed_at_every_boundary_happens_once(bed: Bed, expected: Audit) -> None:
    run(bed, define, start)
    for boundary in range(MOST_BOUNDARIES):
        before = domain_ids()
        run(bed, ask_for_power_cycle)
        survived = wait_for(run_in_child(bed, carry_out, Killer(boundary)))
        run(bed, carry_out)
        run(bed, carry_out)
        after = domain_ids()
        assert after[f"{CLUSTER}.n1"] == before[f"{CLUSTER}.n1"]
        assert after[f"{CLUSTER}.n0"] == max(before.values()) + 1
        _same(bed, expected)
        if survived:
            assert boundary >= 4
            return
    raise AssertionError("never got through")


@pytest.mark.parametrize("seed", range(RANDOM_KILLS))
def test_a_whole_life_killed_at_random_moments_ends_the_same(bed: Bed, seed: int) -> None:
    """Kills between the boundaries, too: in the middle of an action, of a write, of a libvirt call."""
    chance = random.Random(seed)
    bed.write_topology(CLUSTER)
    for verb in (define, start, stop, start, destroy):
        child = run_in_child(bed, verb)
        time.sleep(chance.uniform(0.01, 0.35))
        _kill(child)
        run(bed, verb)
    assert audit(bed).clean


async def destroy_if_there(session: Session) -> None:
    if await session.runtime.store.get(CLUSTER) is not None:
        await session.clusters.destroy(CLUSTER, remove_overlays=True)


def _kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _same(bed: Bed, expected: Audit) -> None:
    found = audit(bed)
    consoles = {name for name in found.files if ".console.log" in name}
    assert found.domains == expected.domains
    assert found.networks == expected.networks
    assert found.bridges == expected.bridges
    assert found.files - consoles == expected.files
