"""Three real machines: what a user does with them."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import libvirt
import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import ApprovalRequired, ClusterError, ClusterNotRunning, OperationTimeout
from reconciler.model.choices import StopMode
from reconciler.progress import Progress
from reconciler.records.approval import Approval
from reconciler.records.plan_view import plan_view
from reconciler.usecases.ansible_inventory import inventory_as_ini
from reconciler.usecases.clusters import Clusters
from reconciler.usecases.login_names import named_logins, render_ssh_config
from reconciler.usecases.node_loads import LoadMeter
from tests.integration.bed import ACTOR, Bed, Session, host_libvirt
from tests.integration.bed import SHARED_CLUSTER as CLUSTER
from tests.integration.guests.conftest import NODES
from tests.waiting import BOOT_TIMEOUT_S, PATIENCE_S, eventually


def machines_started() -> int:
    """libvirt's running number, as it gives it to a machine that starts now and goes again."""
    xml = "<domain type='qemu'><name>counter</name><memory>65536</memory><os><type>hvm</type></os></domain>"
    with host_libvirt() as handle:
        domain = handle.createXML(xml, libvirt.VIR_DOMAIN_START_PAUSED)
        number = int(domain.ID())
        domain.destroy()
    return number


async def boot_id(session: Session, node: str) -> str:
    """The number that a kernel gives itself at each boot."""
    answer = await session.nodes.run(CLUSTER, node, "cat /proc/sys/kernel/random/boot_id", timeout_s=60)
    return answer.stdout.strip()


async def test_all_nodes_run_and_answer(untouched_trio: Session) -> None:
    status = await untouched_trio.inspection.status(CLUSTER)
    assert [(node.name, node.domain_state, node.ssh_reachable) for node in status.nodes] == [
        (name, "running", True) for name in NODES
    ]
    assert all("virtio_net" in node.loaded_modules for node in status.nodes)


async def test_a_running_cluster_applied_again_has_nothing_to_do(untouched_trio: Session) -> None:
    assert (await untouched_trio.clusters.plan(CLUSTER)).plan.converged


async def test_each_node_knows_its_name_and_reaches_the_others_by_theirs(untouched_trio: Session) -> None:
    command = " && ".join(["hostname", *(f"ping -c1 -W5 {name} >/dev/null" for name in NODES)])
    answer = await untouched_trio.nodes.run_all(CLUSTER, command, timeout_s=60)
    assert answer.all_succeeded
    assert {node: result.stdout.strip() for node, result in answer.results.items()} == {name: name for name in NODES}


async def test_the_nodes_reach_nothing_outside(untouched_trio: Session) -> None:
    answer = await untouched_trio.nodes.run(CLUSTER, "n0", "ip route show default")
    assert answer.stdout == ""


