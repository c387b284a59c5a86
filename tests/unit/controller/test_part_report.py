"""What a host reports about its part, and how others read it."""

from dataclasses import replace
from datetime import UTC, datetime

from reconciler.controller.conditions import obstacle_of, status_of_failed_round
from reconciler.controller.part_report import power_elsewhere, reported
from reconciler.controller.round_input import RoundInput
from reconciler.errors import LibvirtUnavailable
from reconciler.model.document import ClusterDocument, Power, PowerState, Unknown
from reconciler.model.status import Condition, ConditionStatus, ConditionType, NodeReport, RecordStatus
from reconciler.store.protocol import HostWords
from tests.simulation.test_parts import placed
from tests.simulation.worlds import running_record

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RECORD = placed(running_record("alpha", "beta"), {"alpha": "one", "beta": "two"})
SEEN = {"beta": NodeReport(state=PowerState.RUNNING, host_key="ssh-ed25519 AAAA")}


def word(nodes: dict[str, NodeReport]) -> RecordStatus:
    return RecordStatus(
        cluster_name="lab", host="two", observed_generation=1, converged=True, nodes=nodes, updated_at=NOW
    )


def power_of_beta(hosts: HostWords) -> Power | Unknown | None:
    return power_elsewhere(RECORD, "one", hosts).get("beta")


def of(*words: RecordStatus) -> HostWords:
    return HostWords({word.host: word for word in words}, {}, "one")


def test_a_host_that_cannot_look_keeps_the_keys_of_its_nodes_and_knows_no_state() -> None:
    before, hosts = word(SEEN), of(word(SEEN))
    view = RoundInput(RECORD, before, request=0, retries=None, put_off={}, whole=RECORD, host="two", hosts=hosts)
    failed = status_of_failed_round(RECORD, obstacle_of(LibvirtUnavailable("libvirtd is down")), before, NOW)
    said = reported(failed, view)
    assert said.nodes == SEEN, "others still log in to them"
    found = power_of_beta(of(said))
    assert isinstance(found, Unknown)
    assert found.unknown == "host two: libvirtd is down"
    assert reported(failed, view, ClusterDocument()).nodes == {}, "it has looked, and there is none"


def test_the_power_of_a_node_is_what_its_host_saw_last_unless_that_is_not_there() -> None:
    defined = Condition(
        type=ConditionType.DEFINED, status=ConditionStatus.TRUE, reason="AsDesired", message="", last_transition=NOW
    )
    looked = word(SEEN).model_copy(update={"conditions": (defined,)})
    assert power_of_beta(of(looked)) == Power(state=PowerState.RUNNING)
    is_lost = replace(of(looked), lost={"two": NOW})
    is_forgotten = replace(is_lost, forgotten=frozenset({"two"}))
    has_begun = of(word({}))
    for told, hosts in {"since": is_lost, "forgotten": is_forgotten, "has not looked yet": has_begun}.items():
        found = power_of_beta(hosts)
        assert isinstance(found, Unknown)
        assert told in found.unknown
    assert isinstance(power_of_beta(of()), Unknown)
