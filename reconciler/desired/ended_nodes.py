"""Nodes that ended without a request, and stay off because their topology says so. Pure.

Their power state becomes part of the record: libvirt forgets how a machine ended when its daemon restarts.
"""

from collections.abc import Set

from reconciler.model.document import ClusterDocument, Halt, HaltReason, Power, PowerState
from reconciler.model.record import ClusterRecord, NodeIntent, WantedPower
from reconciler.model.topology import RestartPolicy

_STAYS_OFF = {
    RestartPolicy.ALWAYS: frozenset[HaltReason](),
    RestartPolicy.ON_CRASH: frozenset({HaltReason.SHUT_DOWN}),
    RestartPolicy.NEVER: frozenset({HaltReason.SHUT_DOWN, HaltReason.QEMU_ENDED}),
}


def ends_that_stay(restart: RestartPolicy) -> Set[HaltReason]:
    """The ways to end after which a machine stays off."""
    return _STAYS_OFF[restart]


def may_stay_off(record: ClusterRecord) -> bool:
    """Whether any node of the record may stay off without a request."""
    return record.deletion is None and any(
        node.restart is not RestartPolicy.ALWAYS for node in record.spec.nodes.values()
    )


def with_ended_off(record: ClusterRecord, observed: ClusterDocument) -> ClusterRecord:
    """The record with the nodes that stay off desired off; the same object if there are none."""
    left = nodes_that_ended(record, observed)
    off = {name: record.nodes[name].model_copy(update={"power": WantedPower.OFF}) for name in left}
    return record.model_copy(update={"nodes": {**record.nodes, **off}}) if off else record


def nodes_that_ended(record: ClusterRecord, observed: ClusterDocument) -> frozenset[str]:
    """The nodes that the record wants running, that have ended, and that are not started again without a request."""
    if not may_stay_off(record):
        return frozenset()
    return frozenset(name for name, intent in record.nodes.items() if _stays_off(record, name, intent, observed))


def nodes_shutting_down(record: ClusterRecord, observed: ClusterDocument) -> frozenset[str]:
    """The nodes that may stay off and are shutting down: a start requested now follows their end."""
    down = {name for name, of in observed.power.items() if isinstance(of, Power) and of.state is PowerState.STOPPING}
    return frozenset(
        name for name in down & record.spec.nodes.keys() if record.spec.nodes[name].restart is not RestartPolicy.ALWAYS
    )


def _stays_off(record: ClusterRecord, name: str, intent: NodeIntent, observed: ClusterDocument) -> bool:
    """False while a start, power cycle or revert requested since then is still pending: it is carried out first."""
    have = observed.power.get(name)
    if intent.power is WantedPower.OFF or not isinstance(have, Power) or have.state is not PowerState.OFF:
        return False
    asked = have.resume_epoch < intent.resume_epoch or have.boot_epoch < intent.boot_epoch
    ended = have.halt.reason if isinstance(have.halt, Halt) else None
    return not asked and ended in _STAYS_OFF[record.spec.nodes[name].restart]


def standing_still(record: ClusterRecord, observed: ClusterDocument) -> frozenset[str]:
    """Nodes that only run again on request: paused, or left off."""
    stopped = {PowerState.PAUSED, PowerState.BLOCKED}
    paused = {name for name, of in observed.power.items() if isinstance(of, Power) and of.state in stopped}
    return nodes_that_ended(record, observed) | nodes_shutting_down(record, observed) | paused
