"""What can be done about a cluster that is not defined: there may be a topology to make it from."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from reconciler.desired.topology_files import topology_names
from reconciler.errors import ClusterNotFound
from reconciler.settings import Settings

T = TypeVar("T")

_MOST_NAMES = 20


async def naming_topologies(work: Awaitable[T], settings: Settings, *, others: bool) -> T:
    """The result of `work`; a `ClusterNotFound` also names the topology of the cluster's name.

    Where there is none, it can name `others`, for callers who cannot list a directory.
    """
    try:
        return await work
    except ClusterNotFound as error:
        names = await asyncio.to_thread(topology_names, settings)
        if error.cluster_name in names:
            remedy = f'`cluster_apply(topology_name="{error.cluster_name}")` creates it from the topology of that name'
        else:
            shown = ", ".join(names[:_MOST_NAMES]) or "none"
            remedy = f"`cluster_define` creates one from a topology; there are: {shown}" if others else ""
        error.hint = "; ".join(filter(None, [error.hint, remedy]))
        raise
