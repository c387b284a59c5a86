"""Forks of a running cluster: clusters that continue from its snapshot, beside it."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.errors import ClusterError, Conflict, HostCapabilityMissing
from reconciler.host.libvirt.xml import parse_element
from reconciler.model import names
from reconciler.model.names import cluster_dir
from reconciler.model.plan import HoldSnapshot, ResumeMemory
from reconciler.usecases import forks as forks_usecase
from reconciler.usecases.login import login_commands
from tests.integration.bed import Bed, Session, audit, host_libvirt, sweep, temporary_bed
from tests.waiting import BOOT_TIMEOUT_S

CLUSTER, FORK, OTHER = "lab", "fork", "other"
SNAPSHOT = "ticking"
HOST_ADDRESS = "192.168.150.254"
"""The host's in the fork."""
TICKS = "while read up _ < /proc/uptime; do echo $up >> /root/ticks; sleep 0.2; done"


@pytest.fixture(scope="module")
def forked_bed() -> Iterator[Bed]:
    """A bed with one booted cluster for all tests of this module."""
    with temporary_bed() as bed:
        bed.write_topology(CLUSTER, nodes=2, boots=True)
        yield bed
        sweep()


@pytest.fixture
async def lab(forked_bed: Bed) -> AsyncIterator[Session]:
    """A session on the cluster, whose first node has a process that ticks, and on its fork from `SNAPSHOT`."""
    async with forked_bed.runtime() as runtime:
        session = Session(runtime)
        if await runtime.store.get(CLUSTER) is None:
            await session.clusters.apply(CLUSTER, timeout_s=BOOT_TIMEOUT_S)
            await said(
                session, CLUSTER, "n0", f"echo origin > /root/who; sync; nohup sh -c '{TICKS}' >/dev/null 2>&1 &"
            )
            await session.snapshots.create(CLUSTER, SNAPSHOT, include_memory=True)
        if await runtime.store.get(FORK) is None:
            await session.forks.make(CLUSTER, FORK, snapshot=SNAPSHOT, ssh_timeout_s=BOOT_TIMEOUT_S)
        yield session


async def said(session: Session, cluster: str, node: str, command: str) -> str:
    done = await session.nodes.run(cluster, node, command, timeout_s=BOOT_TIMEOUT_S)
    assert done.exit_code == 0, done.stderr
    return done.stdout.strip()


def exit_code(*command: str) -> int:
    return subprocess.run(command, check=False).returncode


async def ticks(session: Session, cluster: str) -> list[float]:
    return [float(line) for line in (await said(session, cluster, "n0", "cat /root/ticks")).splitlines()]


async def test_a_process_runs_on_in_the_fork_under_the_same_name_and_address(lab: Session) -> None:
    identity = "hostname; cat /etc/machine-id /proc/sys/kernel/random/boot_id; ip -br address show eth0"
    assert await said(lab, FORK, "n0", identity) == await said(lab, CLUSTER, "n0", identity)
    before = await ticks(lab, FORK)
    last = before[-1]
    more = f"until [ $(tail -n 1 /root/ticks | cut -d. -f1) -gt {int(last)} ]; do sleep 0.1; done"
    await said(lab, FORK, "n0", more)


async def test_each_lab_answers_for_itself_at_the_same_address(lab: Session) -> None:
    for cluster in (CLUSTER, FORK):
        await said(lab, cluster, "n1", f"echo {cluster} > /root/who")
    found = {cluster: await said(lab, cluster, "n1", "cat /root/who") for cluster in (CLUSTER, FORK)}
    assert found == {CLUSTER: CLUSTER, FORK: FORK}
    handles = [await lab.inspection.handle(cluster) for cluster in (CLUSTER, FORK)]
    assert {handle.nodes[1].ip for handle in handles} == {"192.168.150.11"}
    told = [(handle.nodes[1].bind_address, handle.nodes[1].bind_interface) for handle in handles]
    assert told == [(None, None), (HOST_ADDRESS, names.fork_bridge(FORK))]


