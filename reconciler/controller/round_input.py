"""What a round knows before it looks at the host, and what follows from that."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from reconciler.controller.retries import Retries
from reconciler.model.record import ClusterRecord
from reconciler.model.status import ConditionStatus, ConditionType, Obstacle, RecordStatus
from reconciler.store.protocol import ClusterEntry


@dataclass(frozen=True, slots=True)
class RoundInput:
    """What a round knows before it looks at the host."""

    record: ClusterRecord
    before: RecordStatus | None
    request: int
    retries: Retries | None
    put_off: Mapping[str, Obstacle]

    @property
    def settled(self) -> bool:
        """Whether the record was brought about whole before: what differs now is drift."""
        return self.before is not None and self.before.settled_generation == self.record.generation

    @property
    def asked(self) -> bool:
        """Whether somebody waits for the round: who asks wants everything as the record says."""
        answered = self.before.round_request if self.before else 0
        return self.retries is None or self.request > answered

    @property
    def is_left_alone(self) -> bool:
        """Whether the record's policy for drift decides what is done."""
        return self.settled and not self.asked

    @property
    def upkeep_put_off(self) -> Set[str]:
        """The nodes whose upkeep the last round may have put off: it put off some."""
        said = self.before.conditions if self.before else ()
        put_off = any((of.type, of.status) == (ConditionType.UPKEEP_DONE, ConditionStatus.FALSE) for of in said)
        return self.record.nodes.keys() if put_off else frozenset()

    def marked(self, status: RecordStatus, *, converged: bool) -> RecordStatus:
        """The status with what it answers, and whether the record was brought about.

        Who asked is answered until all is done: what differs then is not left to the policy in the midst of it.
        """
        settled = self.before.settled_generation if self.before and not self.asked else 0
        return status.model_copy(
            update={
                "round_request": self.request,
                "settled_generation": self.record.generation if converged else settled,
            }
        )


def round_input_of(standing: ClusterEntry, retries: Retries | None) -> RoundInput:
    """What a round begins with; `retries` remembers the rounds that nobody waited for."""
    if retries is not None:
        retries.begin(standing.record.generation, standing.request)
    put_off = retries.put_off() if retries else {}
    return RoundInput(standing.record, standing.status, standing.request, retries, put_off)
