"""Tells the other hosts of a store what this one is, and again when that has changed."""

import asyncio
import time

import structlog

from reconciler.errors import ClusterError
from reconciler.model.host import HostReport
from reconciler.runtime import Runtime
from reconciler.usecases.hosts import own_report

log = structlog.get_logger(__name__)

_LOOK_S = 15.0
_REPORT_S = 300.0
_NOTABLE_SHARE = 20
"""Free space is told when it has changed by this part of the disk: guests write all the time."""


async def keep_reported(runtime: Runtime) -> None:
    """Report this host at once, every few minutes if something has changed, and whenever it takes a new lease.

    Its share in tidying the store, and partial images, is done as often.
    """
    told: HostReport | None = None
    told_term, next_s = -1, 0.0
    while True:
        try:
            term = await runtime.store.membership().enter()
            if term != told_term or time.monotonic() >= next_s:
                await runtime.store.tidy()
                await runtime.images.sweep()
                report = await own_report(runtime, runtime.settings.own_host)
                next_s = time.monotonic() + _REPORT_S
                if term != told_term or told is None or differs(told, report):
                    await runtime.store.put_host(report)
                    told, told_term = report, term
        except (ClusterError, OSError) as error:
            log.warning("host_not_reported", cause=str(error))
        await asyncio.sleep(_LOOK_S)


def differs(told: HostReport, now: HostReport) -> bool:
    """Whether a report says something new; free space counts only where much of it came or went."""
    change_bytes = abs(told.disk_free_bytes - now.disk_free_bytes)
    same = told.model_copy(update={"disk_free_bytes": now.disk_free_bytes}) == now
    return not same or change_bytes * _NOTABLE_SHARE > now.disk_bytes
