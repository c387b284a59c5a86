"""A hash of a change and everything that it would do. Pure."""

import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel

from reconciler.model.plan import Plan
from reconciler.model.record import ClusterRecord
from reconciler.store.patch import Patch

_DIGITS = 16

_TOLD_ONLY = frozenset({"reason", "message"})
"""Text fields of an action or an obstacle, which may include seconds or bytes."""

_TIMES = frozenset({"created_at", "expires_at", "cut_expires_at"})
"""When a fault begins and ends: relative to now for a new fault, fixed by the generation for others."""


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
