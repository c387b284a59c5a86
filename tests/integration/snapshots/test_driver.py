"""Snapshots of one machine on a real libvirtd: disks are exact, definitions agree, and nothing of others is touched."""

import asyncio
import os
import re
import signal
import time
from pathlib import Path

import libvirt
import pytest

from reconciler.errors import Conflict, OperationFailed
from reconciler.files.marked_files import second_name
from reconciler.files.ownership import OwnedKind, read_mark
from reconciler.host.disks.chain_check import verify_chains
from reconciler.host.disks.image_file import read_image_facts
from reconciler.host.disks.offline_flatten import flatten_offline
from reconciler.host.libvirt.guest_agent import FREEZE_TIMEOUT_S
from reconciler.host.libvirt.memory_file import MEMORY_MODE, memory_was_taken, partial_path, publish_memory
from reconciler.model.document import BackingFile, Layer
from reconciler.model.plan import Epochs
from tests.integration.bed import host_libvirt
from tests.integration.snapshots.conftest import CLUSTER, NODE, Machine, digest, traces, with_layers
from tests.lab.daemons import start_libvirtd, stop_libvirtd

PAUSED = libvirt.VIR_DOMAIN_PAUSED
RUNNING = libvirt.VIR_DOMAIN_RUNNING


async def switch(machine: Machine, depth: int, memory: Path | None = None) -> dict[str, Path]:
    layers = await machine.make_layers_on_top(depth=depth)
    await machine.snapshots.switch_disks(CLUSTER, NODE, layers, memory=memory)
    return layers


async def snapshot_with_memory(machine: Machine) -> Path:
    """Take one of a paused machine; the machine then runs on layers of depth 1."""
    memory = machine.overlay_dir / CLUSTER / "memory.test"
    await switch(machine, 1, memory)
    await machine.resume()
    publish_memory(memory, cluster=CLUSTER)
    return memory


def disk_paths(machine: Machine, *, live: bool) -> dict[str, Path]:
    disks = machine.domain(live=live).disks
    return {target: disks[target].path for target in machine.targets}


@pytest.mark.parametrize("paused", [True, False])
async def test_a_switch_freezes_the_layers_and_both_definitions_name_the_new_ones(
    machine: Machine, paused: bool
) -> None:
    image = traces(machine.base)
    await machine.start(paused=paused)
    machine.write("vda", 2, 3)
    frozen, before = disk_paths(machine, live=True), machine.expected()
    layers = await switch(machine, 1)
    assert machine.state()[0] == (PAUSED if paused else RUNNING)
    assert disk_paths(machine, live=True) == disk_paths(machine, live=False) == layers
    assert machine.domain(live=True).disks == machine.domain().disks
    machine.write("vda", 2, 4)
    machine.write("vdb", 5, 4)
    assert machine.digests() == machine.expected() != before
    assert {target: digest(path) for target, path in frozen.items()} == before
    with host_libvirt() as handle:
        assert handle.lookupByName(f"{CLUSTER}.{NODE}").snapshotNum() == 0
    await machine.cut_power()
    await machine.start()
    assert machine.digests() == machine.expected()
    assert traces(machine.base) == image


async def test_a_repeated_switch_is_a_success_also_after_libvirtd_was_killed(machine: Machine) -> None:
    await machine.start(paused=True)
    layers = await switch(machine, 1)
    machine.write("vda", 3, 5)
    await machine.snapshots.switch_disks(CLUSTER, NODE, layers)
    stop_libvirtd(signal.SIGKILL)
    start_libvirtd()
    await machine.snapshots.switch_disks(CLUSTER, NODE, layers)
    assert disk_paths(machine, live=True) == disk_paths(machine, live=False) == layers
    assert machine.digests() == machine.expected()


async def test_a_layer_for_another_file_is_refused_and_nothing_is_switched(machine: Machine) -> None:
    layers = await machine.make_layers_on_top(depth=1)
    other = machine.overlay_dir / CLUSTER / f"{NODE}.vda.r0.7.qcow2"
    layer = Layer(node=NODE, disk="vda", size_bytes=8 << 20, backing=machine.base, backing_format="qcow2")
    await machine.layers.create_layer(other, layer, cluster=CLUSTER)
    await machine.start(paused=True)
    before = disk_paths(machine, live=True)
    with pytest.raises(Conflict, match="stands on"):
        await machine.snapshots.switch_disks(CLUSTER, NODE, {**layers, "vda": other})
    assert disk_paths(machine, live=True) == before


