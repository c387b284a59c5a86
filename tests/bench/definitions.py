"""Defining, reconciling and destroying 3 and 30 nodes that do not boot."""

import time
from collections.abc import Sequence
from itertools import pairwise

from tests.bench.figure import Figure, median_figure
from tests.integration.bed import Bed, Session, temporary_bed

ROUNDS = 5


async def measure() -> Sequence[Figure]:
    """All figures, after libvirt's first probe of QEMU."""
    with temporary_bed() as bed:
        async with bed.runtime() as runtime:
            session = Session(runtime)
            await _life(bed, session, 1)  # libvirt probes QEMU, Python imports
            return [*await _figures(bed, session, 3, 0.22), *await _figures(bed, session, 30, 0.89, limit=0.7)]


async def _figures(
    bed: Bed, session: Session, nodes: int, neighbour_s: float, limit: float | None = None
) -> list[Figure]:
    lives = [await _life(bed, session, nodes) for _ in range(ROUNDS)]
    define, again, status, destroy = (list(column) for column in zip(*lives, strict=True))
    return [
        median_figure(
            f"define {nodes} nodes", define, limit=limit, baseline=[neighbour_s], reference="best neighbour, noted"
        ),
        median_figure(f"round on {nodes} nodes, nothing to do", again, limit=0.05),
        median_figure(f"status of {nodes} nodes that are off", status),
        median_figure(f"destroy {nodes} defined nodes", destroy),
    ]


async def _life(bed: Bed, session: Session, nodes: int) -> tuple[float, float, float, float]:
    bed.write_topology("bench", nodes=nodes)
    marks = [time.perf_counter()]
    await session.clusters.define("bench")
    marks.append(time.perf_counter())
    result = await session.runtime.rounds.run("bench")
    assert result.converged
    assert not result.outcomes
    marks.append(time.perf_counter())
    await session.inspection.status("bench")
    marks.append(time.perf_counter())
    await session.clusters.destroy("bench", remove_overlays=True)
    marks.append(time.perf_counter())
    define, again, status, destroy = (later - earlier for earlier, later in pairwise(marks))
    return define, again, status, destroy
