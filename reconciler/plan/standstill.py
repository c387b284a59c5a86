"""A machine that does not run, in words: why, since when, and what helps. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from reconciler.errors import ErrorCode
from reconciler.model.document import ClusterDocument, Halt, HaltReason, Power, PowerState, Unknown
from reconciler.model.plan import Plan
from reconciler.model.status import Obstacle

_OFF = '`cluster_stop(mode="destroy")` turns it off'
_RUNS_ON = "`cluster_start` lets it run on"
_PASSES_BY = f"; that ends by itself; where it does not, {_RUNS_ON}, {_OFF}"
KVM_CANNOT = (
    "; if it happens again, this host's KVM cannot run this guest: `virt_type: qemu` in the topology emulates it, and "
    "`vmcluster doctor` tells what KVM is worth here"
)

_CAUSES = {
    HaltReason.USER: "is paused",
    HaltReason.PANIC: "has panicked",
    HaltReason.IO_ERROR: "was paused by an I/O error{disks} (is the disk full?)",
    HaltReason.INTERNAL_ERROR: "was stopped by QEMU itself{at}: internal error{words}",
    HaltReason.WATCHDOG: "was paused by its watchdog device",
    HaltReason.DEBUGGER: "is held by a debugger that is attached to QEMU",
    HaltReason.SUSPENDED: "has suspended itself to memory",
    HaltReason.STARTING: "is being started",
    HaltReason.JOB: "stands still for a job of libvirt's (a save, dump, snapshot or migration)",
    HaltReason.JOB_FAILED: "was left paused by an operation of libvirt's that failed",
    HaltReason.UNTOLD: "is paused, and neither libvirt nor QEMU says why",
    HaltReason.QEMU_ENDED: "is off since its QEMU ended unexpectedly{at}{words}",
    HaltReason.START_FAILED: "is off since its QEMU failed to start{at}{words}",
    HaltReason.SHUT_DOWN: "is off since it shut down",
}
"""For every reason there is."""

_REMEDIES = {
    HaltReason.PANIC: f" and is kept as it is; `node_crash` boots it again, {_OFF}",
    HaltReason.INTERNAL_ERROR: f"; it cannot run on and is kept as it is; `node_crash` boots it again, {_OFF}",
    HaltReason.SUSPENDED: f"; `cluster_start` wakes it, {_OFF}",
    HaltReason.STARTING: _PASSES_BY,
    HaltReason.JOB: _PASSES_BY,
}
"""Others are let run on, or turned off."""

_PASSES = frozenset({HaltReason.STARTING, HaltReason.JOB})
"""What ends by itself."""

_HELD = frozenset({HaltReason.DEBUGGER})
_STANDS_STILL = frozenset({ErrorCode.GUEST_CRASHED, ErrorCode.GUEST_PAUSED})

NOT_RESUMABLE = frozenset({HaltReason.PANIC, HaltReason.INTERNAL_ERROR})
_UNEXPECTED = frozenset({HaltReason.QEMU_ENDED, HaltReason.START_FAILED})

_USUAL = {
    PowerState.PAUSED: HaltReason.USER,
    PowerState.BLOCKED: HaltReason.IO_ERROR,
    PowerState.CRASHED: HaltReason.PANIC,
}


def halt_of(power: Power) -> Halt | Unknown | None:
    """Why a machine does not run; None where it does, or was turned off as others are."""
    usual = _USUAL.get(power.state)
    return power.halt or (Halt(reason=usual) if usual else None)


def why(halt: Halt | Unknown) -> str:
    """Why it does not run, to be put after `the guest` or `it`."""
    if isinstance(halt, Unknown):
        return f"is paused, and why is not known: {halt.unknown}"
    return _CAUSES[halt.reason].format(at=_at(halt.since), words=_words(halt), disks=_on_disks(halt))


def remedy(halt: Halt | Unknown, virt_type: str) -> str:
    """What can be done about a machine that stands still, to be put right after why it does."""
    reason = halt.reason if isinstance(halt, Halt) else HaltReason.UNTOLD
    return _REMEDIES.get(reason, f"; {_RUNS_ON}, {_OFF}") + _kvm_cannot(halt, virt_type)


def stands_still(node: str, halt: Halt | Unknown, virt_type: str) -> Obstacle:
    """What stands in the way of a node that is not to stand still."""
    reason = halt.reason if isinstance(halt, Halt) else HaltReason.UNTOLD
    return Obstacle(
        code=ErrorCode.GUEST_CRASHED if reason in NOT_RESUMABLE else ErrorCode.GUEST_PAUSED,
        node=node,
        terminal=reason not in _PASSES,
        message=f"the guest {why(halt)}{remedy(halt, virt_type)}",
    )


@dataclass(frozen=True, slots=True)
class WayBack:
    """How nodes that stand still come to run again: some run on, with their memory, others have to boot."""

    resumes: frozenset[str] = frozenset()
    boots: frozenset[str] = frozenset()


def way_back(plan: Plan, observed: ClusterDocument) -> WayBack:
    """The way back of every node that is to run and that the plan says stands still.

    What ends by itself is waited for, and a machine in a debugger's hands stays there.
    """
    still = dict(_standing_still(plan, observed))
    boots = frozenset(node for node, reason in still.items() if reason in NOT_RESUMABLE)
    resumes = frozenset(node for node, reason in still.items() if reason not in NOT_RESUMABLE | _PASSES | _HELD)
    return WayBack(resumes, boots)


def runs_on(power: Power) -> str:
    """Why a node that stands still is let run on, and what that costs."""
    halt = halt_of(power)
    return f"{why(halt) if halt else power.state}; it runs on, its memory is kept"


def boots_again(power: Power, virt_type: str) -> str:
    """Why a node that stands still has its power cut and boots, and what that costs."""
    halt = halt_of(power)
    return f"{why(halt) if halt else power.state}; it boots, its memory is lost{_kvm_cannot(halt, virt_type)}"


def _standing_still(plan: Plan, observed: ClusterDocument) -> Iterator[tuple[str, HaltReason]]:
    for obstacle in plan.obstacles:
        power = observed.power.get(obstacle.node or "")
        if obstacle.code in _STANDS_STILL and obstacle.node and isinstance(power, Power):
            halt = halt_of(power)
            yield obstacle.node, halt.reason if isinstance(halt, Halt) else HaltReason.UNTOLD


def ended_unexpectedly(halt: Halt | Unknown | None) -> str:
    """How a machine came to be off, as a clause; empty where it was turned off as others are."""
    return f"it {why(halt)}" if isinstance(halt, Halt) and halt.reason in _UNEXPECTED else ""


def _kvm_cannot(halt: Halt | Unknown | None, virt_type: str) -> str:
    stopped = isinstance(halt, Halt) and halt.reason is HaltReason.INTERNAL_ERROR
    return KVM_CANNOT if stopped and virt_type == "kvm" else ""


def _at(since: datetime | None) -> str:
    return f" at {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""


def _words(halt: Halt) -> str:
    if isinstance(halt.words, Unknown):
        return f" ({halt.words.unknown})"
    return f"; QEMU said: {halt.words}" if halt.words else ""


def _on_disks(halt: Halt) -> str:
    told = ", ".join(f"{target}: {error}" for target, error in sorted(halt.disks.items()))
    return f" on {told}" if told else ""
