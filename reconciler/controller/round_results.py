"""The results of rounds and looks, as data."""

from dataclasses import dataclass, field

from reconciler.act.outcome import Outcome
from reconciler.errors import ClusterError
from reconciler.model.document import ClusterDocument
from reconciler.model.names import tunnel_name
from reconciler.model.plan import Plan
from reconciler.model.record import ClusterRecord
from reconciler.model.status import RecordStatus


@dataclass(frozen=True, slots=True)
class PlannedDifference:
    """The desired and the observed document of a cluster, and the actions that lead from one to the other."""

    desired: ClusterDocument
    observed: ClusterDocument
    plan: Plan
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """A record that was written, and the actions planned for it just before, by the process that may act.

    None if the host could not be observed.
    """

    record: ClusterRecord
    difference: PlannedDifference | None


@dataclass(frozen=True, slots=True)
class Look:
    """What a cluster is like now, without anything done about it; the status is written nowhere.

    `observed` is None, and `error` says why, where the host could not be observed.
    """

    record: ClusterRecord
    status: RecordStatus
    observed: ClusterDocument | None
    error: ClusterError | None = None


@dataclass(frozen=True, slots=True)
class RoundResult:
    """The result of a round on one generation of a record.

    `gone` says that the cluster's record was deleted, or that nothing of it is left here. `drifted` says that the
    actions repaired drift. `look` is its observation and status. `interfaces` are the names of the cluster's network
    and of its interfaces on the host. `spans` says that other hosts have parts of the cluster.
    """

    generation: int = 0
    plan: Plan = field(default_factory=Plan)
    outcomes: tuple[Outcome, ...] = ()
    error: ClusterError | None = None
    gone: bool = False
    interfaces: frozenset[str] = frozenset()
    drifted: bool = False
    look: Look | None = None
    spans: bool = False

    @property
    def converged(self) -> bool:
        return self.gone or (self.error is None and self.plan.converged)

    @property
    def failed(self) -> bool:
        return self.error is not None or any(outcome.error for outcome in self.outcomes)


def interfaces_of(record: ClusterRecord) -> frozenset[str]:
    """The names of a cluster's network and of its interfaces on the host."""
    network = record.spec.network
    taps = (node.tap for node in record.spec.nodes.values())
    return frozenset({network.name, network.bridge, tunnel_name(record.cluster_name), *taps})
