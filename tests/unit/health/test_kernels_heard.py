"""What a kernel reports on its console beside a command."""

from pathlib import Path

import pytest

from reconciler.errors import SshError
from reconciler.health.kernels_heard import KernelsHeard
from reconciler.model.names import console_path
from reconciler.model.record import ClusterRecord
from reconciler.model.results import ExecResult
from tests.unit.store.samples import sample_record

BOOT = "[    0.000000] Linux version 6.1.0\n[    1.000000] Oops: old news\n"
OOPS = (
    "[   77.100000] BUG: kernel NULL pointer dereference, address: 0000000000000000\r\n"
    "[   77.200000] #PF: supervisor read access in kernel mode\r\n"
    "[   77.300000] Oops: 0000 [#1] PREEMPT SMP NOPTI\r\n"
)


@pytest.fixture
def record(tmp_path: Path) -> ClusterRecord:
    """A cluster of zeta, whose console has said something, and alpha, which has never run."""
    found = sample_record()
    found = found.model_copy(update={"spec": found.spec.model_copy(update={"overlay_dir": tmp_path})})
    console = console_path(tmp_path, "lab", "zeta")
    console.parent.mkdir(parents=True)
    console.write_text(BOOT)
    return found


def answer() -> ExecResult:
    return ExecResult(exit_code=0, stdout="", stderr="", duration_s=1.0, timed_out=False)


async def test_an_oops_meanwhile_is_said_beside_the_result(record: ClusterRecord, tmp_path: Path) -> None:
    kernels = await KernelsHeard.from_now(record, ["zeta", "alpha"])
    quiet = await kernels.beside({"zeta": answer(), "alpha": answer()})
    assert [of.kernel_event for of in quiet.values()] == [None, None]
    with console_path(tmp_path, "lab", "zeta").open("a") as console:
        console.write(OOPS)
    heard = await kernels.beside({"alpha": answer(), "zeta": answer()})
    assert heard["alpha"].kernel_event is None
    assert "NULL pointer dereference" in (heard["zeta"].kernel_event or "")


async def test_a_lost_connection_says_what_the_kernel_reported(record: ClusterRecord, tmp_path: Path) -> None:
    kernels = await KernelsHeard.from_now(record, ["zeta"])
    with console_path(tmp_path, "lab", "zeta").open("a") as console:
        console.write("[   80.000000] Kernel panic - not syncing: sysrq triggered crash\n")
    error = await kernels.explained(SshError("the connection was lost", node="zeta"), "zeta")
    assert "lost; meanwhile the kernel of zeta reported: Kernel panic - not syncing" in error.message
