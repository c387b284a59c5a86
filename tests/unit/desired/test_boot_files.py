"""Kernels that are built again under their names while a record stands."""

import os
from pathlib import Path
from random import Random

import pytest

from reconciler.desired.boot_files import with_files_as_booted, with_files_that_are_there
from reconciler.host.disks.image_file import image_identity
from reconciler.model.choices import StopMode
from reconciler.model.document import ClusterDocument
from reconciler.model.plan import CutPower, Plan
from reconciler.model.record import BootSpec, ClusterRecord
from reconciler.plan.planner import plan
from reconciler.records import record_changes
from tests.simulation.acting import Disturbance, run_round
from tests.simulation.host import SimulatedHost
from tests.simulation.worlds import CLUSTER, cluster_spec, compiled, node_spec


def record_booting(boot: BootSpec) -> ClusterRecord:
    nodes = {"alpha": node_spec(0).model_copy(update={"boot": boot}), "beta": node_spec(1)}
    return record_changes.started(record_changes.with_spec(None, CLUSTER, cluster_spec(nodes)))


def as_applied_now(record: ClusterRecord, boot: BootSpec) -> ClusterRecord:
    """What the next apply of the same topology writes."""
    found = boot.model_copy(update={"identity": identity_of(boot)})
    nodes = {**record.spec.nodes, "alpha": record.spec.nodes["alpha"].model_copy(update={"boot": found})}
    return record_changes.with_spec(record, CLUSTER, record.spec.model_copy(update={"nodes": nodes}))


def identity_of(boot: BootSpec) -> str:
    return " ".join(image_identity(file) for file in boot.files)


@pytest.fixture
def boot(tmp_path: Path) -> BootSpec:
    kernel, initrd = tmp_path / "bzImage", tmp_path / "initrd"
    kernel.write_text("kernel")
    initrd.write_text("initrd")
    found = BootSpec(kernel=kernel, initrd=initrd)
    return found.model_copy(update={"identity": identity_of(found)})


def settled(host: SimulatedHost, record: ClusterRecord) -> int:
    """Run rounds until nothing is left to do; how often power was cut."""
    cuts = 0
    while (todo := run_round(host, record, Disturbance(Random(0)))[0]) != Plan():
        cuts += sum(isinstance(action, CutPower) for action in todo.actions)
    return cuts


@pytest.mark.parametrize("rebuilt", ["kernel", "initrd"])
def test_a_crash_takes_up_a_rebuilt_kernel_and_the_next_apply_has_nothing_to_restart(
    boot: BootSpec, rebuilt: str
) -> None:
    record = record_booting(boot)
    host = SimulatedHost(ClusterDocument(), Random(0))
    settled(host, record)
    getattr(boot, rebuilt).write_text("built again")
    crashed = record_changes.power_cycled(record, frozenset({"alpha"}), StopMode.DESTROY)
    amended = with_files_as_booted(crashed, ["alpha", "beta"])
    assert settled(host, amended) == 1
    assert plan(compiled(as_applied_now(amended, boot), host.observe()), host.observe()) == Plan()


def test_a_record_whose_files_are_those_that_boot_stays_the_same(boot: BootSpec) -> None:
    record = record_booting(boot)
    assert with_files_as_booted(record, ["alpha", "beta"]) is record
    boot.kernel.write_text("built again")
    assert with_files_as_booted(record, ["beta"]) is record
    older = record_booting(boot.model_copy(update={"identity": ""}))
    assert with_files_as_booted(older, ["alpha"]) is older


def test_a_kernel_that_is_gone_is_left_to_the_start_to_tell_of(boot: BootSpec) -> None:
    record = record_booting(boot)
    boot.kernel.unlink()
    assert with_files_as_booted(record, ["alpha"]) is record


def test_a_faithful_copy_is_the_same_kernel(boot: BootSpec, tmp_path: Path) -> None:
    record = record_booting(boot)
    facts = boot.kernel.stat()
    copy = tmp_path / "copy"
    copy.write_bytes(boot.kernel.read_bytes())
    os.utime(copy, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    copy.rename(boot.kernel)
    assert with_files_as_booted(record, ["alpha"]) is record


def test_a_rollback_leaves_a_node_alone_whose_kernel_has_the_same_name(boot: BootSpec, tmp_path: Path) -> None:
    then = record_booting(boot)
    boot.kernel.write_text("built again")
    before = as_applied_now(then, boot)
    boot.kernel.write_text("and again")
    after = with_files_that_are_there(then, before)
    assert after.spec.nodes["alpha"].boot == before.spec.nodes["alpha"].boot
    other = boot.model_copy(update={"kernel": tmp_path / "initrd"})
    away = with_files_that_are_there(then, record_booting(other)).spec.nodes["alpha"].boot
    assert away is not None
    assert (away.kernel, away.identity) == (boot.kernel, identity_of(boot))
    assert with_files_that_are_there(then, None).spec.nodes["alpha"].boot == away
