"""The conditions and status from the findings of a round. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

from reconciler.controller.unsettled import unsettled_nodes
from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError
from reconciler.faults.observed import active_faults
from reconciler.model.action_names import action_name
from reconciler.model.document import ClusterDocument, Domain, Halt, Network, Power, Snapshot, Unknown
from reconciler.model.faults import NetFaultInfo
from reconciler.model.plan import Action, HealLinks, Plan, SetLinks
from reconciler.model.record import ClusterRecord, WantedPower
from reconciler.model.status import (
    Condition,
    ConditionStatus,
    ConditionType,
    Obstacle,
    RecordStatus,
    obstacles_in_words,
)
from reconciler.plan.document_queries import is_running
from reconciler.plan.drift_filter import Drift
from reconciler.store.merged_status import NOT_OBSERVED

_NEVER = datetime.min.replace(tzinfo=UTC)


def status_after(
    record: ClusterRecord,
    observed: ClusterDocument,
    plan: Plan,
    failures: tuple[Obstacle, ...],
    before: RecordStatus | None,
    now: datetime,
    reported: Sequence[Action] = (),
    put_off: Mapping[str, Obstacle] = MappingProxyType({}),
) -> RecordStatus:
    """The status of a round that observed the host, planned and acted.

    `failures` are actions that failed; `reported` are actions that would repair drift but that the policy only reports;
    `put_off` says why the upkeep of nodes has failed, which nothing else waits for.
    """
    obstacles = (*plan.obstacles, *failures)
    made = _snapshots_made(record, observed, before)
    faults = _faults_applied(record, observed, plan)
    verdicts = (
        _defined(record, observed),
        _running(record, observed),
        _snapshots_ready(record, observed, made),
        faults,
        _upkeep_done(put_off),
        _drifted(reported),
        _ready(record, plan, obstacles, reported),
    )
    return RecordStatus(
        cluster_name=record.cluster_name,
        observed_generation=record.generation,
        converged=plan.converged and not failures,
        conditions=tuple(_with_transition(verdict, before, now) for verdict in verdicts),
        obstacles=obstacles,
        failures=failures,
        snapshots_made=made,
        faults=_active_faults(record, observed, now),
        faults_in_force=_faults_in_force(record, faults, before),
        unsettled=unsettled_nodes(plan),
        updated_at=now,
    )


def status_of_look(
    record: ClusterRecord,
    observed: ClusterDocument,
    drift: Drift,
    before: RecordStatus | None,
    now: datetime,
    *,
    drifted: bool,
) -> RecordStatus:
    """The status of a cluster that is only looked at; `drifted` says that the pending actions repair drift.

    What only a round knows comes from the previous status: failures that are still pending, and postponed upkeep.
    """
    status = status_after(record, observed, drift.todo, _still_due(drift.todo, before), before, now, drift.reported)
    fresh = {of.type: of for of in status.conditions}
    if drifted and not drift.reported:
        said = "; ".join(filter(None, [describe_drift(drift.todo.actions), obstacles_in_words(drift.todo.obstacles)]))
        verdict = _verdict(ConditionType.DRIFTED, True, "Found", said)
        fresh[ConditionType.DRIFTED] = _with_transition(verdict, before, now)
    earlier = before.conditions if before else ()
    fresh.update({of.type: of for of in earlier if of.type is ConditionType.UPKEEP_DONE})
    worked_on = before.observed_generation if before else 0
    return status.model_copy(update={"conditions": tuple(fresh.values()), "observed_generation": worked_on})


def _still_due(todo: Plan, before: RecordStatus | None) -> tuple[Obstacle, ...]:
    """The failures of the last round that are still pending."""
    due = {action.node for action in todo.actions}
    return tuple(of for of in before.failures if of.node in due or of.node is None) if before and due else ()


def status_of_failed_round(
    record: ClusterRecord, obstacle: Obstacle, before: RecordStatus | None, now: datetime
) -> RecordStatus:
    """The status of a round that could not observe the host: everything is Unknown, and nothing was done."""
    fetching = obstacle.code is ErrorCode.IMAGE_UNDER_WAY
    reason = "FetchingImage" if fetching else NOT_OBSERVED
    verdicts = [
        Condition(
            type=kind,
            status=ConditionStatus.UNKNOWN,
            reason=reason,
            message=obstacle.message,
            last_transition=now,
        )
        for kind in (
            ConditionType.DEFINED,
            ConditionType.RUNNING,
            ConditionType.FAULTS_APPLIED,
            ConditionType.READY,
        )
    ]
    return RecordStatus(
        cluster_name=record.cluster_name,
        observed_generation=before.observed_generation if before else 0,
        converged=False,
        conditions=tuple(_with_transition(verdict, before, now) for verdict in verdicts),
        obstacles=(obstacle,),
        snapshots_made=before.snapshots_made if before else frozenset(),
        faults=_active_faults(record, None, now),
        faults_in_force=before.faults_in_force if before else {},
        updated_at=now,
    )


def not_looked_at(record: ClusterRecord, now: datetime) -> RecordStatus:
    """The status of a cluster that none of its hosts has looked at yet."""
    obstacle = Obstacle(code=ErrorCode.HOST_LOST, message="none of its hosts has looked at it yet")
    return status_of_failed_round(record, obstacle, None, now)


def same_word(one: RecordStatus | None, other: RecordStatus) -> bool:
    """Whether two statuses are equal except for their times."""
    return one is not None and one.model_copy(update={"updated_at": other.updated_at}) == other


def obstacle_of(error: ClusterError) -> Obstacle:
    """An error as an obstacle of a cluster."""
    return Obstacle(
        code=error.code, message=str(error), node=error.node, terminal=error.terminal, under_way=error.under_way
    )


def _defined(record: ClusterRecord, observed: ClusterDocument) -> Condition:
    missing = [node for node in record.spec.nodes if not isinstance(observed.domains.get(node), Domain)]
    network = observed.networks.get(record.spec.network.name)
    if missing:
        return _verdict(ConditionType.DEFINED, False, "NodesMissing", f"not defined: {', '.join(missing)}")
    if not (isinstance(network, Network) and network.active):
        return _verdict(ConditionType.DEFINED, False, "NetworkInactive", f"network {record.spec.network.name}")
    return _verdict(ConditionType.DEFINED, True, "AllDefined", "")


def _running(record: ClusterRecord, observed: ClusterDocument) -> Condition:
    wanted = [name for name, intent in record.nodes.items() if intent.power is WantedPower.RUNNING]
    down = [node for node in wanted if not is_running(observed, node)]
    if not wanted:
        return _verdict(ConditionType.RUNNING, False, "NotWanted", "no node should be running")
    if down:
        told = ", ".join(_with_cause(observed, node) for node in down)
        return _verdict(ConditionType.RUNNING, False, "NodesDown", f"not running: {told}")
    off = [name for name, intent in record.nodes.items() if intent.power is WantedPower.OFF]
    return _verdict(ConditionType.RUNNING, True, "AllRunning", f"off, as desired: {', '.join(off)}" if off else "")


def _snapshots_made(record: ClusterRecord, observed: ClusterDocument, before: RecordStatus | None) -> frozenset[int]:
    """The requests of the recorded snapshots that exist, or once did: names can be reused, requests cannot."""
    known = before.snapshots_made if before else frozenset()
    return frozenset(
        wanted.request
        for name, wanted in record.snapshots.items()
        if wanted.request in known or _is_there(observed, name)
    )


def _is_there(observed: ClusterDocument, name: str) -> bool:
    found = observed.snapshots.get(name)
    return isinstance(found, Snapshot) and not found.half_made


def _snapshots_ready(record: ClusterRecord, observed: ClusterDocument, made: frozenset[int]) -> Condition:
    missing = {name: wanted for name, wanted in record.snapshots.items() if not _is_there(observed, name)}
    if lost := [name for name, wanted in missing.items() if wanted.request in made]:
        return _verdict(ConditionType.SNAPSHOTS_READY, False, "SnapshotLost", f"gone: {', '.join(lost)}")
    if missing:
        return _verdict(ConditionType.SNAPSHOTS_READY, False, "NotTaken", f"not taken yet: {', '.join(missing)}")
    return _verdict(ConditionType.SNAPSHOTS_READY, True, "AllThere", _among_snapshots(observed))


def _among_snapshots(observed: ClusterDocument) -> str:
    """Files among the snapshots that vmcluster did not make, or that cannot be read."""
    told = [f"{name}: {of.unknown}" for name, of in observed.snapshots.items() if isinstance(of, Unknown)]
    return f"left alone: {'; '.join(told)}" if told else ""


def _faults_applied(record: ClusterRecord, observed: ClusterDocument, plan: Plan) -> Condition:
    """Whether every link is as the desired faults require: none missing, none left over."""
    if unseen := [of.unknown for of in observed.links.values() if isinstance(of, Unknown)]:
        verdict = _verdict(ConditionType.FAULTS_APPLIED, False, NOT_OBSERVED, "; ".join(unseen))
        return verdict.model_copy(update={"status": ConditionStatus.UNKNOWN})
    differ = [action for action in plan.actions if isinstance(action, SetLinks | HealLinks)]
    if differ:
        return _verdict(ConditionType.FAULTS_APPLIED, False, "LinksDiffer", "; ".join(of.reason for of in differ))
    if not record.faults:
        return _verdict(ConditionType.FAULTS_APPLIED, True, "NoFaults", "")
    return _verdict(ConditionType.FAULTS_APPLIED, True, "AllApplied", ", ".join(sorted(record.faults)))


def _active_faults(record: ClusterRecord, observed: ClusterDocument | None, now: datetime) -> tuple[NetFaultInfo, ...]:
    links, nodes = observed.links if observed else None, tuple(record.spec.everyone)
    return active_faults(record.faults.values(), nodes, links, now, record.spec.nodes)


def _faults_in_force(
    record: ClusterRecord, applied: Condition, before: RecordStatus | None
) -> dict[str, datetime | None]:
    """The desired faults once every link matches them; until then, the previous ones."""
    if applied.status is ConditionStatus.TRUE:
        return {handle: fault.expires_at for handle, fault in record.faults.items()}
    return before.faults_in_force if before else {}


def _with_cause(observed: ClusterDocument, node: str) -> str:
    power = observed.power.get(node)
    halt = power.halt if isinstance(power, Power) else None
    return f"{node} ({halt.reason.value})" if isinstance(halt, Halt) else node


def _upkeep_done(put_off: Mapping[str, Obstacle]) -> Condition:
    if put_off:
        return _verdict(ConditionType.UPKEEP_DONE, False, "PutOff", obstacles_in_words(put_off.values()))
    return _verdict(ConditionType.UPKEEP_DONE, True, "NothingPutOff", "")


def _drifted(reported: Sequence[Action]) -> Condition:
    if reported:
        return _verdict(ConditionType.DRIFTED, True, "Reported", describe_drift(reported))
    return _verdict(ConditionType.DRIFTED, False, "AsWanted", "")


def describe_drift(actions: Sequence[Action]) -> str:
    """The drift, described by the actions that would repair it."""
    return "; ".join(
        f"{of.kind}{f' of {of.node}' if of.node else ''}: {of.reason} ({action_name(of)} would repair it)"
        for of in actions
    )


def _why_obstructed(plan: Plan, obstacles: tuple[Obstacle, ...]) -> str:
    if plan.foreign:
        return "OwnedElsewhere"
    return "ApprovalRequired" if all(of.code is ErrorCode.APPROVAL_REQUIRED for of in obstacles) else "Obstructed"


def _ready(record: ClusterRecord, plan: Plan, obstacles: tuple[Obstacle, ...], reported: Sequence[Action]) -> Condition:
    if obstacles:
        reason = _why_obstructed(plan, obstacles)
        return _verdict(ConditionType.READY, False, reason, obstacles_in_words(obstacles))
    if not plan.converged:
        count = len(plan.actions)
        told = f"{count} action{'s' if count > 1 else ''} pending"
        return _verdict(ConditionType.READY, False, "Converging", told)
    if reported:
        return _verdict(ConditionType.READY, False, "Drifted", describe_drift(reported))
    if record.deletion is not None:
        return _verdict(ConditionType.READY, False, "Destroyed", "its disks are kept")
    return _verdict(ConditionType.READY, True, "AsWanted", "")


def _verdict(kind: ConditionType, holds: bool, reason: str, message: str) -> Condition:
    status = ConditionStatus.TRUE if holds else ConditionStatus.FALSE
    return Condition(type=kind, status=status, reason=reason, message=message, last_transition=_NEVER)


def _with_transition(verdict: Condition, before: RecordStatus | None, now: datetime) -> Condition:
    earlier = next((c for c in before.conditions if c.type is verdict.type), None) if before else None
    unchanged = earlier is not None and earlier.status is verdict.status
    since = earlier.last_transition if earlier is not None and unchanged else now
    return verdict.model_copy(update={"last_transition": since})