async def test_commands_for_a_fork_never_reach_the_cluster_when_its_rule_is_lost(
    lab: Session, forked_bed: Bed, tmp_path: Path
) -> None:
    assert exit_code("ip", "rule", "delete", "from", HOST_ADDRESS) == 0
    (tmp_path / "tree").mkdir()
    async with forked_bed.runtime() as runtime:  # without connections from before
        unaware = Session(runtime)
        with suppress(ClusterError):
            await unaware.nodes.run(FORK, "n1", "touch /root/reached", timeout_s=5)
        with suppress(ClusterError):
            await unaware.transfers.push(FORK, tmp_path / "tree", "/root/reached", nodes="n1", timeout_s=5)
        command = (await login_commands(runtime, FORK))["n1"]
        exit_code(*command, "touch /root/reached")
    assert (await lab.nodes.run(CLUSTER, "n1", "ls /root/reached", timeout_s=BOOT_TIMEOUT_S)).exit_code == 2
    await lab.forks.make(CLUSTER, FORK, snapshot=SNAPSHOT, ssh_timeout_s=BOOT_TIMEOUT_S)
    assert exit_code(*command, "echo fork > /root/who") == 0
    assert await said(lab, FORK, "n1", "cat /root/who") == "fork"
    assert await said(lab, CLUSTER, "n1", "cat /root/who") == CLUSTER


async def test_each_lab_knows_that_its_memory_goes_on_elsewhere_too(lab: Session) -> None:
    """A kernel with the driver draws fresh random numbers then (CONFIG_VMGENID, which Debian's cloud kernel lacks)."""
    assert await said(lab, FORK, "n0", "ls -d /sys/bus/acpi/devices/QEMUVGID:00")
    with host_libvirt() as handle:
        machines = [domain for domain in handle.listAllDomains() if domain.isActive()]
        generations = [parse_element(domain.XMLDesc()).findtext("genid") for domain in machines]
    assert len(set(generations) - {None}) == len(machines) == 4


