"""Snapshots of three real machines, with and without memory."""

import time

import pytest

from reconciler.act import snapshot_actions
from tests.integration.bed import SHARED_CLUSTER as CLUSTER
from tests.integration.bed import Session, host_libvirt
from tests.integration.guests.conftest import FRESH, NODES
from tests.waiting import BOOT_TIMEOUT_S, PATIENCE_S


async def say(session: Session, command: str) -> dict[str, str]:
    answer = await session.nodes.run_all(CLUSTER, command, timeout_s=60)
    return {node: result.stdout.strip() for node, result in answer.results.items()}


async def test_a_revert_with_memory_goes_on_where_the_snapshot_was(trio: Session) -> None:
    await say(trio, "echo before > /root/file; sync; setsid sleep 100001 >/dev/null 2>&1 </dev/null & sleep 0.2")
    boots = await say(trio, "cat /proc/sys/kernel/random/boot_id")
    info = await trio.snapshots.create(CLUSTER, "mem", include_memory=True)
    assert all(node.memory_path for node in info.per_node.values())
    await say(trio, "echo after > /root/file; sync; setsid sleep 100002 >/dev/null 2>&1 </dev/null & sleep 0.2")
    began = time.monotonic()
    status = await trio.snapshots.revert(CLUSTER, "mem", ssh_timeout_s=60)
    print(f"revert with memory: {time.monotonic() - began:.2f} s, paused {info.pause_s} s")
    assert all(node.ssh_reachable for node in status.nodes)
    assert await say(trio, "cat /root/file") == dict.fromkeys(NODES, "before")
    assert await say(trio, "pgrep -c -f '^sleep 100001'") == dict.fromkeys(NODES, "1")
    assert await say(trio, "pgrep -c -f '^sleep 100002'") == dict.fromkeys(NODES, "0")
    assert await say(trio, "cat /proc/sys/kernel/random/boot_id") == boots
    clocks = await say(trio, "date +%s")
    assert all(abs(int(clock) - time.time()) < 10 for clock in clocks.values())
    assert (await trio.clusters.plan(CLUSTER)).plan.converged


async def test_the_agent_of_a_guest_steps_its_clock(untouched_trio: Session) -> None:
    await say(untouched_trio, "date -s @1000000000")
    assert await untouched_trio.runtime.libvirt.snapshots.set_guest_time(CLUSTER, "n0")
    clocks = await say(untouched_trio, f"date +%s; date -s @{int(time.time())} >/dev/null")
    assert abs(int(clocks["n0"]) - time.time()) < PATIENCE_S
    assert int(clocks["n1"]) < 1000001000


@pytest.mark.parametrize("service", ["qemu-guest-agent", "ssh.socket ssh"])
async def test_a_revert_that_nobody_waits_for_sets_the_clock_whatever_is_dead_in_the_guest(
    trio: Session, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_actions, "_CLOCK_LOGIN_S", 0.01)  # no guest is that quick: then its agent is asked
    await say(trio, f"systemctl stop {service}; date -s @1000000000")
    await trio.snapshots.create(CLUSTER, "long-ago", include_memory=True)
    await trio.snapshots.revert(CLUSTER, "long-ago", wait=False)
    if service == "qemu-guest-agent":
        clocks = {node: int(said) for node, said in (await say(trio, "date +%s")).items()}
    else:
        clocks = guest_times()
    assert all(abs(clock - time.time()) < PATIENCE_S for clock in clocks.values()), clocks


def guest_times() -> dict[str, int]:
    """What the agents say that time it is."""
    with host_libvirt() as handle:
        return {node: handle.lookupByName(f"{CLUSTER}.{node}").getTime()["seconds"] for node in NODES}


async def test_after_a_revert_a_power_cut_boots_from_the_reverted_disk(trio: Session) -> None:
    await say(trio, "echo kept > /root/file; sync")
    await trio.snapshots.create(CLUSTER, "mem2", include_memory=True)
    await say(trio, "echo lost > /root/file; sync")
    await trio.snapshots.revert(CLUSTER, "mem2", ssh_timeout_s=60)
    await trio.clusters.crash(CLUSTER, "n0", ssh_timeout_s=BOOT_TIMEOUT_S)
    assert (await say(trio, "cat /root/file"))["n0"] == "kept"
    record = await trio.runtime.store.get(CLUSTER)
    assert record is not None
    with host_libvirt() as handle:
        layer = f".r{record.nodes['n0'].disk_revision}.0.qcow2"
        assert layer in handle.lookupByName(f"{CLUSTER}.n0").XMLDesc(2)


async def test_a_disk_snapshot_of_running_nodes_hardly_stops_them(trio: Session) -> None:
    info = await trio.snapshots.create(CLUSTER, "live")
    print(f"disk-only snapshot of a running cluster: paused {info.pause_s} s")
    assert all(node.memory_path is None for node in info.per_node.values())
    assert (await say(trio, "echo on"))["n1"] == "on"


async def test_a_disk_snapshot_is_booted_from_after_its_revert(trio: Session) -> None:
    await say(trio, "echo first > /root/file; sync")
    await trio.snapshots.create(CLUSTER, "disk", quiesce=True)
    await say(trio, "echo second > /root/file; sync")
    boots = await say(trio, "cat /proc/sys/kernel/random/boot_id")
    await trio.snapshots.revert(CLUSTER, "disk", ssh_timeout_s=BOOT_TIMEOUT_S)
    assert await say(trio, "cat /root/file") == dict.fromkeys(NODES, "first")
    after = await say(trio, "cat /proc/sys/kernel/random/boot_id")
    assert all(after[node] != boots[node] for node in NODES)


async def test_snapshots_are_deleted_under_running_nodes(trio: Session) -> None:
    await say(trio, "echo first > /root/file; sync")
    await trio.snapshots.create(CLUSTER, "one")
    await trio.snapshots.create(CLUSTER, "two", include_memory=True)
    for name in ("one", "two"):
        await trio.snapshots.delete(CLUSTER, name)
    assert [info.snapshot_name for info in await trio.snapshots.listing(CLUSTER)] == [FRESH]
    assert (await say(trio, "cat /root/file"))["n2"] == "first"
