"""The base of every model that crosses an edge of the program or belongs to the cluster document."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: immutable, compared by content, with no room for unknown keys.

    Its validator is made when it is first needed: a command or a server that starts needs few of them.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", protected_namespaces=())
