"""A preview as plain data."""

import re
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.controller.round_results import PlannedDifference
from reconciler.errors import ApprovalRequired
from reconciler.model.choices import StopMode
from reconciler.model.document import ClusterDocument, canonical
from reconciler.model.plan import Disruption
from reconciler.model.record import ClusterRecord
from reconciler.plan.planner import plan
from reconciler.records import record_changes
from reconciler.records.approval import Approval
from reconciler.records.plan_view import PlanView, plan_view
from reconciler.records.preview import Preview
from reconciler.records.proposal import require_approval
from reconciler.store.patch import patched
from tests.simulation.worlds import (
    NODES,
    NOTHING,
    as_wanted,
    cluster_spec,
    compiled,
    extra_disk,
    hosts,
    node_spec,
    records,
    running_record,
)

ADDRESS = re.compile(r"network/[^/]+|layer/[^/]+/[^/]+|(seed|domain|power|tap|links|snapshot)/[^/]+")


def preview(after: ClusterRecord, observed: ClusterDocument, before: ClusterRecord | None = None) -> Preview:
    desired = compiled(after, observed)
    return Preview(before, after, PlannedDifference(desired, observed, plan(desired, observed)))


def view(after: ClusterRecord, observed: ClusterDocument, before: ClusterRecord | None = None) -> PlanView:
    return plan_view(preview(after, observed, before))


def test_a_new_cluster_is_created_in_the_order_of_its_stages() -> None:
    new = view(running_record("alpha"), NOTHING)
    assert [(action.change, action.address, action.action) for action in new.actions] == [
        ("create", "layer/alpha/vda", "CreateLayer"),
        ("create", "network/net-lab", "CreateNetwork"),
        ("create", "seed/alpha", "WriteSeed"),
        ("create", "domain/alpha", "DefineDomain"),
        ("update", "power/alpha", "Start"),
    ]
    assert (new.generation, new.converged, new.blocked) == (0, False, False)
    assert (new.summary.create, new.summary.update, new.summary.delete) == (4, 1, 0)


def test_a_host_and_a_record_as_desired_have_nothing_to_do() -> None:
    record = running_record("alpha", "beta")
    same = view(record, as_wanted(record), before=record)
    assert same.converged
    assert (same.actions, same.patch, same.record_patch, same.record_changes) == ((), (), (), ())


def test_what_differs_without_the_change_is_marked_as_drift() -> None:
    record = running_record("alpha", "beta")
    observed = as_wanted(record).model_copy(update={"networks": {}})
    desired = compiled(record, observed)
    there = PlannedDifference(desired, observed, plan(desired, observed))
    changed = plan_view(Preview(record, record, there, drift=there.plan))
    assert changed.actions
    assert all(action.drift for action in changed.actions)
    assert not any(action.drift for action in plan_view(Preview(record, record, there)).actions)


def test_a_record_that_would_be_rewritten_is_a_change_although_the_host_stays() -> None:
    record = running_record("alpha")
    lost = view(record, as_wanted(record), before=None)
    assert not lost.converged
    assert (lost.actions, lost.patch) == ((), ())
    assert [operation["path"] for operation in lost.record_patch] == [""]
    assert lost.record_changes == ("+ cluster of 1 node",)


def test_a_change_of_memory_names_the_node_that_needs_a_restart() -> None:
    before = running_record("alpha", "beta")
    nodes = {**before.spec.nodes, "beta": node_spec(NODES.index("beta"), memory_mb=768)}
    after = before.model_copy(update={"spec": cluster_spec(nodes)})
    changed = view(after, as_wanted(before), before=before)
    (action,) = changed.actions
    assert (action.address, action.reason) == ("domain/beta", "memory_mb 512 -> 768")
    assert changed.summary.restarts == ("beta",)
    assert changed.patch == ({"op": "replace", "path": "/domains/beta/memory_mb", "value": 768},)


def test_a_node_that_is_turned_off_is_told_from_one_that_is_cycled() -> None:
    before = running_record("alpha", "beta")
    after = record_changes.stopped(before, StopMode.SHUTDOWN, nodes=["beta"])
    off = preview(after, as_wanted(before), before)
    assert (plan_view(off).summary.restarts, plan_view(off).summary.turns_off) == (("beta",), ("beta",))
    with pytest.raises(ApprovalRequired, match=r"power/beta: desired off \[power off\]"):
        require_approval(off, Approval())


