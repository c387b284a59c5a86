"""Nodes that ended and are not started again by themselves."""

import pytest

from reconciler.desired.ended_nodes import nodes_shutting_down, nodes_that_ended, with_ended_off
from reconciler.model.choices import StopMode
from reconciler.model.document import ClusterDocument, Halt, HaltReason, Power, PowerState
from reconciler.model.record import ClusterRecord, Deletion, WantedPower
from reconciler.model.topology import RestartPolicy
from reconciler.records import record_changes
from tests.simulation.worlds import CLUSTER, cluster_spec, node_spec


def record_with(policy: RestartPolicy) -> ClusterRecord:
    node = node_spec(0).model_copy(update={"restart": policy})
    return record_changes.started(record_changes.with_spec(None, CLUSTER, cluster_spec({"alpha": node})))


def ended(record: ClusterRecord, reason: HaltReason | None, state: PowerState = PowerState.OFF) -> ClusterDocument:
    """A host on which the node had met every request before it ended."""
    asked = record.nodes["alpha"]
    halt = Halt(reason=reason) if reason else None
    power = Power(state=state, boot_epoch=asked.boot_epoch, resume_epoch=asked.resume_epoch, halt=halt)
    return ClusterDocument(power={"alpha": power})


@pytest.mark.parametrize(
    ("policy", "reason", "left"),
    [
        (RestartPolicy.ALWAYS, HaltReason.SHUT_DOWN, False),
        (RestartPolicy.ON_CRASH, HaltReason.SHUT_DOWN, True),
        (RestartPolicy.ON_CRASH, HaltReason.QEMU_ENDED, False),
        (RestartPolicy.NEVER, HaltReason.SHUT_DOWN, True),
        (RestartPolicy.NEVER, HaltReason.QEMU_ENDED, True),
        (RestartPolicy.NEVER, HaltReason.START_FAILED, False),
        (RestartPolicy.NEVER, None, False),
    ],
)
def test_the_policy_and_how_the_node_ended_decide(policy: RestartPolicy, reason: HaltReason | None, left: bool) -> None:
    record = record_with(policy)
    assert bool(nodes_that_ended(record, ended(record, reason))) is left


def test_a_node_that_is_left_off_is_to_be_off_from_then_on() -> None:
    record = record_with(RestartPolicy.NEVER)
    after = with_ended_off(record, ended(record, HaltReason.SHUT_DOWN))
    assert after.nodes["alpha"].power is WantedPower.OFF
    assert with_ended_off(after, ended(after, HaltReason.SHUT_DOWN)) is after


def test_what_was_asked_for_since_is_carried_out() -> None:
    record = record_with(RestartPolicy.NEVER)
    host = ended(record, HaltReason.SHUT_DOWN)
    later = [
        record_changes.started(record_changes.stopped(record, StopMode.SHUTDOWN)),
        record_changes.started(record, resume=frozenset({"alpha"})),
        record_changes.power_cycled(record, frozenset({"alpha"}), StopMode.SHUTDOWN),
    ]
    assert [nodes_that_ended(after, host) for after in later] == [frozenset()] * 3


def test_a_power_cycle_that_was_interrupted_after_the_shutdown_goes_on() -> None:
    record = record_changes.power_cycled(record_with(RestartPolicy.NEVER), frozenset({"alpha"}), StopMode.SHUTDOWN)
    asked = record.nodes["alpha"]
    shut_down = Power(
        state=PowerState.OFF,
        boot_epoch=asked.boot_epoch,
        resume_epoch=asked.resume_epoch - 1,
        halt=Halt(reason=HaltReason.SHUT_DOWN),
    )
    assert not nodes_that_ended(record, ClusterDocument(power={"alpha": shut_down}))


def test_a_cluster_that_goes_leaves_nobody_off() -> None:
    record = record_with(RestartPolicy.NEVER)
    host = ended(record, HaltReason.SHUT_DOWN)
    assert not nodes_that_ended(record.model_copy(update={"deletion": Deletion(remove_overlays=False)}), host)
    assert not nodes_that_ended(record, ended(record, HaltReason.SHUT_DOWN, PowerState.RUNNING))


def test_a_node_on_its_way_down_is_due_for_a_start_only_where_it_would_stay_off() -> None:
    for policy in RestartPolicy:
        record = record_with(policy)
        host = ended(record, None, PowerState.STOPPING)
        assert not nodes_that_ended(record, host)
        assert bool(nodes_shutting_down(record, host)) is (policy is not RestartPolicy.ALWAYS)
