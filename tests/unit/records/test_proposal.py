"""What a request to run all nodes adds to a change."""

import pytest

from reconciler.desired.ended_nodes import with_ended_off
from reconciler.model.document import ClusterDocument, Halt, HaltReason, Power, PowerState
from reconciler.model.plan import Plan
from reconciler.model.topology import RestartPolicy
from reconciler.records.proposal import with_way_back
from tests.simulation.worlds import CLUSTER, cluster_spec, node_spec, running_record


@pytest.mark.parametrize("policy", RestartPolicy)
def test_a_node_that_had_shut_down_runs_again_under_the_policy_of_the_new_topology(policy: RestartPolicy) -> None:
    before = running_record("alpha")
    node = node_spec(0).model_copy(update={"restart": policy})
    after = before.model_copy(update={"cluster_name": CLUSTER, "spec": cluster_spec({"alpha": node})})
    host = ClusterDocument(power={"alpha": Power(state=PowerState.OFF, halt=Halt(reason=HaltReason.SHUT_DOWN))})
    assert (with_ended_off(after, host) is after) is (policy is RestartPolicy.ALWAYS)
    wanted = with_way_back(after, Plan(), host)
    assert with_ended_off(wanted, host) is wanted
