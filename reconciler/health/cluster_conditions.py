"""The conditions of a cluster that depend on its guests, from the conditions of its nodes. Pure."""

from collections.abc import Sequence

from reconciler.model.record import ClusterRecord, WantedPower
from reconciler.model.results import DomainState, NodeStatus
from reconciler.model.status import Condition, ConditionStatus, ConditionType

_WHERE_ALL_ARE = {ConditionType.KERNEL_HEALTHY: "NothingReported", ConditionType.PROVISIONED: "AllProvisioned"}
_WORST_FIRST = (ConditionStatus.FALSE, ConditionStatus.UNKNOWN, ConditionStatus.TRUE)


def guests_conditions(record: ClusterRecord, nodes: Sequence[NodeStatus]) -> tuple[Condition, ...]:
    """Each such condition, as of now; empty if there are no nodes."""
    return tuple(cluster_condition(record, nodes, kind) for kind in _WHERE_ALL_ARE) if nodes else ()


def with_guests(of_host: Sequence[Condition], of_guests: Sequence[Condition]) -> tuple[Condition, ...]:
    """All conditions of a cluster: it is not Ready while one of its kernels is not healthy."""
    kernels = next((of for of in of_guests if of.type is ConditionType.KERNEL_HEALTHY), None)
    return (*(_with_kernels(of, kernels) if kernels else of for of in of_host), *of_guests)


def _with_kernels(condition: Condition, kernels: Condition) -> Condition:
    """Ready with what the kernels say; any other condition as it is."""
    settled = condition.type is ConditionType.READY and condition.status is ConditionStatus.TRUE
    if not settled or kernels.status is ConditionStatus.UNKNOWN:
        return condition
    since = max(condition, kernels, key=lambda of: of.last_transition)
    if kernels.status is ConditionStatus.TRUE:
        return condition.model_copy(update={"last_transition": since.last_transition})
    sick = _told(since, ConditionStatus.FALSE, "KernelUnhealthy", kernels.message)
    return sick.model_copy(update={"type": ConditionType.READY})


def cluster_condition(record: ClusterRecord, nodes: Sequence[NodeStatus], kind: ConditionType) -> Condition:
    """The condition of all nodes that run or should run: the worst one counts, and its message names those nodes.

    It is True since the last node's became True; otherwise it is so since the first node's was.
    """
    found = {node.name: _of(node, kind) for node in nodes}
    concerned = {
        node.name: found[node.name]
        for node in nodes
        if node.domain_state is DomainState.RUNNING or record.nodes[node.name].power is WantedPower.RUNNING
    }
    if not concerned:
        latest = max(found.values(), key=lambda of: of.last_transition)
        return _told(latest, ConditionStatus.UNKNOWN, "NotRunning", "no node runs")
    worst = min((of.status for of in concerned.values()), key=_WORST_FIRST.index)
    alike = {name: of for name, of in concerned.items() if of.status is worst}
    told = "; ".join(f"{name}: {of.message}" for name, of in alike.items() if of.message)
    first, *_, last = 2 * sorted(alike.values(), key=lambda of: of.last_transition)
    if worst is ConditionStatus.TRUE:
        return _told(last, worst, _WHERE_ALL_ARE[kind], told)
    reasons = sorted({of.reason for of in alike.values()})  # a failure comes before what is still running
    return _told(first, worst, reasons[0], told)


def _of(node: NodeStatus, kind: ConditionType) -> Condition:
    """The condition of a node; False if its kernel does not run."""
    has = {of.type: of for of in node.conditions}
    other = has[ConditionType.PROVISIONED]
    return has.get(kind) or _told(other, ConditionStatus.UNKNOWN, other.reason, other.message).model_copy(
        update={"type": kind}
    )


def _told(since: Condition, status: ConditionStatus, reason: str, message: str) -> Condition:
    """A condition with the transition time of another."""
    return since.model_copy(update={"status": status, "reason": reason, "message": message})
