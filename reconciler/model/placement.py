"""Where the nodes of a cluster run, where there are several hosts: as users write it, and as the record keeps it."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from reconciler.model.base import Frozen
from reconciler.model.fields import HostLabels


class PlacementStrategy(StrEnum):
    """`spread` puts nodes on as many hosts as possible, `pack` on as few."""

    SPREAD = "spread"
    PACK = "pack"


class PlacementPolicy(Frozen):
    """How a host is chosen for a node that does not name one: once, when the node first appears in the record."""

    strategy: PlacementStrategy = Field(
        default=PlacementStrategy.SPREAD, description="`spread` over as many hosts as possible, or `pack` on as few."
    )
    labels: HostLabels = Field(default={}, description="Only hosts that have all of these labels.")


def _as_policy(value: Any) -> Any:
    match value:
        case str():
            return {"strategy": value}
        case dict() if value.keys().isdisjoint(PlacementPolicy.model_fields):
            return {"labels": value}
    return value


PlacementSetting = Annotated[
    PlacementPolicy,
    BeforeValidator(_as_policy, json_schema_input_type=PlacementStrategy | HostLabels | PlacementPolicy),
]
"""As users write it: a strategy, the labels of the hosts to spread the nodes over, or both."""