async def test_a_persistent_definition_that_named_other_files_follows_the_live_one(machine: Machine) -> None:
    await machine.start(paused=True)
    domain = machine.domain()
    aside = with_layers(domain, await machine.make_layers(revision=9, disks={"vda": domain.disks["vda"]}))
    layers = await machine.make_layers_on_top(depth=1)
    await machine.define(aside)
    await machine.snapshots.switch_disks(CLUSTER, NODE, layers)
    assert machine.domain().disks == with_layers(domain, layers).disks == machine.domain(live=True).disks


async def test_memory_leaves_a_marked_private_file_and_a_paused_machine(machine: Machine) -> None:
    memory = machine.overlay_dir / CLUSTER / "memory.test"
    await machine.start(paused=True)
    layers = await switch(machine, 1, memory)
    assert machine.state()[0] == PAUSED
    assert disk_paths(machine, live=True) == disk_paths(machine, live=False) == layers
    assert memory_was_taken(memory)
    assert not memory.exists()
    await machine.snapshots.switch_disks(CLUSTER, NODE, layers, memory=memory)
    for _ in range(2):
        publish_memory(memory, cluster=CLUSTER)
        facts, mark = memory.stat(), read_mark(memory)
        assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o7777) == (os.getuid(), os.getgid(), MEMORY_MODE)
        assert mark is not None
        assert (mark.cluster, mark.node, mark.kind) == (CLUSTER, NODE, OwnedKind.MEMORY)
        assert not partial_path(memory).exists()
    await machine.snapshots.switch_disks(CLUSTER, NODE, layers, memory=memory)


async def test_memory_of_a_running_machine_is_refused_and_nothing_is_switched(machine: Machine) -> None:
    memory = machine.overlay_dir / CLUSTER / "memory.test"
    await machine.start()
    before = disk_paths(machine, live=True)
    with pytest.raises(OperationFailed, match="but it is running"):
        await switch(machine, 1, memory)
    assert disk_paths(machine, live=True) == before
    assert not partial_path(memory).exists()


async def test_an_unfinished_memory_is_never_published(machine: Machine) -> None:
    memory = machine.overlay_dir / CLUSTER / "memory.test"
    partial_path(memory).write_bytes(b"LibvirtQemudPart")
    with pytest.raises(OperationFailed, match="not written completely"):
        publish_memory(memory, cluster=CLUSTER)
    assert not memory.exists()


async def test_a_restored_machine_is_exact_paused_and_as_it_is_defined(machine: Machine) -> None:
    image = traces(machine.base)
    await machine.start(paused=True)
    machine.write("vda", 2, 3)
    at_snapshot, frozen = dict(machine.content), machine.domain()
    machine.content = {target: bytearray(content) for target, content in at_snapshot.items()}
    memory = await snapshot_with_memory(machine)
    file = traces(memory)
    machine.write("vda", 2, 9)
    machine.write("vdb", 1, 9)
    await machine.cut_power()
    layers = await machine.make_layers(revision=1, disks={target: frozen.disks[target] for target in machine.targets})
    wanted = with_layers(frozen, layers).model_copy(
        update={"role": "other", "console": machine.overlay_dir / CLUSTER / "other.log"}
    )
    await machine.define(wanted)
    started = time.monotonic()
    await machine.snapshots.restore(CLUSTER, NODE, memory, wanted, Epochs(boot=3, resume=4))
    print(f"restored in {time.monotonic() - started:.2f} s")
    assert machine.state()[0] == PAUSED
    assert machine.domain(live=True) == machine.domain() == wanted
    await machine.snapshots.restore(CLUSTER, NODE, memory, wanted, Epochs(boot=3, resume=4))
    await machine.resume()
    machine.content = at_snapshot
    assert machine.digests() == machine.expected()
    machine.write("vdb", 6, 6)
    assert machine.digests() == machine.expected()
    await machine.cut_power()
    await machine.start()
    assert machine.digests() == machine.expected()
    assert (traces(memory), traces(machine.base)) == (file, image)


