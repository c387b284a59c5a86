"""The templates of this host, as their users see them."""

import asyncio

from pydantic import Field

from reconciler.model.base import Frozen
from reconciler.model.template import TemplateInfo
from reconciler.runtime import Runtime


class RemovedTemplates(Frozen):
    """Templates that are gone; clones of them keep what they have."""

    keys: tuple[str, ...] = Field(description="Of the removed templates.")
    freed_bytes: int = Field(description="What their files took on disk.")


async def list_templates(runtime: Runtime, *, whole: bool = False) -> list[TemplateInfo]:
    """All templates of this host; with `whole`, their files are read and compared with what was written."""
    return await asyncio.to_thread(runtime.templates.cache.listed, whole=whole)


async def remove_templates(runtime: Runtime, keys: list[str]) -> RemovedTemplates:
    """Remove these templates. Raises `OperationFailed`, removing none, if one does not exist."""

    def remove() -> RemovedTemplates:
        cache = runtime.templates.cache
        for key in keys:
            cache.require(key)
        freed = sum(info.size_bytes for info in cache.listed() if info.key in keys)
        for key in keys:
            cache.remove(key)
        return RemovedTemplates(keys=tuple(keys), freed_bytes=freed)

    return await asyncio.to_thread(remove)
