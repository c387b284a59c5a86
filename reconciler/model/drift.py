"""What a watched cluster's controller does about drift: differences that appear after a record was applied."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from reconciler.model.base import Frozen


class DriftMode(StrEnum):
    """`repair` drift at once, only `report` it, or `ignore` it."""

    REPAIR = "repair"
    REPORT = "report"
    IGNORE = "ignore"


class DriftPolicy(Frozen):
    """A mode for each kind of resource; a kind without one has the default.

    The policy applies only to what `vmcluster watch` does by itself: a command always applies the whole desired state.
    """

    default: DriftMode = Field(default=DriftMode.REPAIR, description="For kinds not named here.")
    networks: DriftMode | None = Field(default=None, description="The libvirt network and its bridge.")
    layers: DriftMode | None = Field(default=None, description="Disk layers.")
    seeds: DriftMode | None = Field(default=None, description="cloud-init seeds.")
    domains: DriftMode | None = Field(default=None, description="Definitions of machines.")
    power: DriftMode | None = Field(default=None, description="Whether machines run.")
    taps: DriftMode | None = Field(default=None, description="Whether running machines are plugged into their network.")
    links: DriftMode | None = Field(default=None, description="Firewall rules and queues of network faults.")
    snapshots: DriftMode | None = Field(default=None, description="Snapshots.")

    def of(self, kind: str) -> DriftMode:
        """The mode of a kind: a field of the cluster document."""
        return getattr(self, kind) or self.default


def _mode_for_all(value: Any) -> Any:
    return {"default": value} if isinstance(value, str) else value


DriftSetting = Annotated[DriftPolicy, BeforeValidator(_mode_for_all, json_schema_input_type=DriftMode | DriftPolicy)]
"""As users write it: one mode for everything, or one for each kind."""
