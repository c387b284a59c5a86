"""From (desired, observed) snapshots to the actions that take, hold, let go and delete them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from reconciler.error_codes import ErrorCode
from reconciler.model.document import ClusterDocument, LentFiles, Power, PowerState, Snapshot, Unknown, forks_on
from reconciler.model.plan import (
    ChangeKind,
    DeleteSnapshot,
    Disruption,
    HoldSnapshot,
    ReleaseSnapshot,
    TakeSnapshot,
)
from reconciler.model.snapshot import SnapshotPower
from reconciler.model.status import Obstacle
from reconciler.plan.document_queries import Step, known, known_extra

_MOST_FORKS_SHOWN = 3


def plan_snapshots(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """Take the requested snapshots, the oldest request first; delete those that are no longer desired.

    The one that a fork stands on is only held and let go.
    """
    for name in [*known_extra(desired.snapshots, observed.snapshots), *_damaged_extra(desired, observed)]:
        yield from _no_longer_desired(name, observed)
    for name, found in known(observed.snapshots):
        if found.held is False and name in desired.snapshots:
            reason = "the fork stands on it"
            yield HoldSnapshot(name=name, snapshot=found, reason=reason, change=ChangeKind.CREATE)
    missing = [(want.request, name, want) for name, want in known(desired.snapshots) if name not in observed.snapshots]
    if not missing:
        return
    _, name, want = min(missing, key=lambda entry: entry[:2])
    yield TakeSnapshot(
        name=name,
        snapshot=want,
        domains={node: domain for node, domain in known(observed.domains) if node in desired.domains},
        power={node: _power_in_snapshot(power) for node, power in known(observed.power) if node in desired.domains},
        reason="requested, not taken yet",
        change=ChangeKind.CREATE,
        disruption=Disruption.LIVE,
    )


def _no_longer_desired(name: str, observed: ClusterDocument) -> Iterator[Step]:
    """What is held is let go by a round that finds nothing any longer that could stand on it."""
    found = observed.snapshots[name]
    held = found.held if isinstance(found, Snapshot) else found.code is ErrorCode.SNAPSHOT_LOST or None
    if held and not observed.layers:
        yield ReleaseSnapshot(name=name, reason="nothing stands on it any longer", change=ChangeKind.DELETE)
    elif held is None and not forks_on(observed, name):
        yield DeleteSnapshot(
            name=name, reason="no longer desired", change=ChangeKind.DELETE, disruption=Disruption.LIVE
        )


def plan_forks(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """One obstacle for each snapshot that forks stand on while its cluster is to lose its disks."""
    by_snapshot: defaultdict[str, list[str]] = defaultdict(list)
    for other in known_extra(desired.forks, observed.forks):
        of = observed.forks[other]
        assert isinstance(of, LentFiles)
        by_snapshot[of.snapshot].append(other)
    for name, forks in by_snapshot.items():
        message = f"snapshot {name!r} stays, as {in_use_by(forks)}"
        yield Obstacle(code=ErrorCode.CONFLICT, message=message, terminal=True)


def in_use_by(forks: Sequence[str]) -> str:
    """Which forks keep a snapshot, with the remedy, in words for a user."""
    stands = "stands" if len(forks) == 1 else "stand"
    return f"{', '.join(forks)} {stands} on it: destroy that with its disks first, by " + " and ".join(
        f'`cluster_destroy(cluster_name="{name}", remove_overlays=true)`' for name in forks[:_MOST_FORKS_SHOWN]
    )


def _damaged_extra(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[str]:
    """Our snapshots of which only the name can be read, when that name is no longer desired; and what a fork lost."""
    codes = {ErrorCode.SNAPSHOT_FAILED, ErrorCode.SNAPSHOT_LOST}
    for name, found in observed.snapshots.items():
        if name not in desired.snapshots and isinstance(found, Unknown) and found.code in codes:
            yield name


def _power_in_snapshot(power: Power) -> SnapshotPower:
    if power.state is PowerState.RUNNING:
        return SnapshotPower.RUNNING
    return SnapshotPower.OFF if power.state is PowerState.OFF else SnapshotPower.PAUSED
