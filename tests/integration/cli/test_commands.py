"""The command as a user runs it, on a real libvirtd; no machine boots here."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.bed import Bed, host_libvirt
from tests.integration.cli.conftest import COMMAND, DEADLINE_S, Vmcluster, answered_on_a_terminal


@pytest.fixture
def topology(bed: Bed) -> Path:
    return bed.write_topology("cli")


def states(vmcluster: Vmcluster) -> set[str]:
    return {node["domain_state"] for node in vmcluster("status", "cli", "-o", "json").data["nodes"]}


def test_a_plan_exits_2_until_it_is_applied_and_0_afterwards(vmcluster: Vmcluster, topology: Path) -> None:
    planned = vmcluster("plan", str(topology), "--no-start", code=2).out
    assert "  + network/net-cli  not created yet\n" in planned
    assert "Plan: 7 to create, 0 to change, 0 to delete; restarts: none; data loss: none\n" in planned
    applied = vmcluster("apply", str(topology), "--no-start")
    assert "DefineDomain n0: done in" in applied.err
    assert "next: vmcluster start cli" in applied.err
    assert vmcluster("plan", str(topology), "--no-start").out == "cluster cli, generation 1\nnothing to do\n"
    assert states(vmcluster) == {"shut off"}


def test_a_plan_tells_drift_from_what_a_changed_topology_asks_for(
    vmcluster: Vmcluster, bed: Bed, topology: Path
) -> None:
    vmcluster("apply", str(topology), "--no-start")
    with host_libvirt() as handle:
        handle.lookupByName("cli.n0").undefine()
    bed.write_topology("cli", nodes=3)
    planned = vmcluster("plan", "cli", "--no-start", "-o", "json", code=2).data["actions"]
    assert {action["address"] for action in planned if action["drift"]} == {"domain/n0"}
    assert "domain/n2" in {action["address"] for action in planned}
    assert "[drift]" in vmcluster("plan", "cli", "--no-start", code=2).out


def test_a_rollback_shows_its_plan_and_asks_as_apply_does(vmcluster: Vmcluster, bed: Bed, topology: Path) -> None:
    vmcluster("apply", str(topology), "--no-start")
    bed.write_topology("cli", nodes=3)
    vmcluster("apply", "cli", "--no-start")
    previewed = vmcluster("rollback", "cli", "--dry-run", code=2).out
    assert previewed.startswith("cluster cli, generation 2, back to generation 1\n")
    assert "  - domain/n2" in previewed
    plan_hash = vmcluster("rollback", "cli", "--dry-run", "-o", "json", code=2).data["plan_hash"]
    assert f"plan hash: {plan_hash}" in previewed
    refused = vmcluster("rollback", "cli", code=1)
    assert "  - domain/n2" in refused.out
    assert "pass `--allow-data-loss` to approve it" in refused.err
    assert len(vmcluster("status", "cli", "-o", "json").data["nodes"]) == 3
    assert "CONFLICT" in vmcluster("rollback", "cli", "--plan-hash", "0", "--allow-data-loss", code=1).err
    gone_back = vmcluster("rollback", "cli", "--plan-hash", plan_hash, "--allow-data-loss")
    assert "  - domain/n2" in gone_back.out
    assert len(vmcluster("status", "cli", "-o", "json").data["nodes"]) == 2


def test_a_rollback_waits_for_the_logins_of_the_nodes_that_are_to_run(
    vmcluster: Vmcluster, bed: Bed, topology: Path
) -> None:
    vmcluster("apply", str(topology), "--no-wait")
    vmcluster("stop", "cli", "n1", "--mode", "destroy")
    refused = vmcluster("rollback", "cli", "--timeout", "1", code=1)
    assert "SSH_TIMEOUT" in refused.err
    assert states(vmcluster) == {"running"}
    vmcluster("stop", "cli", "--mode", "destroy")
    vmcluster("rollback", "cli", "--to", "1", "--no-wait")
    assert states(vmcluster) == {"running"}


def test_applying_again_has_nothing_to_do(vmcluster: Vmcluster, topology: Path) -> None:
    vmcluster("apply", "cli", "--no-start")
    again = vmcluster("apply", "cli", "--no-start")
    assert "nothing to do" in again.out
    assert "done in" not in again.err
    assert len(vmcluster("history", "cli", "-o", "json").data) == 1


def test_a_plan_is_applied_by_its_hash_while_nothing_has_changed(
    vmcluster: Vmcluster, bed: Bed, topology: Path
) -> None:
    name = vmcluster("plan", "cli", "--no-start", "-o", "json", code=2).data["plan_hash"]
    assert vmcluster("plan", "cli", "--no-start", code=2).out.endswith(f"plan hash: {name}\n")
    bed.write_topology("cli", nodes=3)
    refused = vmcluster("apply", "cli", "--no-start", "--plan-hash", name, "-o", "json", code=1)
    assert (refused.data["code"], refused.data["recoverable"]) == ("CONFLICT", True)
    assert "`vmcluster plan cli`" in refused.err
    assert vmcluster("list", "-o", "json").data == []
    bed.write_topology("cli")
    vmcluster("apply", "cli", "--no-start", "--plan-hash", name)
    with host_libvirt() as handle:
        name = vmcluster("plan", "cli", "--no-start", "-o", "json").data["plan_hash"]
        handle.lookupByName("cli.n0").undefine()
        assert "CONFLICT" in vmcluster("apply", "cli", "--no-start", "--plan-hash", name, code=1).err
        assert [domain.name() for domain in handle.listAllDomains()] == ["cli.n1"]


def test_a_plan_as_data_carries_actions_and_a_patch(vmcluster: Vmcluster, bed: Bed, topology: Path) -> None:
    vmcluster("apply", "cli", "--no-start", "--output", "json")
    bed.write_topology("cli", edit=lambda document: document["nodes"][0].update(memory_mb=600))
    plan = vmcluster("plan", "cli", "--no-start", "-o", "json", code=2).data
    assert [(action["address"], action["change"]) for action in plan["actions"]] == [("domain/n0", "update")]
    assert plan["actions"][0]["reason"] == "memory_mb 512 -> 600"
    assert plan["patch"] == [{"op": "replace", "path": "/domains/n0/memory_mb", "value": 600}]
    assert (plan["generation"], plan["converged"], plan["blocked"]) == (1, False, False)


def test_a_reader_that_goes_away_does_not_stop_the_work(vmcluster: Vmcluster, bed: Bed, topology: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "apply", "cli", "--no-start"], env=bed.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"error" not in process.stderr.read()
        assert process.wait(timeout=DEADLINE_S) == 141
    assert states(vmcluster) == {"shut off"}


def test_a_topology_with_problems_exits_1_and_leaves_nothing(vmcluster: Vmcluster, bed: Bed) -> None:
    bed.write_topology("cli", edit=lambda document: document.update(bogus=1))
    for command in ("plan", "apply"):
        assert vmcluster(command, "cli", "-o", "json", code=1).data["code"] == "TOPOLOGY_INVALID"
    assert vmcluster("list", "-o", "json").data == []


def test_what_would_restart_a_node_is_refused_until_it_is_agreed_to(
    vmcluster: Vmcluster, bed: Bed, topology: Path
) -> None:
    vmcluster("apply", "cli", "--no-start")
    vmcluster("start", "cli", "--paused")
    assert states(vmcluster) == {"paused"}
    bed.write_topology("cli", edit=lambda document: document["nodes"][0].update(memory_mb=600))
    refused = vmcluster("apply", "cli", "--no-start", code=1)
    assert "restarts: n0" in refused.out
    assert "error [APPROVAL_REQUIRED]" in refused.err
    assert "--allow-restart" in refused.err
    assert "needs --allow-restart" in refused.out
    agreed = vmcluster("apply", "cli", "--no-start", "--allow-restart")
    assert "approved by --allow-restart" in agreed.out
    assert "needs --allow" not in agreed.out
    assert vmcluster("plan", "cli", "--no-start").code == 0


def test_what_is_not_ours_stands_in_the_way_and_a_plan_says_so(vmcluster: Vmcluster, topology: Path) -> None:
    with host_libvirt() as libvirt:
        foreign = libvirt.networkDefineXML("<network><name>net-cli</name></network>")
        try:
            refused = vmcluster("plan", "cli", "--no-start", code=1).err
            assert "error [CONFLICT]" in refused
            assert "network.name" in refused
            assert vmcluster("apply", "cli", "--no-start", "-o", "json", code=1).data["code"] == "CONFLICT"
        finally:
            foreign.undefine()


def test_start_paused_stop_and_crash_do_what_they_say(vmcluster: Vmcluster, topology: Path) -> None:
    vmcluster("apply", "cli", "--no-start")
    assert "n0" in vmcluster("start", "cli", "--paused").out
    crashed = vmcluster("crash", "cli", "n0", "--no-restart", "-o", "json").data
    assert (crashed["name"], crashed["domain_state"]) == ("n0", "shut off")
    vmcluster("stop", "cli", "--mode", "destroy")
    assert states(vmcluster) == {"shut off"}


def test_commands_that_need_a_running_node_name_the_node_and_the_remedy(vmcluster: Vmcluster, topology: Path) -> None:
    vmcluster("apply", "cli", "--no-start")
    for arguments in (["handle", "cli"], ["ssh", "cli", "n0"], ["exec", "cli", "n0", "--timeout", "1", "--", "true"]):
        ended = vmcluster(*arguments, code=1 if arguments[0] == "handle" else 255)
        assert "error [CLUSTER_NOT_RUNNING]" in ended.err
        assert "`vmcluster start cli" in ended.err


def test_destroy_keeps_disks_until_their_deletion_is_agreed_to(vmcluster: Vmcluster, bed: Bed, topology: Path) -> None:
    vmcluster("apply", "cli", "--no-start")
    layers = bed.settings.overlay_dir / "cli"
    assert vmcluster("destroy", "cli").out == "cluster cli is destroyed\n"
    assert "destroyed, disks kept" in vmcluster("list").out
    assert "--yes" in vmcluster("destroy", "cli", "--remove-overlays", code=1).err
    assert list(layers.glob("*.qcow2"))
    vmcluster("destroy", "cli", "--remove-overlays", "--yes")
    assert not layers.exists()
    assert vmcluster("list", "-o", "json").data == []
    vmcluster("destroy", "cli")  # what is gone already is a success


@pytest.mark.parametrize(("answer", "code", "kept"), [("n\n", 1, True), ("y\n", 0, False)])
def test_a_person_is_asked_before_disks_are_deleted(
    vmcluster: Vmcluster, bed: Bed, topology: Path, answer: str, code: int, kept: bool
) -> None:
    vmcluster("apply", "cli", "--no-start")
    ended = answered_on_a_terminal(bed, ["destroy", "cli", "--remove-overlays"], answer)
    assert "Delete the disks, seeds, host keys and snapshots of 'cli' permanently? [y/N]" in ended.err
    assert ended.code == code
    assert (bed.settings.overlay_dir / "cli").exists() is kept


def test_an_interrupted_stop_goes_on_when_it_is_asked_for_again(vmcluster: Vmcluster, bed: Bed, topology: Path) -> None:
    vmcluster("apply", "cli", "--no-start")
    vmcluster("start", "cli", "--no-wait")
    with subprocess.Popen(
        [*COMMAND, "stop", "cli"],
        env=bed.environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:  # machines this young do not hear ACPI: it waits
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("ShutDown"):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(timeout=DEADLINE_S) == 130
    assert "interrupted; the change is recorded" in rest
    vmcluster("stop", "cli", "--mode", "destroy")
    assert states(vmcluster) == {"shut off"}