@pytest.mark.parametrize(("mode", "action"), [(StopMode.SHUTDOWN, "ShutDown"), (StopMode.DESTROY, "CutPower")])
def test_a_clean_shutdown_and_a_power_cut_are_told_apart(mode: StopMode, action: str) -> None:
    before = running_record("alpha", "beta")
    after = record_changes.power_cycled(before, frozenset({"beta"}), mode)
    cycled = view(after, as_wanted(before), before=before)
    assert [(of.address, of.action) for of in cycled.actions] == [("power/beta", action), ("power/beta", "Start")]


def test_a_changed_address_recreates_its_node_and_is_named() -> None:
    before = running_record("alpha", "beta")
    beta = before.spec.nodes["beta"].model_copy(update={"ip": IPv4Address("192.168.77.99")})
    after = record_changes.with_spec(
        before, "lab", before.spec.model_copy(update={"nodes": {**before.spec.nodes, "beta": beta}})
    )
    changed = view(after, as_wanted(before), before=before)
    cause = f"recreated for ip {before.spec.nodes['beta'].ip} -> 192.168.77.99"
    marked = {of.address: of.reason for of in changed.actions if of.disruption is Disruption.RECREATE}
    assert marked == {"power/beta": cause, "domain/beta": f"{cause} (disks ~vda)"}
    assert (changed.summary.recreates, changed.summary.removes) == (("beta",), ())
    with pytest.raises(ApprovalRequired, match="beta is recreated: ip "):
        require_approval(preview(after, as_wanted(before), before=before), Approval(restart=True))


def test_a_node_that_leaves_is_removed_and_not_recreated() -> None:
    before = running_record("alpha", "beta")
    left = {"alpha": before.spec.nodes["alpha"]}
    after = record_changes.with_spec(before, "lab", before.spec.model_copy(update={"nodes": left}))
    shrunk = view(after, as_wanted(before), before=before)
    assert (shrunk.summary.removes, shrunk.summary.recreates) == (("beta",), ())
    with pytest.raises(ApprovalRequired, match=r"no longer desired \[remove\]"):
        require_approval(preview(after, as_wanted(before), before=before), Approval(restart=True))


@pytest.mark.parametrize(
    ("given_already", "asked_for"),
    [
        (Approval(), "pass `allow_restart` and `allow_data_loss` to approve it"),
        (Approval(restart=True), "pass `allow_data_loss` to approve it"),
        (Approval(data_loss=True), "pass `allow_restart` to approve it"),
    ],
)
def test_a_refusal_names_at_once_all_that_has_to_be_agreed_to(given_already: Approval, asked_for: str) -> None:
    before = running_record("alpha", "beta")
    nodes = {"alpha": node_spec(NODES.index("alpha"), memory_mb=768)}
    after = record_changes.with_spec(before, "lab", before.spec.model_copy(update={"nodes": nodes}))
    with pytest.raises(ApprovalRequired) as refusal:
        require_approval(preview(after, as_wanted(before), before=before), given_already)
    assert refusal.value.hint == asked_for
    require_approval(preview(after, as_wanted(before), before=before), Approval(restart=True, data_loss=True))


def test_disks_that_go_are_data_loss_under_their_own_address() -> None:
    spec = cluster_spec({"alpha": node_spec(0, extra_disks={"vdb": extra_disk("alpha")})})
    before = running_record("alpha").model_copy(update={"spec": spec})
    off = as_wanted(before).model_copy(update={"power": {}, "taps": {}})
    gone = view(running_record("alpha"), off, before=before)
    deletions = [action for action in gone.actions if action.disruption is Disruption.DATA_LOSS]
    assert [(action.change, action.address) for action in deletions] == [("delete", "layer/alpha/vdb")]
    assert gone.summary.data_loss == ("layer/alpha/vdb",)


@given(st.data())
def test_the_patch_leads_from_what_is_observed_to_what_is_desired(data: st.DataObject) -> None:
    record = data.draw(records())
    observed = data.draw(hosts(record))
    shown = view(record, observed)
    if shown.converged:
        assert shown.patch == ()
    else:
        assert patched(canonical(observed), shown.patch) == canonical(compiled(record, observed))
    assert all(ADDRESS.fullmatch(action.address) for action in shown.actions)
    assert PlanView.model_validate_json(shown.model_dump_json()) == shown