async def test_a_handle_lets_the_systems_ssh_in_without_a_question(untouched_trio: Session, guest_bed: Bed) -> None:
    handle = await untouched_trio.inspection.handle(CLUSTER)
    assert set(handle.kernel_versions) == set(NODES)
    node = handle.nodes[1]
    known_hosts = guest_bed.directory / "known_hosts"
    known_hosts.write_text(f"{node.ip} {node.host_key}\n")
    command = ["ssh", "-F", "none", "-o", f"UserKnownHostsFile={known_hosts}", "-o", "BatchMode=yes"]
    command += ["-i", node.ssh_key_path, f"{node.ssh_user}@{node.ip}", "hostname"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "n1\n"


async def test_ssh_and_ansible_log_in_by_the_names_of_nodes(untouched_trio: Session, guest_bed: Bed) -> None:
    logins = await named_logins(untouched_trio.runtime, [CLUSTER])
    config, inventory = guest_bed.directory / "ssh_config", guest_bed.directory / "hosts.ini"
    config.write_text(render_ssh_config(logins))
    inventory.write_text(inventory_as_ini(logins))
    by_name = ["ssh", "-F", str(config), "-o", "BatchMode=yes", f"{CLUSTER}-n1", "hostname"]
    done = await asyncio.to_thread(subprocess.run, by_name, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "n1\n"
    ansible = [str(Path(sys.executable).with_name("ansible")), "role_node", "-i", str(inventory)]
    ansible += ["-m", "raw", "-a", "hostname", "--timeout", "60"]
    private = {"ANSIBLE_HOME": str(guest_bed.directory / "ansible"), "ANSIBLE_SSH_ARGS": "-o ControlMaster=no"}
    done = await asyncio.to_thread(
        subprocess.run, ansible, capture_output=True, text=True, timeout=300, check=True, env={**os.environ, **private}
    )
    assert sorted(set(done.stdout.split()) & set(NODES)) == list(NODES)


async def test_what_a_node_does_shows_in_its_load_and_not_in_that_of_the_others(untouched_trio: Session) -> None:
    meter = LoadMeter(untouched_trio.runtime, CLUSTER)
    await meter.look()
    work = "dd if=/dev/zero bs=1M count=4 2>/dev/null; dd if=/dev/vda of=/dev/null bs=1M count=8 iflag=direct"
    await untouched_trio.nodes.run(CLUSTER, "n0", work, timeout_s=PATIENCE_S)
    busy, *others = await meter.look()
    assert [load.node_name for load in (busy, *others)] == list(NODES)
    assert all(load.memory_bytes == 512 << 20 for load in (busy, *others))
    assert all(None not in (load.resident_bytes, load.cpu_pct) for load in (busy, *others))
    assert busy.interval_s
    assert (busy.sent_bytes_per_s or 0) * busy.interval_s > 4 << 20
    assert (busy.disk_read_bytes_per_s or 0) * busy.interval_s > 7 << 20
    for idle in others:
        assert (idle.sent_bytes_per_s or 0) * busy.interval_s < 1 << 20


async def test_a_session_killed_in_the_guest_is_replaced_unseen(trio: Session) -> None:
    await trio.nodes.run(CLUSTER, "n0", "true")
    with pytest.raises(ClusterError) as caught:
        await trio.nodes.run(CLUSTER, "n0", "kill -9 $PPID", timeout_s=30)
    assert caught.value.code is ErrorCode.SSH_ERROR
    assert (await trio.nodes.run(CLUSTER, "n0", "echo back", timeout_s=30)).stdout == "back\n"


async def test_a_guest_that_reboots_by_itself_is_reached_again(trio: Session) -> None:
    before = await boot_id(trio, "n1")
    await trio.nodes.run(CLUSTER, "n1", "systemctl reboot --force --force >/dev/null 2>&1 &", timeout_s=30)

    async def has_rebooted() -> bool:
        try:
            return await boot_id(trio, "n1") != before
        except ClusterError:
            return False

    await eventually(has_rebooted, timeout_s=BOOT_TIMEOUT_S)
    await trio.clusters.start(CLUSTER, ssh_timeout_s=BOOT_TIMEOUT_S)


async def test_a_crash_is_one_power_cycle_of_one_node(trio: Session) -> None:
    before = {node: await boot_id(trio, node) for node in NODES}
    started = machines_started()
    await trio.clusters.crash(CLUSTER, "n2", ssh_timeout_s=BOOT_TIMEOUT_S)
    assert machines_started() == started + 2  # the node, and the one that counts
    after = {node: await boot_id(trio, node) for node in NODES}
    assert after["n2"] != before["n2"]
    assert (after["n0"], after["n1"]) == (before["n0"], before["n1"])


async def test_a_boot_is_reported_from_its_console_before_its_login(trio: Session) -> None:
    talkative = (
        "sed -i 's/quiet loglevel=5/loglevel=7/' /boot/grub/grub.cfg && grep -c loglevel=7 /boot/grub/grub.cfg; sync"
    )
    assert (await trio.nodes.run(CLUSTER, "n1", talkative)).stdout.strip() != "0", "a quiet boot may print nothing"
    said: list[str] = []
    clusters = Clusters(trio.runtime, actor=ACTOR, progress=Progress(said.append))
    await clusters.crash(CLUSTER, "n1", ssh_timeout_s=BOOT_TIMEOUT_S)
    of_node = [words.removeprefix("n1: ") for words in said if words.startswith("n1: ")]
    assert of_node[-1] == "reachable over SSH"
    assert {"kernel", "services"} & {*of_node}, said


async def test_a_disk_added_to_the_topology_appears_in_the_running_guest(trio: Session, guest_bed: Bed) -> None:
    disk = guest_bed.directory / "added.qcow2"

    def edit(document: dict[str, list[dict[str, object]]]) -> None:
        document["nodes"][0]["extra_disks"] = [{"path": str(disk), "size_gb": 1}]

    before = await boot_id(trio, "n0")
    guest_bed.write_topology(CLUSTER, nodes=len(NODES), boots=True, edit=edit)
    await trio.clusters.apply(CLUSTER, timeout_s=BOOT_TIMEOUT_S)
    ((told,), *_) = [node.extra_disks for node in (await trio.inspection.handle(CLUSTER)).nodes]
    assert told.path == str(disk)
    command = f"until test -b {told.guest_path}; do sleep 0.2; done; blockdev --getsize64 {told.guest_path}"
    answer = await trio.nodes.run(CLUSTER, "n0", command)
    assert answer.stdout.strip() == str(1 << 30)
    assert await boot_id(trio, "n0") == before
    assert (await trio.clusters.plan(CLUSTER)).plan.converged


async def test_a_node_paused_by_hand_is_reported_and_runs_on_when_asked(trio: Session) -> None:
    with host_libvirt() as handle:
        domain = handle.lookupByName(f"{CLUSTER}.n1")
        domain.suspend()
        with pytest.raises(ClusterError) as caught:
            await trio.clusters.define(CLUSTER)
        assert caught.value.code is ErrorCode.GUEST_PAUSED
        assert caught.value.node == "n1"
        assert domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
        await trio.clusters.start(CLUSTER, ssh_timeout_s=60)
        assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING


async def test_a_plan_has_a_paused_node_run_on_with_its_memory_and_apply_does_that(trio: Session) -> None:
    before = await boot_id(trio, "n1")
    with host_libvirt() as handle:
        domain = handle.lookupByName(f"{CLUSTER}.n1")
        domain.suspend()
        preview = await trio.clusters.plan(CLUSTER)
        shown = plan_view(preview)
        assert [(of.address, of.action, of.memory) for of in shown.actions] == [("power/n1", "Resume", "kept")]
        assert (shown.blocked, shown.obstacles, shown.approvals) == (False, (), ())
        assert domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
        await trio.clusters.apply(CLUSTER, approval=Approval(plan_hash=preview.hash), timeout_s=60)
        assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    assert await boot_id(trio, "n1") == before


async def test_more_memory_takes_an_agreement_and_a_restart(trio: Session, guest_bed: Bed) -> None:
    def edit(document: dict[str, list[dict[str, object]]]) -> None:
        document["nodes"][0] |= {"memory_mb": 576}

    await trio.nodes.run(CLUSTER, "n0", "echo kept > /root/kept; sync")
    before = {node: await boot_id(trio, node) for node in NODES}
    guest_bed.write_topology(CLUSTER, nodes=len(NODES), boots=True, edit=edit)
    with pytest.raises(ApprovalRequired, match="memory_mb 512 -> 576"):
        await trio.clusters.apply(CLUSTER)
    await trio.clusters.apply(CLUSTER, approval=Approval(restart=True), timeout_s=BOOT_TIMEOUT_S)
    answer = await trio.nodes.run(CLUSTER, "n0", "cat /root/kept; awk '/MemTotal/ {print $2}' /proc/meminfo")
    kept, memory_kib = answer.stdout.split()
    assert kept == "kept"
    assert int(memory_kib) > 512 * 1024
    assert await boot_id(trio, "n0") != before["n0"]
    assert await boot_id(trio, "n1") == before["n1"]


async def test_a_stop_that_is_not_heeded_names_the_nodes_that_are_still_up(trio: Session) -> None:
    mask = "systemctl mask --runtime --now systemd-logind >/dev/null 2>&1; systemctl stop acpid 2>/dev/null; true"
    await trio.nodes.run(CLUSTER, "n2", mask, timeout_s=60)
    with pytest.raises(OperationTimeout, match="n2") as caught:
        await trio.clusters.stop(CLUSTER, timeout_s=30)
    assert "n2" in caught.value.message
    status = await trio.clusters.stop(CLUSTER, mode=StopMode.DESTROY)
    assert {node.domain_state for node in status.nodes} == {"shut off"}


async def test_commands_on_a_stopped_cluster_say_that_it_is_stopped(trio: Session) -> None:
    await trio.clusters.stop(CLUSTER, mode=StopMode.DESTROY)
    with pytest.raises(ClusterNotRunning, match="n0"):
        await trio.nodes.run(CLUSTER, "n0", "true", timeout_s=3)
    for partial in (False, True):
        with pytest.raises(ClusterNotRunning):
            await trio.inspection.handle(CLUSTER, partial=partial)


async def test_a_partial_handle_is_of_the_nodes_that_run_and_names_the_others(trio: Session) -> None:
    await trio.clusters.stop(CLUSTER, mode=StopMode.DESTROY, nodes=["n0"])
    with pytest.raises(ClusterNotRunning, match="n0 is not running") as refused:
        await trio.inspection.handle(CLUSTER)
    assert refused.value.hint is not None
    assert "`partial`" in refused.value.hint
    handle = await trio.inspection.handle(CLUSTER, partial=True)
    assert [node.name for node in handle.nodes] == ["n1", "n2"] == list(handle.kernel_versions)
    assert {node: error.code for node, error in handle.unreachable.items()} == {"n0": ErrorCode.CLUSTER_NOT_RUNNING}
    off, *others = (await trio.inspection.status(CLUSTER)).nodes
    assert off.ssh_error is not None
    assert "n0 is not running" in off.ssh_error.message
    assert all(node.ssh_reachable and node.ssh_error is None for node in others)


async def test_a_cluster_shuts_down_when_asked_and_is_off_when_the_answer_comes(trio: Session) -> None:
    status = await trio.clusters.stop(CLUSTER, timeout_s=BOOT_TIMEOUT_S)
    assert {node.domain_state for node in status.nodes} == {"shut off"}
    with host_libvirt() as handle:
        assert not handle.lookupByName(f"{CLUSTER}.n0").isActive()
