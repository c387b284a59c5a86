"""What a round knows before it observes the host, and what follows from that.

`record` is this host's part of the `whole`; where the store is of one host, both are the same.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

from reconciler.controller.retries import Retries
from reconciler.desired.part import part_of
from reconciler.desired.tunnels import with_tunnel
from reconciler.model.record import ClusterRecord, TunnelSpec
from reconciler.model.status import ConditionStatus, ConditionType, Obstacle, RecordStatus
from reconciler.store.merged_status import nodes_by_host
from reconciler.store.protocol import ClusterEntry, HostWords


@dataclass(frozen=True, slots=True)
class RoundInput:
    """What a round knows before it observes the host; it acts only in the `term` in which that was read."""

    record: ClusterRecord
    before: RecordStatus | None
    request: int
    retries: Retries | None
    put_off: Mapping[str, Obstacle]
    whole: ClusterRecord
    host: str = ""
    hosts: HostWords | None = None
    term: int = 0
    tunnel: TunnelSpec | None = None

    def with_record(self, whole: ClusterRecord) -> "RoundInput":
        """The same with a newer record of the cluster."""
        return replace(self, whole=whole, record=with_tunnel(part_for(whole, self.host, self.hosts), self.tunnel))

    def with_tunnel(self, tunnel: TunnelSpec | None) -> "RoundInput":
        """The same with what joins this host's part with the others."""
        return replace(self, tunnel=tunnel, record=with_tunnel(self.record, tunnel))

    @property
    def placed_on(self) -> Set[str]:
        """The hosts that the cluster's nodes are on; the only one has no name."""
        return nodes_by_host(self.whole, self.hosts.home).keys() if self.hosts else frozenset()

    @property
    def is_elsewhere(self) -> bool:
        """Whether this host has nothing of the cluster, and is to have nothing."""
        return self.hosts is not None and self.before is None and not self.record.nodes and not self.visits

    @property
    def visits(self) -> bool:
        """Whether this host is to have nothing of the cluster but its network."""
        return self.hosts is not None and not self.record.nodes and self.host in self.hosts.visitors

    @property
    def is_leaving(self) -> bool:
        """Whether this host is to have nothing of a cluster that others keep."""
        kept = self.whole.deletion is not None or self.record.nodes or self.visits
        return self.hosts is not None and not kept

    @property
    def settled(self) -> bool:
        """Whether the record was fully applied before, so that any difference is drift."""
        return self.before is not None and self.before.settled_generation == self.record.generation

    @property
    def asked(self) -> bool:
        """Whether a caller waits for the round, and so wants everything reconciled."""
        answered = self.before.round_request if self.before else 0
        return self.retries is None or self.request > answered

    @property
    def is_left_alone(self) -> bool:
        """Whether the record's drift policy decides what is done."""
        return self.settled and not self.asked

    @property
    def upkeep_put_off(self) -> Set[str]:
        """The nodes whose upkeep the last round may have postponed: it postponed some."""
        said = self.before.conditions if self.before else ()
        put_off = any((of.type, of.status) == (ConditionType.UPKEEP_DONE, ConditionStatus.FALSE) for of in said)
        return self.record.nodes.keys() if put_off else frozenset()

    def marked(self, status: RecordStatus, *, converged: bool) -> RecordStatus:
        """The status with the request that it answers, and whether the record was applied.

        While a request is being carried out, differences are not left to the drift policy.
        """
        settled = self.before.settled_generation if self.before and not self.asked else 0
        return status.model_copy(
            update={
                "round_request": self.request,
                "settled_generation": self.record.generation if converged else settled,
            }
        )


def round_input_of(standing: ClusterEntry, retries: Retries | None, host: str = "", term: int = 0) -> RoundInput:
    """What a round of a host starts with; `retries` remembers failures of rounds that no caller waited for."""
    if retries is not None:
        retries.begin(standing.record.generation, standing.request)
    put_off = retries.put_off() if retries else {}
    whole, hosts = standing.record, standing.hosts
    before = hosts.words.get(host) if hosts else standing.status
    record = part_for(whole, host, hosts)
    return RoundInput(record, before, standing.request, retries, put_off, whole, host, hosts, term)


def part_for(whole: ClusterRecord, host: str, hosts: HostWords | None) -> ClusterRecord:
    """What a host works on: everything, where the store is of one host."""
    return part_of(whole, host, hosts.home) if hosts else whole
