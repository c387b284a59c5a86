"""Machines that start from a template, beside the same machines booted in the same run."""

import time
from collections.abc import Sequence
from typing import Any

from reconciler.model.topology import StartMode
from tests.bench.figure import Figure, median_figure
from tests.integration.bed import Bed, Session, temporary_bed
from tests.waiting import BOOT_TIMEOUT_S

CLUSTER = "cloned"
NODES = 3
MANY = 10
TIMES = 3


async def measure() -> Sequence[Figure]:
    """All figures; each is the time of one `apply`, from nothing or on a running cluster, until all nodes log in."""
    with temporary_bed() as bed:
        async with bed.runtime() as runtime:
            session = Session(runtime)
            booted_s = await _applied_s(bed, session, NODES, StartMode.BOOT)
            await _destroy(session)
            await _applied_s(bed, session, 1, StartMode.CLONE)  # makes the template
            await _destroy(session)
            three, fourth, many = [], [], []
            for _ in range(TIMES):
                three.append(await _applied_s(bed, session, NODES, StartMode.CLONE))
                fourth.append(await _applied_s(bed, session, NODES + 1, StartMode.CLONE))
                await _destroy(session)
                many.append(await _applied_s(bed, session, MANY, StartMode.CLONE) / MANY)
                await _destroy(session)
    return [
        median_figure(
            f"{NODES} nodes from nothing by clone until SSH answers",
            three,
            limit=5.0,
            baseline=[booted_s],
            limit_ratio=1 / 6,
            reference="booted in this run",
        ),
        median_figure("one more node by clone in a running cluster", fourth, limit=2.0),
        median_figure(f"each of {MANY} nodes from nothing by clone at once", many, limit=1.5),
    ]


async def _applied_s(bed: Bed, session: Session, nodes: int, mode: StartMode) -> float:
    def edit(document: dict[str, Any]) -> None:
        document["start"] = mode.value

    bed.write_topology(CLUSTER, nodes=nodes, boots=True, edit=edit)
    began_s = time.perf_counter()
    await session.clusters.apply(CLUSTER, timeout_s=BOOT_TIMEOUT_S)
    return time.perf_counter() - began_s


async def _destroy(session: Session) -> None:
    await session.clusters.destroy(CLUSTER, remove_overlays=True)
