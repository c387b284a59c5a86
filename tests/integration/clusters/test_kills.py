"""SIGKILL at every action boundary of every verb, then once more: the same end, nothing left over, nothing lost.

The domains are started paused and never boot, so that a kill costs a fraction of a second. Each run is a
forked child with a runtime of its own: nothing is shared but the host and the store's file. The deletion of a
cluster is killed in `test_links.py`, where it has faults to heal as well.
"""

import random
import time

import libvirt
import pytest

from tests.integration.bed import Audit, Bed, Session, audit, host_libvirt
from tests.integration.kills import (
    MOST_BOUNDARIES,
    Killer,
    Verbs,
    end,
    kill_at_every_boundary,
    run,
    run_in_child,
    wait_for,
)

CLUSTER = "killed"
VERBS = Verbs(CLUSTER)
define, start, stop, destroy = VERBS.define, VERBS.start_paused, VERBS.stop, VERBS.destroy
ask_for_power_cycle, carry_out = VERBS.ask_for_power_cycle, VERBS.carry_out
RANDOM_KILLS = 6


def domain_ids() -> dict[str, int]:
    """libvirt's running number of each active domain: a new one for each boot."""
    with host_libvirt() as handle:
        return {domain.name(): domain.ID() for domain in handle.listAllDomains() if domain.isActive()}


def paused_domains() -> set[str]:
    with host_libvirt() as handle:
        return {domain.name() for domain in handle.listAllDomains() if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED}


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
        end(child)
        run(bed, verb)
    assert audit(bed).clean


async def destroy_if_there(session: Session) -> None:
    if await session.runtime.store.get(CLUSTER) is not None:
        await session.clusters.destroy(CLUSTER, remove_overlays=True)


def _same(bed: Bed, expected: Audit) -> None:
    found = audit(bed)
    consoles = {name for name in found.files if ".console.log" in name}
    assert found.domains == expected.domains
    assert found.networks == expected.networks
    assert found.bridges == expected.bridges
    assert found.files - consoles == expected.files
