"""Templates as users see them: machines that booted once up to where they need an identity."""

from datetime import datetime
from pathlib import Path

from pydantic import Field

from reconciler.model.base import Frozen


class TemplateInfo(Frozen):
    """A template in the cache of this host."""

    key: str
    image: Path
    memory_mb: int
    vcpus: int
    built_at: datetime
    used_at: datetime
    size_bytes: int = Field(description="What its files take on disk.")
    trouble: str = Field(default="", description="Why no node starts from it; empty: it is intact.")