async def test_memory_of_other_hardware_is_refused_by_name_before_anything_runs(machine: Machine) -> None:
    await machine.start(paused=True)
    memory = await snapshot_with_memory(machine)
    await machine.cut_power()
    grown = machine.domain().model_copy(update={"memory_mb": 128})
    await machine.define(grown)
    assert await machine.snapshots.restore_obstacles(memory, grown) == ["memory_mb was 64 and is 128"]
    with pytest.raises(Conflict, match="memory_mb was 64 and is 128"):
        await machine.snapshots.restore(CLUSTER, NODE, memory, grown, Epochs())
    assert not machine.domain_is_active()


async def test_memory_of_a_newer_qemu_is_refused_by_name_before_anything_runs(machine: Machine) -> None:
    await machine.start(paused=True)
    memory = await snapshot_with_memory(machine)
    wanted = machine.domain()
    await machine.cut_power()
    # As a newer QEMU would have saved it: the XML in the file's head, with another version of the same length.
    version = re.compile(rb"(?<=machine='pc-q35-)[0-9.]+(?=')")
    memory.write_bytes(version.sub(lambda found: re.sub(rb"[0-9]", b"9", found[0]), memory.read_bytes(), count=1))
    (obstacle,) = await machine.snapshots.restore_obstacles(memory, wanted)
    assert re.match(r"it was saved with machine type pc-q35-9[9.]+, which this host's QEMU does not support", obstacle)
    with pytest.raises(Conflict, match="does not support"):
        await machine.snapshots.restore(CLUSTER, NODE, memory, wanted, Epochs())
    assert not machine.domain_is_active()


async def test_a_machine_that_runs_on_other_disks_is_not_taken_for_restored(machine: Machine) -> None:
    await machine.start(paused=True)
    frozen = machine.domain()
    memory = await snapshot_with_memory(machine)
    layers = await machine.make_layers(revision=1, disks={target: frozen.disks[target] for target in machine.targets})
    wanted = with_layers(frozen, layers)
    await machine.define(wanted)
    with pytest.raises(OperationFailed, match="active with a different disks"):
        await machine.snapshots.restore(CLUSTER, NODE, memory, wanted, Epochs())


async def test_a_machine_that_was_saved_and_not_resumed_gets_new_layers_but_is_not_saved_again(
    machine: Machine,
) -> None:
    folder = machine.overlay_dir / CLUSTER
    await machine.start(paused=True)
    await switch(machine, 1, folder / "first")
    layers = await switch(machine, 2)
    with pytest.raises(OperationFailed, match="CPUs have not run since"):
        await switch(machine, 3, folder / "second")
    assert disk_paths(machine, live=True) == disk_paths(machine, live=False) == layers
    await machine.resume()
    machine.write("vda", 4, 8)
    assert machine.digests() == machine.expected()


async def test_a_machine_that_was_restored_and_not_resumed_can_be_snapshotted(machine: Machine) -> None:
    await machine.start(paused=True)
    frozen = machine.domain()
    memory = await snapshot_with_memory(machine)
    await machine.cut_power()
    layers = await machine.make_layers(revision=1, disks={target: frozen.disks[target] for target in machine.targets})
    await machine.define(with_layers(frozen, layers))
    await machine.snapshots.restore(CLUSTER, NODE, memory, machine.domain(), Epochs())
    await switch(machine, 3)
    await switch(machine, 4, memory.with_name("second"))
    await machine.resume()
    machine.write("vda", 4, 8)
    assert machine.digests() == machine.expected()


async def test_a_machine_starts_on_layers_that_were_frozen_while_it_was_off(machine: Machine) -> None:
    image = traces(machine.base)
    for depth in (1, 2):
        await machine.define(with_layers(machine.domain(), await machine.make_layers_on_top(depth=depth)))
    await machine.start()
    machine.write("vda", 2, 7)
    assert machine.digests() == machine.expected()
    assert traces(machine.base) == image


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("whole", [True, False])
async def test_flattening_shortens_the_chain_and_changes_no_content(
    machine: Machine, running: bool, whole: bool
) -> None:
    image = traces(machine.base)
    await machine.start()
    for depth in (1, 2, 3):
        await switch(machine, depth)
        machine.write("vda", depth + 1, depth)
        machine.write("vda", 1, depth + 10)
    if not running:
        await machine.cut_power()
    below = {file.path: digest(file.path) for file in machine.disk("vda").backing}
    figures: list[tuple[int, int]] = []
    for _ in range(2):
        await machine.snapshots.flatten(
            CLUSTER, NODE, "vda", None if whole else machine.base, progress=lambda *at: figures.append(at)
        )
        image_below = () if whole else (BackingFile(path=machine.base, format="qcow2"),)
        assert machine.disk("vda").backing == image_below
        facts = read_image_facts(machine.disk("vda").path)
        assert (facts.backing, facts.backing_format) == ((None, None) if whole else (str(machine.base), "qcow2"))
    assert machine.digests() == machine.expected()
    assert {path: digest(path) for path in below} == below
    assert traces(machine.base) == image
    if running:
        assert machine.domain(live=True).disks == machine.domain().disks
        machine.kill_qemu()
        assert machine.digests() == machine.expected()
    assert await first_problem(machine.disk("vda").path) == ""
    await machine.start()
    machine.write("vda", 9, 9)
    assert machine.digests() == machine.expected()


