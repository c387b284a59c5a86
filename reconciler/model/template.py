"""Templates as users see them: machines that booted once up to where they need an identity."""

from pathlib import Path

from pydantic import Field

from reconciler.model.base import Frozen
from reconciler.model.timestamps import Moment


class TemplateInfo(Frozen):
    """A template in the cache of this host."""

    key: str = Field(description="What decides its state, as a digest.")
    image: Path = Field(description="The base image of its disk.")
    memory_mb: int = Field(description="Of the machine, in MiB.")
    vcpus: int = Field(description="Of the machine.")
    built_at: Moment = Field(description="When it was built.")
    used_at: Moment = Field(description="When a node last started from it.")
    size_bytes: int = Field(description="What its files take on disk.")
    trouble: str = Field(default="", description="Why no node starts from it; empty: it is intact.")
