"""The order of a plan: that of the topology, however the host was seen."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.document import ClusterDocument
from reconciler.plan.planner import plan
from tests.simulation.worlds import NOTHING, compiled, hosts, records, running_record


def shuffled(document: ClusterDocument, data: st.DataObject) -> ClusterDocument:
    """The same document, with its resources found in another order."""
    kinds = {
        kind: data.draw(st.permutations([*getattr(document, kind).items()])) for kind in type(document).model_fields
    }
    return document.model_copy(update={kind: dict(found) for kind, found in kinds.items()})


@given(st.data())
def test_the_same_documents_have_the_same_plan(data: st.DataObject) -> None:
    record = data.draw(records())
    observed = data.draw(hosts(record))
    other = shuffled(observed, data)
    assert other == observed
    one = plan(compiled(record, observed), observed)
    assert plan(compiled(record, other), other) == one


def test_the_nodes_of_each_stage_are_in_the_order_of_the_topology() -> None:
    todo = plan(compiled(running_record("gamma", "alpha", "beta")), NOTHING)
    stages = [action.stage for action in todo.actions]
    assert stages == sorted(stages)
    for stage in todo.stages():
        nodes = [action.node for action in stage if action.node is not None]
        assert list(dict.fromkeys(nodes)) in ([], ["gamma", "alpha", "beta"])


def test_nodes_that_leave_come_last_by_name() -> None:
    before = running_record("gamma", "beta", "alpha")
    gone = plan(compiled(running_record("gamma")), compiled(before))
    cuts = [action.node for action in next(iter(gone.stages()))]
    assert cuts == ["alpha", "beta"]
