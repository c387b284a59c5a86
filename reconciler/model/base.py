"""The base of every model that crosses an edge of the program or belongs to the cluster document."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: immutable, compared by content, with no room for unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
