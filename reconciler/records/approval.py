"""What a caller approves of a change."""

from dataclasses import dataclass

from reconciler.model.plan import Disruption
from reconciler.records.plan_view import AGREED_TO_BY


@dataclass(frozen=True, slots=True)
class Approval:
    """The costs that the caller has approved, and the plan if it has to be one that the caller was shown."""

    restart: bool = False
    data_loss: bool = False
    plan_hash: str | None = None

    def covers(self, disruption: Disruption) -> bool:
        """Whether an action with this cost may be done."""
        argument = AGREED_TO_BY.get(disruption)
        return argument is None or argument in self.arguments

    @property
    def arguments(self) -> frozenset[str]:
        """The arguments by which the caller has approved."""
        given = {"allow_restart": self.restart, "allow_data_loss": self.data_loss}
        return frozenset(name for name, agreed in given.items() if agreed)


NOTHING_AGREED = Approval()
