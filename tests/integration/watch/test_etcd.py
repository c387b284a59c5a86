"""The service on records that are in etcd, which goes away and comes back."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.etcd import RunningEtcd, running_etcd
from tests.integration.bed import Audit, Bed, audit, host_libvirt
from tests.integration.clusters.test_kills import CLUSTER, define, start
from tests.integration.kills import run
from tests.integration.watch.conftest import watching
from tests.integration.watch.test_repairs import domain, whole
from tests.waiting import wait_until


@pytest.fixture
def etcd(bed: Bed) -> Iterator[RunningEtcd]:
    with running_etcd(bed.directory / "etcd") as running:
        yield running


@pytest.fixture
def etcd_bed(bed: Bed, etcd: RunningEtcd) -> Bed:
    (bed.directory / "config.yaml").write_text(f"store: {etcd.address}\n")
    return Bed.found_in(bed.directory)


@pytest.fixture
def expected(etcd_bed: Bed) -> Audit:
    etcd_bed.write_topology(CLUSTER)
    run(etcd_bed, define, start)
    return audit(etcd_bed)


def vmcluster(bed: Bed, *arguments: str) -> tuple[int, Any]:
    command = [str(Path(sys.executable).parent / "vmcluster"), *arguments, "-o", "json"]
    done = subprocess.run(command, env=bed.environment, stdout=subprocess.PIPE, timeout=120, check=False)
    return done.returncode, json.loads(done.stdout)


def test_without_etcd_machines_run_on_and_with_it_again_everything_is_repaired(
    etcd_bed: Bed, expected: Audit, etcd: RunningEtcd
) -> None:
    assert len(expected.active) == 2
    with watching(etcd_bed) as watch, host_libvirt() as handle:
        wait_until(lambda: bool(watch.logged("watching")))
        etcd.stop()
        code, said = vmcluster(etcd_bed, "status", CLUSTER)
        assert (code, said["code"]) == (1, "STORE_UNAVAILABLE")
        assert audit(etcd_bed).active == expected.active
        domain(handle).destroy()
        code, said = vmcluster(etcd_bed, "stop", CLUSTER)
        assert (code, said["code"]) == (1, "STORE_UNAVAILABLE")
        assert watch.process.poll() is None
        etcd.start()
        wait_until(lambda: whole(etcd_bed, expected))
        code, said = vmcluster(etcd_bed, "list")
        assert (code, [cluster["cluster_name"] for cluster in said]) == (0, [CLUSTER])
        assert watch.end() == 0
    assert not (etcd_bed.settings.state_dir / "records.sqlite").exists()
