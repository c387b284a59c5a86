"""What rounds and looks find out, as data."""

from dataclasses import dataclass, field

from reconciler.act.outcome import Outcome
from reconciler.errors import ClusterError
from reconciler.model.document import ClusterDocument
from reconciler.model.plan import Plan
from reconciler.model.record import ClusterRecord
from reconciler.model.status import RecordStatus


@dataclass(frozen=True, slots=True)
class PlannedDifference:
    """What is wanted of a cluster, what is there, and what leads from one to the other."""

    desired: ClusterDocument
    observed: ClusterDocument
    plan: Plan
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """A record that is written, and what was found to be done for it just before, by who may act since then.

    None where the host could not be observed.
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
    """How a round on that generation of a record went. `gone` says that the cluster has no record any more.

    `drifted` says that what was done repaired drift. `look` is what it saw, and said. `interfaces` are the names of the
    cluster's network and of its interfaces on the host.
    """

    generation: int = 0
    plan: Plan = field(default_factory=Plan)
    outcomes: tuple[Outcome, ...] = ()
    error: ClusterError | None = None
    gone: bool = False
    interfaces: frozenset[str] = frozenset()
    drifted: bool = False
    look: Look | None = None

    @property
    def converged(self) -> bool:
        return self.gone or (self.error is None and self.plan.converged)

    @property
    def failed(self) -> bool:
        return self.error is not None or any(outcome.error for outcome in self.outcomes)


def interfaces_of(record: ClusterRecord) -> frozenset[str]:
    """The names of a cluster's network and of its interfaces on the host."""
    network = record.spec.network
    return frozenset({network.name, network.bridge, *(node.tap for node in record.spec.nodes.values())})
