"""A change that was planned but not recorded, as data, and the hash that names it. Pure."""

import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from reconciler.model.document import canonical
from reconciler.model.plan import Plan
from reconciler.model.record import ClusterRecord
from reconciler.records.elsewhere import Elsewhere
from reconciler.store.patch import Patch, difference

if TYPE_CHECKING:
    from reconciler.controller.round_results import PlannedDifference

_DIGITS = 16

_TOLD_ONLY = frozenset({"reason", "message"})
"""Text fields of an action or an obstacle, which may include seconds or bytes."""

_TIMES = frozenset({"created_at", "expires_at", "cut_expires_at"})
"""When a fault begins and ends: relative to now for a new fault, fixed by the generation for others."""


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


def plan_hash(generation: int, after: ClusterRecord, plan: Plan, patch: Patch) -> str:
    """The hash of the next desired state, the generation that it starts from, and the actions.

    It includes the paths at which the host differs, for what later rounds do after nodes have shut down.
    """
    whole = {
        "generation": generation,
        "after": _plain(after.model_copy(update={"generation": 0, "consent": ()})),
        "plan": _plain(plan),
        "differs": [(of["op"], of["path"]) for of in patch if of["path"].rpartition("/")[2] not in _TIMES],
    }
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def _plain(value: Any) -> Any:
    """The value as JSON data, in a deterministic order."""
    match value:
        case _ if names := _field_names(value):
            told = {name: _plain(getattr(value, name)) for name in names if name not in _TOLD_ONLY | _TIMES}
            return [type(value).__name__, told]
        case Mapping():
            return {str(key): _plain(of) for key, of in value.items()}
        case Set():
            return sorted(map(str, value))
        case list() | tuple():
            return [_plain(of) for of in value]
        case _:
            return value if value is None or isinstance(value, bool | int | float) else str(value)


def _field_names(value: Any) -> tuple[str, ...]:
    """The fields of a model or a dataclass; empty for anything else."""
    if isinstance(value, BaseModel):
        return tuple(type(value).model_fields)
    return tuple(of.name for of in fields(value)) if is_dataclass(value) else ()
