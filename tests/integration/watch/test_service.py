"""`vmcluster watch` as a service manager and Prometheus see it."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.bed import Audit, Bed, audit, host_libvirt
from tests.integration.clusters.test_kills import CLUSTER, define, start
from tests.integration.kills import run
from tests.integration.watch.conftest import Manager, watching
from tests.integration.watch.test_repairs import domain, whole
from tests.waiting import PATIENCE_S, wait_until

UNIT = Path("specs/systemd/vmcluster.service")
PORT = 9177


@pytest.fixture
def expected(bed: Bed) -> Audit:
    bed.write_topology(CLUSTER)
    run(bed, define, start)
    return audit(bed)


def test_the_manager_hears_of_readiness_state_life_and_end(bed: Bed, expected: Audit, manager: Manager) -> None:
    assert expected.active
    with watching(bed, environment=manager.environment) as service:
        wait_until(lambda: manager.has("READY=1"))
        wait_until(lambda: manager.has("STATUS=1 clusters, all as desired"))
        wait_until(lambda: manager.has("WATCHDOG=1", times=3))
        assert service.end(signal.SIGTERM) == 0
        assert manager.has("STOPPING=1")
        assert manager.heard.count("READY=1") == 1


def test_a_service_that_stands_still_is_silent(bed: Bed, manager: Manager) -> None:
    with watching(bed, environment=manager.environment) as service:
        wait_until(lambda: manager.has("WATCHDOG=1", times=2))
        service.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: " T " in Path(f"/proc/{service.process.pid}/stat").read_text())
        manager.has("")
        before = manager.heard.count("WATCHDOG=1")
        with pytest.raises(AssertionError):
            wait_until(lambda: manager.has("WATCHDOG=1", times=before + 1), timeout_s=1.0)


def test_systemd_takes_the_unit_file(tmp_path: Path) -> None:
    command = Path(sys.executable).parent / "vmcluster"
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={command}", UNIT.read_text()))
    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        pytest.skip("no systemd-analyze on this machine")
    assert done.returncode == 0, done.stderr
    assert unit.name not in done.stderr


def metrics() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    with urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=PATIENCE_S) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {(of.name, frozenset(of.labels.items())): of.value for family in families for of in family.samples}


def metric(name: str, **labels: str) -> float:
    return metrics().get((f"vmcluster_{name}", frozenset(labels.items())), 0.0)


def test_a_repair_is_counted_where_prometheus_looks(bed: Bed, expected: Audit) -> None:
    with watching(bed, "--metrics-port", str(PORT)), host_libvirt() as handle:
        wait_until(lambda: metric("nodes", cluster=CLUSTER, state="paused") == 2)
        assert metric("drift_repaired_total", kind="power") == 0
        domain(handle).destroy()
        wait_until(lambda: whole(bed, expected))
        wait_until(lambda: metric("drift_repaired_total", kind="power") == 1)
        assert metric("actions_total", kind="power", action="Start") == 1
        wait_until(lambda: metric("cluster_converged", cluster=CLUSTER) == 1)


def test_metrics_are_for_this_host_only(bed: Bed) -> None:
    environment = {"VMCLUSTER_METRICS_PORT": str(PORT)}
    with watching(bed, environment=environment) as service:
        listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
        ours = [line.split()[3] for line in listening.splitlines() if f"pid={service.process.pid}," in line]
        assert ours == [f"127.0.0.1:{PORT}"]
