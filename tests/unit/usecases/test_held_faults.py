"""A fault that lasts as long as something holds it."""

import os

import pytest

from reconciler.errors import OperationTimeout
from reconciler.faults.requests import Sides, partition_request
from reconciler.model.record import ClusterRecord
from reconciler.runtime import Runtime
from reconciler.usecases.clusters import Clusters
from reconciler.usecases.network_faults import Faults
from tests.simulation.worlds import CLUSTER


async def test_a_held_fault_is_taken_back_if_a_simulated_controller_does_not_apply_it_in_time(
    applied: Clusters, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await applied.apply("lab", wait_for_ssh=False)
    watched: list[int] = []

    async def watch(_cluster: str, _handle: str, lifeline: int) -> None:
        watched.append(os.dup(lifeline))

    async def converge(record: ClusterRecord, **_: object) -> None:
        if record.faults:
            raise OperationTimeout("the links are not as desired yet")

    monkeypatch.setattr(runtime, "start_fault_watcher", watch)
    monkeypatch.setattr(runtime.controller, "converge", converge)
    asked = partition_request(Sides(partition_a=("alpha",), partition_b=("beta",)))
    with pytest.raises(OperationTimeout):
        await Faults(runtime, actor="test").inject_held(CLUSTER, asked)
    left = await runtime.store.get(CLUSTER)
    assert left is not None
    assert left.faults == {}
    assert os.read(watched[0], 1) == b"", "what watches for the end of the fault's holder sees it"
    os.close(watched[0])
