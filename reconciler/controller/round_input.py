"""What a round knows before it observes the host, and what follows from that."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from reconciler.controller.retries import Retries
from reconciler.model.record import ClusterRecord
from reconciler.model.status import ConditionStatus, ConditionType, Obstacle, RecordStatus
from reconciler.store.protocol import ClusterEntry


@dataclass(frozen=True, slots=True)
class RoundInput:
    """What a round knows before it observes the host; it acts only in the `term` in which that was read."""

    record: ClusterRecord
    before: RecordStatus | None
    request: int
    retries: Retries | None
    put_off: Mapping[str, Obstacle]
    term: int = 0

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


def round_input_of(standing: ClusterEntry, retries: Retries | None, term: int = 0) -> RoundInput:
    """What a round starts with; `retries` remembers failures of rounds that no caller waited for."""
    if retries is not None:
        retries.begin(standing.record.generation, standing.request)
    put_off = retries.put_off() if retries else {}
    return RoundInput(standing.record, standing.status, standing.request, retries, put_off, term)
