"""Nodes that do not run, as those read it who would have them work."""

from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError, ClusterNotRunning, SshTimeout
from reconciler.guest.pooled_connections import NoLogin
from reconciler.health.node_state import NodeState, no_login, not_running, unlike_wanted, with_life_signs
from reconciler.host.libvirt.libvirt_driver import FoundDomain
from reconciler.model.document import Halt, HaltReason, Power, PowerState, Unknown
from reconciler.model.record import WantedPower
from reconciler.model.results import DomainState
from reconciler.model.topology import RestartPolicy
from tests.unit.store.samples import sample_record

OFF = NodeState(DomainState.SHUT_OFF)
ENDED = NodeState(DomainState.SHUT_OFF, Halt(reason=HaltReason.QEMU_ENDED, words="qemu: fatal"))
PAUSED = NodeState(DomainState.PAUSED, Halt(reason=HaltReason.USER))
FULL = NodeState(DomainState.PAUSED, Halt(reason=HaltReason.IO_ERROR, disks={"vda": "no space left"}))
PANICKED = NodeState(DomainState.CRASHED, Halt(reason=HaltReason.PANIC))
LOST = NodeState.seen(Unknown(unknown="host two does not answer; start it", code=ErrorCode.HOST_LOST))
STOPPED = NodeState(DomainState.CRASHED, Halt(reason=HaltReason.INTERNAL_ERROR, words="emulation failure"), "kvm")


@pytest.mark.parametrize(
    ("down", "told", "remedy"),
    [
        ({"n0": OFF}, "n0 is not running, but shut off", "`cluster_start` boots it"),
        (
            {"n0": ENDED},
            "n0 is not running: it is off because its QEMU ended unexpectedly; QEMU said: qemu: fatal",
            "`cluster_start` boots it",
        ),
        ({"n0": PAUSED}, "n0 is not running, but paused", "`cluster_start` resumes it"),
        (
            {"n0": FULL},
            "n0 is not running: it was paused by an I/O error on vda: no space left",
            "`cluster_start` resumes it",
        ),
        ({"n0": PANICKED}, "n0 is not running: it has panicked", "`node_crash` boots n0 again"),
        (
            {"n0": STOPPED},
            "n0 is not running: it was stopped by QEMU itself: internal error; QEMU said: emulation failure",
            "`node_crash` boots n0 again; if it happens again, this host's KVM cannot run this guest",
        ),
        (
            {"n0": PANICKED, "n1": PAUSED, "n2": OFF},
            "n1 is not running, but paused, n2 is not running",
            "boots n0 again; then `cluster_start` boots them",
        ),
    ],
    ids=["off", "ended", "paused", "full", "panicked", "stopped by QEMU", "several"],
)
def test_nodes_that_do_not_run_are_told_with_the_cause_and_the_remedy_that_helps(
    down: dict[str, NodeState], told: str, remedy: str
) -> None:
    error = not_running("lab", down)
    assert (told in error.message, remedy in (error.hint or "")) == (True, True), error
    assert ("start" in (error.hint or "")) == any(of.resumable for of in down.values())
    if len(down) == 1:
        assert told in no_login("n0", down["n0"], 3.0).message


def test_a_node_that_cannot_be_seen_may_run_and_is_told_with_what_helps() -> None:
    assert not_running("lab", {"n0": LOST}).message.endswith(
        "n0 is not known to run: host two does not answer; start it"
    )
    assert not_running("lab", {"n0": LOST}).hint == ""
    assert not_running("lab", {"n0": LOST, "n1": OFF}).hint == "`cluster_start` boots it"


TORN = Unknown(unknown="torn", code=ErrorCode.OPERATION_FAILED)
SHUT_DOWN = Halt(reason=HaltReason.SHUT_DOWN)


@pytest.mark.parametrize(
    ("wanted", "restart", "power", "told"),
    [
        (WantedPower.RUNNING, RestartPolicy.ALWAYS, Power(state=PowerState.RUNNING), None),
        (WantedPower.OFF, RestartPolicy.ALWAYS, Power(state=PowerState.OFF), None),
        (WantedPower.OFF, RestartPolicy.ALWAYS, Power(state=PowerState.OFF, halt=SHUT_DOWN), None),
        (WantedPower.PAUSED, RestartPolicy.ALWAYS, Power(state=PowerState.PAUSED), None),
        (WantedPower.RUNNING, RestartPolicy.ALWAYS, None, "it has no machine; create it with `cluster_apply`"),
        (
            WantedPower.OFF,
            RestartPolicy.ALWAYS,
            TORN,
            "its state is unknown: torn",
        ),
        (WantedPower.RUNNING, RestartPolicy.ALWAYS, Power(state=PowerState.STOPPING), "it is shutting down"),
        (WantedPower.RUNNING, RestartPolicy.ALWAYS, Power(state=PowerState.OFF), "it is off; `cluster_start` boots it"),
        (
            WantedPower.RUNNING,
            RestartPolicy.ALWAYS,
            Power(state=PowerState.OFF, halt=SHUT_DOWN),
            "it is off because it shut down; `cluster_start` boots it",
        ),
        (
            WantedPower.OFF,
            RestartPolicy.NEVER,
            Power(state=PowerState.OFF, halt=SHUT_DOWN),
            "it is off because it shut down, and stays off (`restart: never`); `cluster_start` boots it",
        ),
        (
            WantedPower.OFF,
            RestartPolicy.ALWAYS,
            Power(state=PowerState.RUNNING),
            "it runs but should be off; turn it off with `cluster_stop`",
        ),
    ],
)
def test_a_node_that_is_not_as_desired_has_a_cause(
    wanted: WantedPower, restart: RestartPolicy, power: Power | Unknown | None, told: str | None
) -> None:
    assert unlike_wanted(wanted, restart, power) == told


@pytest.mark.parametrize(
    ("silent", "kind", "words"),
    [
        (NoLogin("no SSH login", node="n0"), ClusterNotRunning, "n0 is not running, but paused"),
        (SshTimeout("it fell silent", node="n0"), SshTimeout, "it fell silent; cluster 'lab': n0 is not running, but"),
    ],
)
async def test_a_node_that_falls_silent_because_it_was_paused_is_told_as_paused(
    silent: SshTimeout, kind: type[ClusterError], words: str
) -> None:
    marked: Any = SimpleNamespace(domain=SimpleNamespace(virt_type="qemu"))
    paused = FoundDomain(marked, PowerState.PAUSED, True, halt=Halt(reason=HaltReason.USER))
    told = await with_life_signs(sample_record(), silent, paused)
    assert type(told) is kind
    assert words in told.message
    assert "`cluster_start` resumes it" in (told.hint or "")
    assert await with_life_signs(sample_record(), silent, None) is silent
