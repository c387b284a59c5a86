"""Explains a halted machine: why, since when, and what helps. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from reconciler.error_codes import ErrorCode
from reconciler.model.document import ClusterDocument, Halt, HaltReason, Power, PowerState, Unknown
from reconciler.model.plan import Plan
from reconciler.model.status import Obstacle

_OFF = '`cluster_stop(mode="destroy")` turns it off'
_RUNS_ON = "`cluster_start` resumes it"
_PASSES_BY = f"; this ends by itself; if it does not, {_RUNS_ON}, {_OFF}"
_STARTS = (
    "; this ends by itself; if it does not, libvirtd was killed during the start and never lets go of it: stop "
    "libvirtd, delete the node's XML file in /run/libvirt/qemu, and start libvirtd again; other nodes keep running"
)
KVM_CANNOT = (
    "; if it happens again, this host's KVM cannot run this guest: `virt_type: qemu` in the topology emulates it, and "
    "`host_doctor` shows whether KVM works here"
)

_CAUSES = {
    HaltReason.USER: "is paused{since}",
    HaltReason.PANIC: "has panicked{at}",
    HaltReason.IO_ERROR: "was paused by an I/O error{at}{disks} (is the disk full?)",
    HaltReason.INTERNAL_ERROR: "was stopped by QEMU itself{at}: internal error{words}",
    HaltReason.WATCHDOG: "was paused by its watchdog device{at}",
    HaltReason.DEBUGGER: "is held by a debugger that is attached to QEMU",
    HaltReason.SUSPENDED: "has suspended itself to memory{at}",
    HaltReason.STARTING: "is being started",
    HaltReason.JOB: "is paused for a libvirt job (save, dump, snapshot or migration)",
    HaltReason.JOB_FAILED: "was left paused by a libvirt operation that failed{at}",
    HaltReason.UNTOLD: "is paused{since}, and neither libvirt nor QEMU says why",
    HaltReason.QEMU_ENDED: "is off because its QEMU ended unexpectedly{at}{words}",
    HaltReason.START_FAILED: "is off because its QEMU failed to start{at}{words}",
    HaltReason.SHUT_DOWN: "is off because it shut down",
}
"""A phrase for every reason there is."""

_REMEDIES = {
    HaltReason.PANIC: f" and is left as it is; `node_crash` boots it again, {_OFF}",
    HaltReason.INTERNAL_ERROR: f"; it cannot continue and is left as it is; `node_crash` boots it again, {_OFF}",
    HaltReason.SUSPENDED: f"; `cluster_start` wakes it, {_OFF}",
    HaltReason.STARTING: _STARTS,
    HaltReason.JOB: _PASSES_BY,
}
"""Every other halt is resumed or turned off."""

_PASSES = frozenset({HaltReason.STARTING, HaltReason.JOB})
"""Halts that end by themselves."""

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
    """Why a machine does not run; None if it runs, or was turned off normally."""
    usual = _USUAL.get(power.state)
    return power.halt or (Halt(reason=usual) if usual else None)


def why(halt: Halt | Unknown) -> str:
    """Why it does not run, to follow `the guest` or `it`."""
    if isinstance(halt, Unknown):
        return f"is paused for an unknown reason: {halt.unknown}"
    return _CAUSES[halt.reason].format(
        at=_at(halt.since), since=_since(halt.since), words=_words(halt), disks=_on_disks(halt)
    )


def halt_remedy(halt: Halt | Unknown, virt_type: str) -> str:
    """What to do about a halted machine, to follow the text of `why`."""
    reason = halt.reason if isinstance(halt, Halt) else HaltReason.UNTOLD
    return _REMEDIES.get(reason, f"; {_RUNS_ON}, {_OFF}") + _kvm_cannot(halt, virt_type)


def stands_still(node: str, halt: Halt | Unknown, virt_type: str) -> Obstacle:
    """The obstacle of a node that is halted and should not be."""
    reason = halt.reason if isinstance(halt, Halt) else HaltReason.UNTOLD
    return Obstacle(
        code=ErrorCode.GUEST_CRASHED if reason in NOT_RESUMABLE else ErrorCode.GUEST_PAUSED,
        node=node,
        terminal=reason not in _PASSES,
        message=f"the guest {why(halt)}{halt_remedy(halt, virt_type)}",
    )


@dataclass(frozen=True, slots=True)
class WayBack:
    """How halted nodes come to run again: some resume with their memory, others have to boot."""

    resumes: frozenset[str] = frozenset()
    boots: frozenset[str] = frozenset()


def way_back(plan: Plan, observed: ClusterDocument) -> WayBack:
    """The way back for every node that should run and that the plan reports as halted.

    A halt that ends by itself is waited for, and a machine held by a debugger stays there.
    """
    still = dict(_standing_still(plan, observed))
    boots = frozenset(node for node, reason in still.items() if reason in NOT_RESUMABLE)
    resumes = frozenset(node for node, reason in still.items() if reason not in NOT_RESUMABLE | _PASSES | _HELD)
    return WayBack(resumes, boots)


def runs_on(power: Power) -> str:
    """Why a halted node is resumed, and what that costs."""
    halt = halt_of(power)
    return f"{why(halt) if halt else power.state}; it resumes, its memory is kept"


def boots_again(power: Power, virt_type: str) -> str:
    """Why a halted node has its power cut and boots, and what that costs."""
    halt = halt_of(power)
    return f"{why(halt) if halt else power.state}; it boots, its memory is lost{_kvm_cannot(halt, virt_type)}"


def _standing_still(plan: Plan, observed: ClusterDocument) -> Iterator[tuple[str, HaltReason]]:
    for obstacle in plan.obstacles:
        power = observed.power.get(obstacle.node or "")
        if obstacle.code in _STANDS_STILL and obstacle.node and isinstance(power, Power):
            halt = halt_of(power)
            yield obstacle.node, halt.reason if isinstance(halt, Halt) else HaltReason.UNTOLD


def ended_unexpectedly(halt: Halt | Unknown | None) -> str:
    """How a machine came to be off, as a clause; empty if it was turned off normally."""
    return f"it {why(halt)}" if isinstance(halt, Halt) and halt.reason in _UNEXPECTED else ""


def _kvm_cannot(halt: Halt | Unknown | None, virt_type: str) -> str:
    stopped = isinstance(halt, Halt) and halt.reason is HaltReason.INTERNAL_ERROR
    return KVM_CANNOT if stopped and virt_type == "kvm" else ""


def _at(since: datetime | None) -> str:
    return f" at {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""


def _since(since: datetime | None) -> str:
    return f" (since {since:%Y-%m-%d %H:%M:%S} UTC)" if since else ""


def _words(halt: Halt) -> str:
    if isinstance(halt.words, Unknown):
        return f" ({halt.words.unknown})"
    return f"; QEMU said: {halt.words}" if halt.words else ""


def _on_disks(halt: Halt) -> str:
    told = ", ".join(f"{target}: {error}" for target, error in sorted(halt.disks.items()))
    return f" on {told}" if told else ""
