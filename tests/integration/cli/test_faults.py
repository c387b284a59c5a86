"""The fault commands as a user runs them, on a real libvirtd and a real firewall; no machine boots here."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.bed import Bed
from tests.integration.cli.conftest import COMMAND, Vmcluster
from tests.integration.watch.conftest import watching
from tests.waiting import PATIENCE_S, wait_until

CLUSTER = "cli"


@pytest.fixture
def cluster(bed: Bed, vmcluster: Vmcluster) -> str:
    """A defined cluster of three nodes that are off."""
    bed.write_topology(CLUSTER, nodes=3)
    vmcluster("apply", CLUSTER, "--no-start")
    return CLUSTER


def listed(vmcluster: Vmcluster) -> Any:
    return vmcluster("fault", "list", CLUSTER, "-o", "json").data


def rules() -> str:
    """Our rules in the firewall, read without the product."""
    found = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    return found if "vmc" in found else ""


def told(vmcluster: Vmcluster) -> list[tuple[str, str]]:
    """The events about faults."""
    events = vmcluster("events", CLUSTER, "-o", "json").data
    return [(event["kind"], event["subject"]) for event in events if event["kind"].startswith("Fault")]


def test_a_partition_is_on_the_host_until_it_is_healed(vmcluster: Vmcluster, cluster: str) -> None:
    made = vmcluster("fault", "partition", cluster, "n0", "n1,n2")
    assert made.out == "partition-1 affects n0, n1, n2\n"
    assert rules()
    (fault,) = listed(vmcluster)
    assert (fault["handle_id"], fault["parameters"]["applied"]) == ("partition-1", True)
    assert fault["parameters"]["observed"]["n1"] == {"n0": {"cut": True}}
    assert "nothing arrives" in vmcluster("fault", "explain", cluster, "n0", "n2").out
    assert vmcluster("fault", "heal", cluster, "partition-1").out == "1 healed\n"
    assert (listed(vmcluster), rules()) == ([], "")
    assert vmcluster("fault", "heal", cluster, "partition-1").out == "nothing to heal\n"
    assert told(vmcluster) == [("FaultInjected", "partition-1"), ("FaultHealed", "partition-1")]


def test_a_fault_of_a_cluster_that_is_destroyed_ends_with_a_word(vmcluster: Vmcluster, cluster: str) -> None:
    vmcluster("fault", "partition", cluster, "n0", "n1,n2")
    vmcluster("destroy", cluster, "--remove-overlays", "--yes")
    assert told(vmcluster) == [("FaultInjected", "partition-1"), ("FaultHealed", "partition-1")]


def test_a_table_that_others_flush_is_put_back_by_the_next_round(vmcluster: Vmcluster, cluster: str) -> None:
    vmcluster("fault", "partition", cluster, "--shape", "one", "--node", "n1")
    # Flushing the whole ruleset would delete libvirt's own chains, without which it starts no network.
    tables = subprocess.run(["nft", "list", "tables", "bridge"], capture_output=True, text=True, check=True).stdout
    for table in tables.splitlines():
        subprocess.run(["nft", "flush", *table.split()], check=True)
    assert listed(vmcluster)[0]["parameters"]["applied"] is False
    vmcluster("apply", cluster, "--no-start")
    assert listed(vmcluster)[0]["parameters"]["applied"] is True


def test_a_fault_with_a_duration_ends_when_all_of_our_processes_are_gone(vmcluster: Vmcluster, cluster: str) -> None:
    vmcluster("fault", "partition", cluster, "n0", "n1", "--duration", "6")
    assert rules()
    wait_until(lambda: listed(vmcluster) == [] and rules() == "")
    wait_until(lambda: told(vmcluster) == [("FaultInjected", "partition-1"), ("FaultExpired", "partition-1")])


def test_a_command_is_run_under_a_fault_which_ends_with_it(vmcluster: Vmcluster, cluster: str) -> None:
    ended = vmcluster(
        "fault", "partition", cluster, "n0", "n1", "--while", "sh", "-c", "nft list ruleset; exit 5", code=5
    )
    assert "vmc" in ended.out
    assert (listed(vmcluster), rules()) == ([], "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_held_fault_ends_however_its_holder_ends(
    bed: Bed, vmcluster: Vmcluster, cluster: str, number: signal.Signals
) -> None:
    words = [*COMMAND, "fault", "partition", cluster, "n0", "n1", "--while", "sleep", "60"]
    holder = subprocess.Popen(words, env=bed.environment, start_new_session=True, stderr=subprocess.DEVNULL)
    wait_until(lambda: rules() != "")
    wait_until(lambda: _holds(holder.pid))
    os.kill(holder.pid, number)
    holder.wait(timeout=PATIENCE_S)
    wait_until(lambda: listed(vmcluster) == [] and rules() == "")
    _end_group(holder.pid)


def test_faults_are_healed_without_the_store_and_nothing_else_is_touched(
    bed: Bed, vmcluster: Vmcluster, cluster: str
) -> None:
    vmcluster("fault", "partition", cluster, "n0", "n1")
    subprocess.run(["nft", "add", "table", "bridge", "theirs"], check=True)
    shutil.rmtree(bed.settings.state_dir)
    assert vmcluster("fault", "heal", cluster, "--all").out == "1 healed\n"
    tables = subprocess.run(["nft", "list", "tables", "bridge"], capture_output=True, text=True, check=True).stdout
    assert tables.split() == ["table", "bridge", "theirs"]
    subprocess.run(["nft", "delete", "table", "bridge", "theirs"], check=True)


def test_without_nft_nothing_is_called_healed_while_the_table_stays(
    vmcluster: Vmcluster, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nft = shutil.which("nft")
    assert nft is not None
    with monkeypatch.context() as as_under_cron:
        as_under_cron.setenv("PATH", "/usr/bin:/bin")
        vmcluster("fault", "partition", cluster, "n0", "n1")
    assert f"table bridge vmcluster-{CLUSTER}" in rules()
    subprocess.run(["mount", "--bind", "/dev/null", nft], check=True)
    try:
        for command in (["fault", "heal", cluster, "--all"], ["fault", "heal", cluster, "--all"], ["destroy", cluster]):
            refused = vmcluster(*command, code=1)
            assert "'nft' is not installed" in refused.err
            assert "healed" not in refused.out
    finally:
        subprocess.run(["umount", nft], check=True)
    assert f"table bridge vmcluster-{CLUSTER}" in rules()
    vmcluster("destroy", cluster)
    assert rules() == ""


def test_faults_without_a_record_are_healed_while_the_service_watches(
    bed: Bed, vmcluster: Vmcluster, cluster: str
) -> None:
    """The service holds the lease, and knows nothing of a cluster whose record is lost."""
    vmcluster("fault", "partition", cluster, "n0", "n1")
    shutil.rmtree(bed.settings.state_dir)
    with watching(bed) as service:
        begin = time.monotonic()
        assert vmcluster("fault", "heal", cluster, "--all").out == "1 healed\n"
        assert time.monotonic() - begin < PATIENCE_S
        assert service.process.poll() is None
    assert rules() == ""
    assert json.loads(bed.settings.fault_registry.read_text())["clusters"] == {}


def test_faults_of_the_topology_come_and_go_with_apply(bed: Bed, vmcluster: Vmcluster, cluster: str) -> None:
    split = {"name": "split", "partition": {"groups": [["n0"], ["n1"]]}}
    vmcluster("fault", "partition", cluster, "n1", "n2")
    bed.write_topology(CLUSTER, nodes=3, edit=lambda document: document.update(faults=[split]))
    vmcluster("apply", cluster, "--no-start")
    assert [(of["handle_id"], of["declared_as"]) for of in listed(vmcluster)] == [
        ("partition-1", None),
        ("partition-2", "split"),
    ]
    assert all(of["parameters"]["applied"] for of in listed(vmcluster))
    vmcluster("fault", "heal", cluster, "split")
    vmcluster("apply", cluster, "--no-start")
    assert [of["handle_id"] for of in listed(vmcluster)] == ["partition-1", "partition-3"]
    bed.write_topology(CLUSTER, nodes=3)
    vmcluster("apply", cluster, "--no-start")
    assert [of["handle_id"] for of in listed(vmcluster)] == ["partition-1"]
    vmcluster("destroy", cluster, "--remove-overlays", "--yes")
    assert rules() == ""


def _holds(process: int) -> bool:
    """Whether the command that is held for runs below `process`."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return any(Path(f"/proc/{child}/comm").read_text().strip() == "sleep" for child in children)


def _end_group(process: int) -> None:
    try:
        os.killpg(process, signal.SIGKILL)
    except ProcessLookupError:
        return