async def test_a_paused_machine_is_not_flattened_and_lives(machine: Machine) -> None:
    await machine.start(paused=True)
    await switch(machine, 1, machine.overlay_dir / CLUSTER / "memory.test")
    with pytest.raises(OperationFailed, match="paused"):
        await machine.snapshots.flatten(CLUSTER, NODE, "vda", None)
    assert machine.domain_is_active()


async def test_a_flattening_that_goes_on_is_followed_and_ended_with_its_caller(machine: Machine) -> None:
    await machine.start()
    for block in range(10, 70):
        machine.write("vda", block, block)
    await switch(machine, 1)
    with host_libvirt() as handle:
        domain = handle.lookupByName(f"{CLUSTER}.{NODE}")
        domain.blockPull("vda", 1, 0)  # as a killed process would have left it, at 1 MiB/s

        def stop(done_bytes: int, all_bytes: int) -> None:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await machine.snapshots.flatten(CLUSTER, NODE, "vda", None, progress=stop)
        assert not domain.blockJobInfo("vda", 0)
    assert len(machine.disk("vda").backing) == 2
    await machine.snapshots.flatten(CLUSTER, NODE, "vda", None)
    machine.kill_qemu()
    assert machine.disk("vda").backing == ()
    assert machine.digests() == machine.expected()


async def test_a_cancelled_flattening_of_a_layer_leaves_it_as_it_was(machine: Machine) -> None:
    await machine.define(with_layers(machine.domain(), await machine.make_layers_on_top(depth=1)))
    machine.write("vda", 3, 3)
    path = machine.disk("vda").path
    before = traces(path)
    task = asyncio.create_task(flatten_offline(path, None, cluster=CLUSTER))
    while not second_name(path).exists():
        assert not task.done()
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert traces(path) == before
    assert not second_name(path).exists()
    assert machine.digests() == machine.expected()


async def test_a_chain_is_whole_or_its_problem_has_the_name_of_the_file(machine: Machine) -> None:
    await machine.define(with_layers(machine.domain(), await machine.make_layers_on_top(depth=1)))
    top, frozen = machine.disk("vda").path, machine.disk("vda").backing[0].path
    assert await first_problem(top) == ""
    aside = frozen.rename(frozen.with_suffix(".aside"))
    assert str(frozen) in await first_problem(top)
    frozen.write_bytes(b"not a qcow2 image" * 100)
    assert await first_problem(top) == f"{frozen} is text, but {top} expects qcow2"
    aside.rename(frozen)
    with frozen.open("r+b") as file:
        file.seek(read_l1_offset(frozen))
        file.write(bytes.fromhex("8000000000000200"))  # an L2 table in the middle of the header
    assert str(frozen) in await first_problem(top)


async def first_problem(top: Path) -> str:
    """What is wrong with the chain below a layer; nothing where it is whole."""
    found = await verify_chains({top: "qcow2"})
    return next(iter(found[top]), "")


def read_l1_offset(image: Path) -> int:
    return int.from_bytes(image.read_bytes()[40:48], "big")


async def test_a_guest_without_an_agent_is_told_in_bounded_time(machine: Machine) -> None:
    await machine.start()
    started = time.monotonic()
    with pytest.raises(OperationFailed, match="agent"):
        await machine.snapshots.freeze_filesystems(CLUSTER, NODE)
    assert await machine.snapshots.set_guest_time(CLUSTER, NODE) is False
    assert time.monotonic() - started < FREEZE_TIMEOUT_S
