"""The base of every model that crosses an edge of the program or belongs to the cluster document."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: immutable, compared by content, without unknown keys.

    Its validator is built on first use: most commands need few of the models.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", protected_namespaces=())
