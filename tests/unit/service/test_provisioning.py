"""Whether a cluster is provisioned, by what its nodes say of themselves."""

from datetime import datetime, timedelta

import pytest

from reconciler.guest.provisioning import Provisioning, Stage
from reconciler.model.record import WantedPower
from reconciler.model.results import DomainState, NodeStatus
from reconciler.model.status import Condition
from reconciler.service.provisioning import cluster_condition, node_condition, unseen_condition
from tests.simulation.worlds import NOW, running_record

DONE, RUNNING = Provisioning(Stage.DONE), Provisioning(Stage.RUNNING, "it runs")
FAILED = Provisioning(Stage.FAILED, "no luck")


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
        ((DONE, Provisioning(Stage.ABSENT, "none")), "True AllProvisioned beta: none", after(1)),
        ((RUNNING, RUNNING), "False CloudInitRunning alpha: it runs; beta: it runs", after(0)),
        (
            (RUNNING, FAILED),
            "False CloudInitFailed alpha: it runs; beta: no luck (see /var/log/cloud-init-output.log there)",
            after(0),
        ),
        ((DONE, Provisioning(Stage.UNKNOWN, "nonsense")), "Unknown NotObserved beta: nonsense", after(1)),
        ((Provisioning(Stage.UNKNOWN, "nonsense"), RUNNING), "False CloudInitRunning beta: it runs", after(1)),
    ],
)
def test_the_worst_node_decides_and_every_such_node_is_named(
    found: tuple[Provisioning, Provisioning], told: str, since: datetime
) -> None:
    nodes = [
        node(n, node_condition(of, after(i))) for i, (n, of) in enumerate(zip(("alpha", "beta"), found, strict=True))
    ]
    of = cluster_condition(running_record("alpha", "beta"), nodes)
    assert (f"{of.status.value} {of.reason} {of.message}", of.last_transition) == (told, since)


def test_a_node_that_is_off_counts_where_it_is_wanted_running() -> None:
    record = running_record("alpha", "beta")
    nodes = [node("alpha", node_condition(DONE, NOW)), off("beta")]
    of = cluster_condition(record, nodes)
    assert (of.status, of.reason, of.message) == ("Unknown", "NotRunning", "beta: it is off")
    unwanted = {name: intent.model_copy(update={"power": WantedPower.OFF}) for name, intent in record.nodes.items()}
    stopped = record.model_copy(update={"nodes": unwanted})
    assert cluster_condition(stopped, nodes).status == "True"
    assert cluster_condition(stopped, [off("alpha"), off("beta")]).last_transition == after(9)
