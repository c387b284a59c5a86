"""Whether a cluster is provisioned, by what its nodes say of themselves."""

from datetime import datetime, timedelta

import pytest

from reconciler.guest.cloud_init_progress import CloudInitStage, Provisioning
from reconciler.health.cluster_conditions import cluster_condition, guests_conditions
from reconciler.health.provisioning import node_condition, unseen_condition
from reconciler.model.record import WantedPower
from reconciler.model.results import DomainState, NodeStatus
from reconciler.model.status import Condition, ConditionStatus, ConditionType
from tests.simulation.worlds import NOW, running_record

DONE, RUNNING = Provisioning(CloudInitStage.DONE), Provisioning(CloudInitStage.RUNNING, "it runs")
FAILED = Provisioning(CloudInitStage.FAILED, "no luck")


def after(minutes: int) -> datetime:
    return NOW + timedelta(minutes=minutes)


def node(name: str, condition: Condition, state: DomainState = DomainState.RUNNING) -> NodeStatus:
    return NodeStatus(
        name=name, role="", ip="10.0.0.1", domain_state=state, ssh_reachable=True, conditions=(condition,)
    )


def off(name: str) -> NodeStatus:
    return node(name, unseen_condition(DomainState.SHUT_OFF, "it is off", after(9)), DomainState.SHUT_OFF)


@pytest.mark.parametrize(
    ("found", "told", "since"),
    [
        ((DONE, DONE), "True AllProvisioned ", after(1)),
        ((DONE, Provisioning(CloudInitStage.ABSENT, "none")), "True AllProvisioned beta: none", after(1)),
        ((RUNNING, RUNNING), "False CloudInitRunning alpha: it runs; beta: it runs", after(0)),
        (
            (RUNNING, FAILED),
            "False CloudInitFailed alpha: it runs; beta: no luck (see /var/log/cloud-init-output.log there)",
            after(0),
        ),
        ((DONE, Provisioning(CloudInitStage.UNKNOWN, "nonsense")), "Unknown NotObserved beta: nonsense", after(1)),
        ((Provisioning(CloudInitStage.UNKNOWN, "nonsense"), RUNNING), "False CloudInitRunning beta: it runs", after(1)),
    ],
)
def test_the_worst_node_decides_and_every_such_node_is_named(
    found: tuple[Provisioning, Provisioning], told: str, since: datetime
) -> None:
    nodes = [
        node(n, node_condition(of, after(i))) for i, (n, of) in enumerate(zip(("alpha", "beta"), found, strict=True))
    ]
    of = cluster_condition(running_record("alpha", "beta"), nodes, ConditionType.PROVISIONED)
    assert (f"{of.status.value} {of.reason} {of.message}", of.last_transition) == (told, since)


def test_a_node_that_is_off_counts_where_it_is_desired_running() -> None:
    record = running_record("alpha", "beta")
    nodes = [node("alpha", node_condition(DONE, NOW)), off("beta")]
    of = cluster_condition(record, nodes, ConditionType.PROVISIONED)
    assert (of.status, of.reason, of.message) == ("Unknown", "NotRunning", "beta: it is off")
    unwanted = {name: intent.model_copy(update={"power": WantedPower.OFF}) for name, intent in record.nodes.items()}
    stopped = record.model_copy(update={"nodes": unwanted})
    assert cluster_condition(stopped, nodes, ConditionType.PROVISIONED).status == "True"
    both_off = [off("alpha"), off("beta")]
    assert cluster_condition(stopped, both_off, ConditionType.PROVISIONED).last_transition == after(9)
    assert [of.reason for of in guests_conditions(record, both_off)] == ["NotRunning", "NotRunning"]


def test_the_kernels_of_a_cluster_are_as_healthy_as_the_worst_of_them() -> None:
    def kernels(*found: str) -> str:
        nodes = []
        for name, said in zip(("alpha", "beta"), found, strict=True):
            of = node(name, node_condition(DONE, NOW))
            kernel = Condition(
                type=ConditionType.KERNEL_HEALTHY,
                status=ConditionStatus(said.partition(" ")[0]),
                reason=said.partition(" ")[2],
                last_transition=NOW,
            )
            nodes.append(of.model_copy(update={"conditions": (kernel, *of.conditions)}))
        told, _ = guests_conditions(running_record("alpha", "beta"), nodes)
        assert told.type is ConditionType.KERNEL_HEALTHY
        return f"{told.status} {told.reason}"

    assert kernels("True NothingReported", "True NothingReported") == "True NothingReported"
    assert kernels("True NothingReported", "Unknown NotObserved") == "Unknown NotObserved"
    assert kernels("False Oops", "Unknown NotObserved") == "False Oops"