async def test_files_go_to_the_lab_that_they_are_meant_for(lab: Session, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("for the fork")
    await lab.transfers.push(FORK, tmp_path / "file", "/root/file", nodes="n0")
    assert await said(lab, FORK, "n0", "cat /root/file") == "for the fork"
    assert (await lab.nodes.run(CLUSTER, "n0", "cat /root/file", timeout_s=BOOT_TIMEOUT_S)).exit_code != 0


async def test_labs_do_not_hear_each_other(lab: Session) -> None:
    await said(lab, FORK, "n1", "ip address add 192.168.150.99/24 dev eth0")
    assert await said(lab, FORK, "n0", "ping -c 1 -W 10 192.168.150.99")
    heard = await lab.nodes.run(CLUSTER, "n0", "ping -c 3 -W 2 192.168.150.99", timeout_s=BOOT_TIMEOUT_S)
    assert heard.exit_code != 0
    gateway = await lab.nodes.run(FORK, "n0", "ping -c 3 -W 2 192.168.150.1", timeout_s=BOOT_TIMEOUT_S)
    assert gateway.exit_code != 0, "the host answers there to the cluster, not to its fork"
    assert await said(lab, FORK, "n0", "ping -c 1 -W 10 192.168.150.254")


async def test_forking_does_not_pause_the_cluster(lab: Session) -> None:
    """The longest pause between two ticks since the snapshot is short beside restoring a lab."""
    count = len(await ticks(lab, CLUSTER))
    made = await lab.forks.make(CLUSTER, OTHER, snapshot=SNAPSHOT, count=2, ssh_timeout_s=BOOT_TIMEOUT_S)
    during = (await ticks(lab, CLUSTER))[count - 1 :]
    assert len(during) > 1
    with host_libvirt() as handle:
        assert {handle.lookupByName(f"{CLUSTER}.{node}").state()[0] for node in ("n0", "n1")} == {1}
    assert [of.cluster_name for of in made] == [f"{OTHER}-1", f"{OTHER}-2"]
    for of in made:
        await said(lab, of.cluster_name, "n0", f"echo {of.cluster_name} > /root/who")
    for of in made:
        assert await said(lab, of.cluster_name, "n0", "cat /root/who") == of.cluster_name
        await lab.clusters.destroy(of.cluster_name, remove_overlays=True)


async def test_the_cluster_can_go_and_come_back_beside_its_fork(lab: Session) -> None:
    """libvirt refuses a network whose subnet has a route: the fork's is in a table of its own."""
    await lab.clusters.destroy(CLUSTER)
    assert await said(lab, FORK, "n0", "hostname") == "n0"
    await lab.clusters.define(CLUSTER)
    await lab.snapshots.revert(CLUSTER, SNAPSHOT, ssh_timeout_s=BOOT_TIMEOUT_S)
    assert await said(lab, CLUSTER, "n0", "cat /root/who") == "origin"


async def test_what_forks_stand_on_cannot_be_deleted(lab: Session) -> None:
    with pytest.raises(Conflict, match=f"in use.*{FORK}"):
        await lab.snapshots.delete(CLUSTER, SNAPSHOT)
    with pytest.raises(Conflict, match=f"cannot lose its disks.*{FORK}"):
        await lab.clusters.destroy(CLUSTER, remove_overlays=True)
    assert (await lab.snapshots.listing(CLUSTER))[0].snapshot_name == SNAPSHOT
    unneeded = await lab_gc(lab)
    assert not unneeded


async def lab_gc(lab: Session) -> tuple[object, ...]:
    from reconciler.usecases.snapshot_upkeep import SnapshotUpkeep

    return (await SnapshotUpkeep(lab.runtime).collect(CLUSTER)).layers


async def test_a_fork_is_a_cluster_like_any_other(lab: Session) -> None:
    assert (await lab.inspection.status(FORK)).forked_from == f"{CLUSTER}@{SNAPSHOT}"
    await said(lab, FORK, "n0", "echo later > /root/who; sync")
    await lab.snapshots.create(FORK, "own", include_memory=True)
    await lab.forks.make(FORK, OTHER, snapshot="own", ssh_timeout_s=BOOT_TIMEOUT_S)
    assert await said(lab, OTHER, "n0", "cat /root/who") == "later"
    assert await said(lab, CLUSTER, "n0", "cat /root/who") == "origin"
    with pytest.raises(Conflict, match=OTHER):
        await lab.clusters.destroy(FORK, remove_overlays=True)
    await lab.clusters.destroy(OTHER, remove_overlays=True)
    await lab.snapshots.revert(FORK, SNAPSHOT, ssh_timeout_s=BOOT_TIMEOUT_S)
    assert await said(lab, FORK, "n0", "cat /root/who") == "origin"
    await lab.snapshots.delete(FORK, "own")


async def test_the_plan_of_a_fork_holds_the_snapshot_first_and_changes_nothing(lab: Session) -> None:
    plan = (await lab.forks.plan(CLUSTER, OTHER, SNAPSHOT)).plan
    assert isinstance(plan.actions[0], HoldSnapshot)
    assert sum(isinstance(action, ResumeMemory) for action in plan.actions) == 2
    assert await lab.runtime.store.get(OTHER) is None


async def test_more_forks_than_there_is_memory_are_refused_with_figures(
    lab: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks_usecase, "available_memory_mb", lambda: 2500)
    with pytest.raises(HostCapabilityMissing, match="3 forks need 3072 MiB of memory, 1024 MiB each, and 2500 MiB"):
        await lab.forks.make(CLUSTER, OTHER, count=3)
    assert [of.snapshot_name for of in await lab.snapshots.listing(CLUSTER)] == [SNAPSHOT]


async def test_a_power_cut_boots_the_fork_into_the_same_identity(lab: Session) -> None:
    asked = "hostname; cat /etc/machine-id; ip -br address show eth0; cat /root/who"
    before = await said(lab, FORK, "n0", asked)
    await lab.clusters.crash(FORK, "n0", ssh_timeout_s=BOOT_TIMEOUT_S)
    assert await said(lab, FORK, "n0", asked) == before


async def test_destroying_a_fork_leaves_its_origin_as_it_was_and_nothing_of_itself(
    lab: Session, forked_bed: Bed
) -> None:
    await lab.clusters.destroy(FORK, remove_overlays=True)
    left = audit(forked_bed)
    assert left.domains == {f"{CLUSTER}.n0", f"{CLUSTER}.n1"}
    assert left.networks == {f"net-{CLUSTER}:on"}
    assert not cluster_dir(forked_bed.settings.overlay_dir, FORK).exists()
    assert await said(lab, CLUSTER, "n0", "cat /root/who") == "origin"
    (made,) = await lab.forks.make(CLUSTER, FORK, ssh_timeout_s=BOOT_TIMEOUT_S)
    assert made.forked_from == f"{CLUSTER}@for-{FORK}"
    assert await said(lab, FORK, "n0", "cat /root/who") == "origin"
    await lab.clusters.destroy(FORK, remove_overlays=True)
    assert [of.snapshot_name for of in await lab.snapshots.listing(CLUSTER)] == [SNAPSHOT], "it went with its last fork"
