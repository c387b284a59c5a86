"""How long compiling and planning take for large clusters; `python -m tests.bench.planning`.

Aims: planning 1,000 nodes with nothing to do at most 0.1 s, and linear growth to 10,000.
"""

import gc
import statistics
import time
from collections.abc import Callable
from ipaddress import IPv4Address

from reconciler.model.document import ClusterDocument
from reconciler.model.record import ClusterRecord, NodeIntent, StopMode, WantedPower
from reconciler.plan.planner import plan
from tests.simulation.worlds import CLUSTER, as_wanted, cluster_spec, compiled, node_spec

SIZES = (1_000, 10_000)
REPEATS = 5


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


def median_s(call: Callable[[], object]) -> float:
    """The median duration of a few calls."""
    durations_s = []
    for _ in range(REPEATS):
        gc.collect()
        started_s = time.perf_counter()
        call()
        durations_s.append(time.perf_counter() - started_s)
    return statistics.median(durations_s)


def measure(nodes: int) -> dict[str, float]:
    """Seconds by what was done."""
    running, off = large_record(nodes), large_record(nodes, WantedPower.OFF)
    wanted, real = compiled(running), as_wanted(running)
    wanted_off, real_off = compiled(off), as_wanted(off)
    nothing = ClusterDocument()
    return {
        "compile": median_s(lambda: compiled(running)),
        "plan, nothing to do": median_s(lambda: plan(wanted, real)),
        "plan, nothing to do, all off": median_s(lambda: plan(wanted_off, real_off)),
        "plan, all to be made": median_s(lambda: plan(wanted, nothing)),
        "plan, all to be removed": median_s(lambda: plan(nothing, real)),
    }


def main() -> None:
    """Print the medians, and how they grow."""
    small, large = (measure(nodes) for nodes in SIZES)
    print(f"{'seconds':32}{SIZES[0]:>10,}{SIZES[1]:>10,}   growth for 10 times the nodes")
    for name in small:
        print(f"{name:32}{small[name]:10.4f}{large[name]:10.4f}{large[name] / small[name]:10.1f}")


if __name__ == "__main__":
    main()
