"""What the hosts of a cluster say of their parts, as one status. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

from reconciler.error_codes import ErrorCode
from reconciler.model.faults import NetFaultInfo
from reconciler.model.record import ClusterRecord
from reconciler.model.snapshot import SnapshotBases
from reconciler.model.status import Condition, ConditionStatus, ConditionType, HeldSnapshot, Obstacle, RecordStatus
from reconciler.model.timestamps import utc_text

LOST = "HostLost"
NOT_OBSERVED = "NotObserved"

_GOOD_IF_FALSE = frozenset({ConditionType.DRIFTED})
_NOT_WANTED = "NotWanted"
_ALWAYS = (ConditionType.DEFINED, ConditionType.RUNNING, ConditionType.FAULTS_APPLIED, ConditionType.READY)

Words = Mapping[str, RecordStatus]
"""What each host said of its part last, by host."""
Lost = Mapping[str, datetime | None]
"""The hosts whose leases have ended, with since when, where that is known."""


def merged_status(
    record: ClusterRecord, words: Words, lost: Lost, home: str = "", forgotten: Set[str] = frozenset()
) -> RecordStatus | None:
    """The cluster's status: as bad as the worst part, and as old as the oldest word of a host that is alive.

    What a host would say that is lost, or has said nothing yet, is unknown. None if no host has said anything. One that
    only visits the network counts when the cluster is deleted.
    """
    words = words if record.deletion else {host: of for host, of in words.items() if not of.visiting}
    if not words:
        return None
    nodes = nodes_by_host(record, home)
    hosts = sorted(nodes.keys() | words.keys())
    if len(hosts) == 1 and hosts[0] not in lost:
        return words[hosts[0]].model_copy(update={"host": ""})
    alive = {host: words[host] for host in hosts if host in words and host not in lost}
    silent = [host for host in hosts if host not in words and host not in lost]
    converged = not silent and all(of.converged for of in alive.values())
    done = converged and all(of.observed_generation >= record.generation for of in alive.values())
    losses = {host: _loss(host, lost[host], nodes.get(host, [])) for host in hosts if host in lost}
    losses |= {host: _forgotten(host, nodes[host]) for host in nodes if host in forgotten}
    now = max(of.updated_at for of in words.values())
    unseen = {host: _unseen(NOT_OBSERVED, f"{host} has not looked yet", now) for host in silent}
    unseen |= {host: _unseen(LOST, of.what, lost[host] or now, of.remedy) for host, of in losses.items()}
    heard = [*(alive or words).values()]
    unsettled = [of.unsettled for of in alive.values() if of.unsettled is not None]
    made = [words[host].snapshots_made for host in nodes if host in words]
    return RecordStatus(
        cluster_name=record.cluster_name,
        observed_generation=0 if silent else min(of.observed_generation for of in heard),
        converged=converged and not losses,
        settled_generation=0 if silent or losses else min(of.settled_generation for of in heard),
        round_request=0 if silent else min(of.round_request for of in heard),
        conditions=tuple(_conditions({host: of.conditions for host, of in alive.items()} | unseen)),
        obstacles=(
            *_each_once(of.obstacles for of in alive.values()),
            *(of.obstacle(last=done) for of in losses.values()),
        ),
        failures=_each_once(of.failures for of in alive.values()),
        snapshots_made=frozenset.intersection(*made) if made else frozenset(),
        faults=tuple(merged_faults([of.faults for of in alive.values()], whole=len(alive) == len(hosts))),
        faults_in_force={handle: end for of in words.values() for handle, end in of.faults_in_force.items()},
        nodes={node: report for of in alive.values() for node, report in of.nodes.items()},
        snapshots=merged_snapshots(of.snapshots for of in words.values()),
        bases=reduce(SnapshotBases.joined, (of.bases for of in words.values())),
        network_active=not losses and all(words[host].network_active for host in nodes if host in words),
        unsettled=None if len(unsettled) < len(hosts) else frozenset().union(*unsettled),
        updated_at=now,
    )


def merged_snapshots(held: Iterable[tuple[HeldSnapshot, ...]]) -> tuple[HeldSnapshot, ...]:
    """The snapshots of which several hosts hold parts, each as one, oldest first."""
    found: dict[str, HeldSnapshot] = {}
    for part in (snapshot for of_host in held for snapshot in of_host):
        name = part.manifest.snapshot_name
        found[name] = _joined(found[name], part) if name in found else part
    return tuple(sorted(found.values(), key=lambda of: (of.manifest.created_at, of.manifest.request)))


def _joined(one: HeldSnapshot, other: HeldSnapshot) -> HeldSnapshot:
    first, second = one.manifest, other.manifest
    update = {
        "nodes": {**first.nodes, **second.nodes},
        "pause_s": max(first.pause_s, second.pause_s),
        "created_at": max(first.created_at, second.created_at),
    }
    return HeldSnapshot(manifest=first.model_copy(update=update), sizes={**one.sizes, **other.sizes})


def nodes_by_host(record: ClusterRecord, home: str = "") -> dict[str, list[str]]:
    """The record's nodes by the host they are placed on; those without a host are on `home`."""
    found: dict[str, list[str]] = {}
    for name, node in record.spec.nodes.items():
        found.setdefault(node.host or home, []).append(name)
    return found


