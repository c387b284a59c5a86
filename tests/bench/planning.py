"""How long compiling and planning take for large clusters, and how that grows with them."""

import gc
import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address

from reconciler.model.choices import StopMode
from reconciler.model.document import ClusterDocument
from reconciler.model.record import ClusterRecord, NodeIntent, WantedPower
from reconciler.plan.planner import plan
from tests.bench.figure import Figure, median_figure
from tests.simulation.worlds import CLUSTER, as_wanted, cluster_spec, compiled, node_spec

NODES = 1_000
GROWTH = 10
REPEATS = 5

_NOTHING_TO_DO = "plan, nothing to do"
_BOUND_S = 0.1
_NOISE = 1.5
"""How far from a straight line the growth may measure."""


async def measure() -> Sequence[Figure]:
    """What each costs for `NODES` nodes, and for `GROWTH` times as many beside that many times the smaller's cost."""
    small, large = _samples(NODES), _samples(GROWTH * NODES)
    figures = []
    for name, samples in small.items():
        limit = _BOUND_S if name == _NOTHING_TO_DO else None
        figures.append(median_figure(f"{name}, {NODES:,} nodes", samples, limit=limit))
        figures.append(
            median_figure(
                f"{name}, {GROWTH * NODES:,} nodes",
                large[name],
                baseline=[GROWTH * sample for sample in samples],
                limit_ratio=_NOISE,
                reference=f"{GROWTH} x the {NODES:,}",
            )
        )
    return figures


def large_record(nodes: int, power: WantedPower = WantedPower.RUNNING) -> ClusterRecord:
    """A cluster of that many nodes, of which each was once stopped the hard way."""
    first = IPv4Address("10.0.0.10")
    specs = {
        f"node-{index}": node_spec(0).model_copy(
            update={"ip": first + index, "mac": f"52:{index:010x}", "tap": f"vmc-{index}"}
        )
        for index in range(nodes)
    }
    intent = NodeIntent(power=power, stop_mode=StopMode.DESTROY)
    return ClusterRecord(cluster_name=CLUSTER, spec=cluster_spec(specs), nodes=dict.fromkeys(specs, intent))


def _samples(nodes: int) -> dict[str, list[float]]:
    """Seconds by what was done."""
    running, off = large_record(nodes), large_record(nodes, WantedPower.OFF)
    wanted, real = compiled(running), as_wanted(running)
    wanted_off, real_off = compiled(off), as_wanted(off)
    nothing = ClusterDocument()
    return {
        "compile": _durations_s(lambda: compiled(running)),
        _NOTHING_TO_DO: _durations_s(lambda: plan(wanted, real)),
        "plan, nothing to do, all off": _durations_s(lambda: plan(wanted_off, real_off)),
        "plan, all to be made": _durations_s(lambda: plan(wanted, nothing)),
        "plan, all to be removed": _durations_s(lambda: plan(nothing, real)),
    }


def _durations_s(call: Callable[[], object]) -> list[float]:
    durations_s = []
    for _ in range(REPEATS):
        gc.collect()
        started_s = time.perf_counter()
        call()
        durations_s.append(time.perf_counter() - started_s)
    return durations_s
