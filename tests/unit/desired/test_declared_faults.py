"""Faults of a topology, and what they come to in a specification."""

from reconciler.model.choices import Direction
from reconciler.model.faults import Bridge, Groups, ImpairRequest, PartitionRequest
from reconciler.model.links import Impairment

from .conftest import TOPOLOGY, Load

NODES = (
    TOPOLOGY
    + """\
  - {name: b, vcpus: 1, memory_mb: 512, ip: 10.7.0.11}
  - {name: c, vcpus: 1, memory_mb: 512, ip: 10.7.0.12}
"""
)


def test_a_topology_without_faults_wants_none(load: Load) -> None:
    assert load(TOPOLOGY).faults == {}


def test_faults_are_requests_by_name(load: Load) -> None:
    faults = load(
        NODES
        + """\
faults:
  - name: split
    partition: {groups: [[a], [b, c]], direction: to}
    duration_s: 60
  - name: tree
    partition: {shape: bridge, node: b, seed: 3}
  - name: wan
    impair: {source: a, target: [c], delay_ms: 50, loss_pct: 1.5, include_host: true}
"""
    ).faults
    split = PartitionRequest(shape=Groups(groups=(("a",), ("b", "c"))), direction=Direction.TO)
    assert (faults["split"].request, faults["split"].duration_s) == (split, 60)
    assert faults["tree"].request == PartitionRequest(shape=Bridge(node="b"), seed=3)
    wan = Impairment(delay_ms=50, loss_pct=1.5)
    assert faults["wan"].request == ImpairRequest(source="a", targets=("c",), impairment=wan, include_host=True)