@dataclass(frozen=True, slots=True)
class _Loss:
    """What is lost with a host, and what helps."""

    what: str
    remedy: str

    def obstacle(self, *, last: bool) -> Obstacle:
        """`last`: everything else is done, so that nothing is left to wait for."""
        return Obstacle(code=ErrorCode.HOST_LOST, message=f"{self.what}; {self.remedy}", terminal=last)


def _loss(host: str, since: datetime | None, nodes: list[str]) -> _Loss:
    whose = f"its nodes ({', '.join(nodes)}) are unknown" if nodes else "what it still has of the cluster is unknown"
    return _Loss(f"{silence_told(host, since)}: {whose}", remedy_for_lost(host))


def silence_told(host: str, since: datetime | None) -> str:
    """That a host is lost."""
    seen = f"has not answered since {utc_text(since.replace(microsecond=0))}" if since else "does not answer"
    return f"host {host} {seen}"


def remedy_for_lost(host: str) -> str:
    """What helps with a host that is lost."""
    return f"start `vmcluster watch` there, or, if it is gone for good, forget it with `vmcluster host forget {host}`"


def _forgotten(host: str, nodes: list[str]) -> _Loss:
    return _Loss(
        f"host {host} was forgotten, and nodes {', '.join(nodes)} with it",
        "`cluster_apply(allow_data_loss=true)` places them on other hosts, with new disks",
    )


def _unseen(reason: str, message: str, since: datetime, remedy: str = "") -> tuple[Condition, ...]:
    """What is unknown of a host; the remedy is told once."""
    told = dict.fromkeys(_ALWAYS, message) | ({ConditionType.READY: f"{message}; {remedy}"} if remedy else {})
    unknown = ConditionStatus.UNKNOWN
    return tuple(
        Condition(type=kind, status=unknown, reason=reason, message=of, last_transition=since)
        for kind, of in told.items()
    )


def _conditions(said: Mapping[str, tuple[Condition, ...]]) -> Iterator[Condition]:
    for kind in dict.fromkeys(of.type for conditions in said.values() for of in conditions):
        parts = {host: of for host, conditions in said.items() for of in conditions if of.type is kind}
        wanted = {host: of for host, of in parts.items() if of.reason != _NOT_WANTED}
        yield _worst(kind, wanted or parts)


def _worst(kind: ConditionType, parts: Mapping[str, Condition]) -> Condition:
    """The condition of the worst parts: good since the last one is, not good since the first one is not."""
    good = ConditionStatus.FALSE if kind in _GOOD_IF_FALSE else ConditionStatus.TRUE
    bad = {host: of for host, of in parts.items() if of.status is not good} or parts
    unknown = {host: of for host, of in bad.items() if of.reason == LOST}
    known = {host: of for host, of in bad.items() if of.status is not ConditionStatus.UNKNOWN}
    worst = unknown or known or bad
    first = next(iter(worst.values()))
    told: dict[str, list[str]] = {}
    for host, of in worst.items():
        told.setdefault(of.message, []).append(host)
    says_whose = bool(unknown)  # what is said of a lost host has its name
    messages = [_of_hosts(of, hosts, whole=says_whose or len(hosts) == len(parts)) for of, hosts in told.items() if of]
    times = [of.last_transition for of in worst.values()]
    return first.model_copy(
        update={
            "message": "; ".join(messages),
            "last_transition": max(times) if first.status is good else min(times),
        }
    )


def _of_hosts(message: str, hosts: Sequence[str], *, whole: bool) -> str:
    return message if whole else f"{', '.join(hosts)}: {message}"


def merged_faults(said: Iterable[tuple[NetFaultInfo, ...]], *, whole: bool) -> Iterator[NetFaultInfo]:
    """Each fault with what all hosts observed of it; null if one of them could not, or is not there."""
    found: dict[str, list[NetFaultInfo]] = {}
    for infos in said:
        for info in infos:
            found.setdefault(info.handle_id, []).append(info)
    for infos_of_one in found.values():
        first, hit = infos_of_one[0], [of for of in infos_of_one if of.observed or of.applied]
        unread = not whole or any(of.applied is None for of in infos_of_one)
        applied = None if unread else bool(hit) and all(of.applied for of in hit)
        observed = {receiver: links for of in hit for receiver, links in of.observed.items()}
        parameters = {**first.parameters, "applied": applied, "observed": observed}
        yield first.model_copy(update={"parameters": parameters, "applied": applied, "observed": observed})


def _each_once(said: Iterable[tuple[Obstacle, ...]]) -> tuple[Obstacle, ...]:
    return tuple(dict.fromkeys(obstacle for of in said for obstacle in of))
