"""Long histories of snapshots of three real machines: exact each time, and nothing grows."""

import asyncio
import hashlib
import json
import subprocess
from pathlib import Path

from tests.integration.bed import SHARED_CLUSTER as CLUSTER
from tests.integration.bed import Bed, Session
from tests.integration.guests.conftest import NODES
from tests.integration.guests.test_snapshots import say
from tests.integration.snapshots.films import assert_nothing_is_left_over, chain_of, top_layers, write_block

CYCLES = 20
AWAKE_EACH = 5
"""A revert that brings memory back takes seconds; most cycles leave the machines off on their reverted disks."""

SOME_BLOCK = 1000
_WRITE_STATE = "head -c 300000 /dev/urandom > /root/state; date +%s%N >> /root/history; sync"
_DIGEST = "cat /root/state /root/history | sha256sum"


async def test_twenty_reverts_to_one_snapshot_are_exact_and_leave_nothing_behind(trio: Session, guest_bed: Bed) -> None:
    await say(trio, f"{_WRITE_STATE}; setsid sleep 100003 >/dev/null 2>&1 </dev/null & sleep 0.2")
    states = await say(trio, _DIGEST)
    await trio.snapshots.create(CLUSTER, "start", include_memory=True)
    frozen = await asyncio.to_thread(_digests_of, await _files_of(trio, "start"))
    lengths = set()
    for cycle in range(CYCLES):
        awake = cycle % AWAKE_EACH == AWAKE_EACH - 1
        await _change(trio)
        await trio.snapshots.revert(CLUSTER, "start", restart_after=awake, ssh_timeout_s=60)
        lengths |= {len(chain_of(top_layers(CLUSTER, node)["vda"])) for node in NODES}
        assert_nothing_is_left_over(guest_bed, CLUSTER)
        if awake:
            assert await say(trio, _DIGEST) == states
            assert await say(trio, "pgrep -c -f '^sleep 100003'") == dict.fromkeys(NODES, "1")
        else:
            assert not any(map(_holds_data, NODES))
    assert len(lengths) == 1
    assert await asyncio.to_thread(_digests_of, frozen) == frozen


async def test_in_a_tree_any_state_leads_to_any_other_and_outlives_the_deletion_of_the_rest(
    trio: Session, guest_bed: Bed
) -> None:
    states: dict[str, dict[str, str]] = {}
    for name, parent in (("a", None), ("b", None), ("c", "a")):
        if parent is not None:
            await trio.snapshots.revert(CLUSTER, parent, ssh_timeout_s=60)
            assert await say(trio, _DIGEST) == states[parent]
        await say(trio, _WRITE_STATE)
        states[name] = await say(trio, _DIGEST)
        await trio.snapshots.create(CLUSTER, name, include_memory=True)
    for name in "bcacab":  # with b to a before, each way between two of them
        await _revert_exactly(trio, name, states)
    for gone, left in (("a", "c"), ("b", "c")):
        now = await say(trio, _DIGEST)
        await trio.snapshots.delete(CLUSTER, gone)
        assert_nothing_is_left_over(guest_bed, CLUSTER)
        assert await say(trio, f"echo 3 > /proc/sys/vm/drop_caches; {_DIGEST}") == now
        await _revert_exactly(trio, left, states)


async def _revert_exactly(trio: Session, name: str, states: dict[str, dict[str, str]]) -> None:
    await trio.snapshots.revert(CLUSTER, name, ssh_timeout_s=60)
    assert await say(trio, f"echo 3 > /proc/sys/vm/drop_caches; {_DIGEST}") == states[name], name


async def _change(trio: Session) -> None:
    """What a guest writes, or, where it is off, what it would have written."""
    status = await trio.inspection.status(CLUSTER)
    if all(node.ssh_reachable for node in status.nodes):
        await say(trio, f"{_WRITE_STATE}; pkill -f '^sleep 100003'")
        return
    for node in NODES:
        write_block(CLUSTER, node, SOME_BLOCK, 7)


def _holds_data(node: str) -> bool:
    """Whether anything was written to the node's own layer since it was made."""
    command = ["qemu-img", "map", "--output=json", str(top_layers(CLUSTER, node)["vda"])]
    extents = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return any(extent["depth"] == 0 and extent["data"] for extent in extents)


async def _files_of(trio: Session, name: str) -> list[Path]:
    """Everything on disk that a snapshot is made of."""
    info = await trio.snapshots.info(CLUSTER, name)
    disks = [Path(disk.path) for node in info.per_node.values() for disk in node.disks.values()]
    return [*disks, *(Path(node.memory_path) for node in info.per_node.values() if node.memory_path)]


def _digests_of(files: list[Path] | dict[Path, str]) -> dict[Path, str]:
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
