"""A change that was planned but not recorded, as data. Pure."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.model.document import canonical
from reconciler.model.plan import Plan
from reconciler.model.record import ClusterRecord
from reconciler.records.elsewhere import Elsewhere
from reconciler.records.plan_hash import plan_hash
from reconciler.store.patch import Patch, difference

if TYPE_CHECKING:
    from reconciler.controller.round_results import PlannedDifference


@dataclass(frozen=True, slots=True)
class Preview:
    """A change that was planned but not recorded: the record that it would write, and the plan.

    `drift` is what would be done without the change, because the host has changed since the record was applied.
    `elsewhere` says what other hosts do, where there are several. `back_to` is the generation that a rollback restores.
    """

    before: ClusterRecord | None
    after: ClusterRecord
    difference: "PlannedDifference"
    drift: Plan = field(default_factory=Plan)
    elsewhere: Elsewhere = field(default_factory=Elsewhere)
    back_to: int | None = None

    @property
    def plan(self) -> Plan:
        return self.difference.plan

    @property
    def patch(self) -> Patch:
        """The differences on the host, as RFC 6902."""
        return difference(canonical(self.difference.observed), canonical(self.difference.desired))

    @property
    def hash(self) -> str:
        """The hash of the change and everything that it would do; equal for equal changes."""
        return plan_hash(self.before.generation if self.before else 0, self.after, self.plan, self.patch)
