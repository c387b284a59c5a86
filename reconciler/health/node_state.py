"""Errors for nodes that do not run or accept no login: their state, its reason, and what helps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.desired.ended_nodes import ends_that_stay
from reconciler.errors import ClusterError, ClusterNotRunning, SshTimeout
from reconciler.guest.pooled_connections import NoLogin
from reconciler.health.no_login import quiet, remedy_of
from reconciler.health.node_failures import only_one
from reconciler.host.libvirt.libvirt_driver import FoundDomain
from reconciler.model.document import Halt, HaltReason, Power, PowerState, Unknown
from reconciler.model.record import ClusterRecord, WantedPower
from reconciler.model.results import DomainState
from reconciler.model.topology import RestartPolicy
from reconciler.observe.liveness import observe_life_signs
from reconciler.plan.halted_machines import KVM_CANNOT, NOT_RESUMABLE, ended_unexpectedly, halt_of, why

DOMAIN_STATES = {
    PowerState.RUNNING: DomainState.RUNNING,
    PowerState.STOPPING: DomainState.RUNNING,
    PowerState.PAUSED: DomainState.PAUSED,
    PowerState.BLOCKED: DomainState.PAUSED,
    PowerState.CRASHED: DomainState.CRASHED,
    PowerState.OFF: DomainState.SHUT_OFF,
}


_UP = frozenset({PowerState.RUNNING, PowerState.PAUSED, PowerState.BLOCKED, PowerState.CRASHED})


@dataclass(frozen=True, slots=True)
class NodeState:
    """The state of a node; `halt` is why it does not run, if that is known, or why its state is not."""

    state: DomainState
    halt: Halt | Unknown | None = None
    virt_type: str = ""

    @classmethod
    def of(cls, domain: FoundDomain | None) -> "NodeState":
        """The state of a node with this domain; unknown if there is none, or it is not vmcluster's."""
        if domain is None or domain.record is None:
            return cls(DomainState.UNKNOWN)
        halt = halt_of(Power(state=domain.state, halt=domain.halt))
        return cls(DOMAIN_STATES[domain.state], halt, domain.record.domain.virt_type)

    @classmethod
    def seen(cls, power: Power | Unknown | None) -> "NodeState":
        """The state of a node of which this was observed; None: it has no machine."""
        if isinstance(power, Power):
            return cls(DOMAIN_STATES[power.state], halt_of(power))
        return cls(DomainState.UNKNOWN, power)

    @property
    def told(self) -> str:
        """The state in words, to follow the node's name."""
        if self.state is DomainState.UNKNOWN:
            if isinstance(self.halt, Unknown):
                return f"is not known to run: {self.halt.unknown}"
            return "is not running: it has no machine"
        if self.state is DomainState.SHUT_OFF:
            ended = ended_unexpectedly(self.halt)
            return f"is not running: {ended}" if ended else "is not running, but shut off"
        if self.halt is None:
            return "is running"
        if isinstance(self.halt, Halt) and self.halt.reason is HaltReason.USER:
            return f"is not running, but {why(self.halt).removeprefix('is ')}"
        return f"is not running: it {why(self.halt)}"

    @property
    def unseen(self) -> bool:
        """Whether it could not be observed, so that it may run."""
        return self.state is DomainState.UNKNOWN and isinstance(self.halt, Unknown)

    @property
    def resumable(self) -> bool:
        """Whether a start resumes it; otherwise it is evidence, which a start leaves alone."""
        return not (isinstance(self.halt, Halt) and self.halt.reason in NOT_RESUMABLE)


def not_running(cluster: str, down: Mapping[str, NodeState]) -> ClusterNotRunning:
    """The error for nodes that have to run, with their states."""
    told = ", ".join(f"{node} {standing.told}" for node, standing in down.items())
    return ClusterNotRunning(
        f"cluster {cluster!r}: {told}",
        node=only_one(down),
        hint=_remedy(down),
    )


def no_login(node: str, standing: NodeState, timeout_s: float) -> SshTimeout:
    """The error for a node that should accept a login and does not even run."""
    told = f"no SSH login within {timeout_s:g} s: {node} {standing.told}"
    return SshTimeout(told, node=node, hint=_remedy({node: standing}))


def unlike_wanted(wanted: WantedPower, restart: RestartPolicy, power: Power | Unknown | None) -> str | None:
    """How a node's power state differs from the desired one, and what helps; None if it does not, or if the node is
    paused, which is reported elsewhere. A node that stays off because it shut down by itself is also described.
    """
    if power is None:
        return "it has no machine; create it with `cluster_apply`"
    if isinstance(power, Unknown):
        return f"its state is unknown: {power.unknown}"
    if power.state in _UP and wanted is WantedPower.OFF:
        return "it runs but should be off; turn it off with `cluster_stop`"
    if power.state is not PowerState.OFF:
        return "it is shutting down" if power.state is PowerState.STOPPING else None
    halt = halt_of(power)
    ended = isinstance(halt, Halt) and halt.reason in ends_that_stay(restart)
    if wanted is WantedPower.OFF and not ended:
        return None
    stays = f", and stays off (`restart: {restart}`)" if ended else ""
    return f"it {why(halt) if halt else 'is off'}{stays}; `cluster_start` boots it"


async def with_life_signs(record: ClusterRecord, error: SshTimeout, domain: FoundDomain | None) -> ClusterError:
    """The same error, with what the host has observed of the node; that it does not run, if that is so."""
    if domain is None or domain.record is None:
        return error
    if domain.state is not PowerState.RUNNING:
        stands = not_running(record.cluster_name, {str(error.node): NodeState.of(domain)})
        told = f"{error.message}; {stands.message}"
        return stands if isinstance(error, NoLogin) else SshTimeout(told, node=error.node, hint=stands.hint)
    if not isinstance(error, NoLogin):
        return error
    found = quiet(await observe_life_signs(record, domain.record.mark.node), domain.record.domain)
    told = f"{error.message}; {found.told}" if found else error.message
    return SshTimeout(told, node=error.node, hint=remedy_of(found, record.cluster_name))


def _remedy(down: Mapping[str, NodeState]) -> str:
    """What helps with nodes whose state is known; why it is not says what helps with the others."""
    down = {node: of for node, of in down.items() if not of.unseen}
    stopped = [node for node, standing in down.items() if not standing.resumable]
    others = [node for node in down if node not in stopped]
    ways = [f"`node_crash` boots {', '.join(stopped)} again"] if stopped else []
    if others:
        ways.append(f"`cluster_start` {_effect(down[node] for node in others)}")
    kvm = KVM_CANNOT if any(map(_kvm_failed, down.values())) else ""
    return "; then ".join(ways) + kvm


def _effect(standings: Iterable[NodeState]) -> str:
    chosen = list(standings)
    them = "it" if len(chosen) == 1 else "them"
    paused = all(of.state is DomainState.PAUSED for of in chosen)
    return f"resumes {them}" if paused else f"boots {them}"


def _kvm_failed(standing: NodeState) -> bool:
    reason = standing.halt.reason if isinstance(standing.halt, Halt) else None
    return standing.virt_type == "kvm" and reason is HaltReason.INTERNAL_ERROR
