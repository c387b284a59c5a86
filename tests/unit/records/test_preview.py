"""The name of a plan: the same wherever the same would be done, and another where anything else would."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.controller.round_results import PlannedDifference
from reconciler.desired.compile import compile_document
from reconciler.error_codes import ErrorCode
from reconciler.model.document import ClusterDocument, Power, PowerState, Unknown, canonical
from reconciler.model.faults import DeclaredFault, Halves, PartitionRequest
from reconciler.model.plan import Disruption
from reconciler.model.record import ClusterRecord
from reconciler.plan.planner import plan
from reconciler.records import fault_changes, record_changes
from reconciler.records.preview import plan_hash
from reconciler.store import patch as patches
from tests.simulation.worlds import EMULATED, NOTHING, NOW, as_wanted, cluster_spec, node_spec, running_record

RECORD = running_record("alpha", "beta", "gamma")
STOPPED = as_wanted(RECORD).model_copy(update={"power": {}, "taps": {}})


def difference(after: ClusterRecord, observed: ClusterDocument, later_s: float = 0) -> PlannedDifference:
    now = NOW + timedelta(seconds=later_s)
    desired = compile_document(after, EMULATED, observed, now=now)
    return PlannedDifference(desired, observed, plan(desired, observed))


def name_of(after: ClusterRecord, found: PlannedDifference, generation: int = 3) -> str:
    patch = patches.difference(canonical(found.observed), canonical(found.desired))
    return plan_hash(generation, after, found.plan, patch)


def hashed(after: ClusterRecord = RECORD, observed: ClusterDocument = NOTHING, generation: int = 3) -> str:
    return name_of(after, difference(after, observed), generation)


def with_new_fault(later_s: float, duration_s: float = 60) -> str:
    """The hash of a plan that declares a fault, made at that time."""
    declared = DeclaredFault(request=PartitionRequest(shape=Halves()), duration_s=duration_s)
    spec = RECORD.spec.model_copy(update={"faults": {"split": declared}})
    now = NOW + timedelta(seconds=later_s)
    after = fault_changes.with_declared_faults(RECORD.model_copy(update={"spec": spec}), now=now)
    return name_of(after, difference(after, as_wanted(RECORD), later_s))


def print_hash() -> None:
    """For another process."""
    sys.stdout.write(f"{hashed()} {hashed(observed=STOPPED)}")


@pytest.mark.processes
def test_another_process_gives_the_same_situation_the_same_name() -> None:
    code = "from tests.unit.records.test_preview import print_hash; print_hash()"
    other = {**os.environ, "PYTHONHASHSEED": "random"}
    printed = subprocess.run([sys.executable, "-c", code], env=other, capture_output=True, check=True, text=True).stdout
    assert printed == f"{hashed()} {hashed(observed=STOPPED)}"


def test_the_order_in_which_a_host_was_seen_and_the_time_do_not_matter() -> None:
    backwards = {kind: dict(reversed(getattr(STOPPED, kind).items())) for kind in type(STOPPED).model_fields}
    assert hashed(observed=ClusterDocument(**backwards)) == hashed(observed=STOPPED)
    assert with_new_fault(later_s=0) == with_new_fault(later_s=100)
    assert with_new_fault(later_s=0) != with_new_fault(later_s=0, duration_s=61)


def test_the_words_for_what_is_done_do_not_matter_and_what_it_costs_does() -> None:
    found = difference(RECORD, NOTHING)
    first, *others = found.plan.actions
    told = replace(found, plan=replace(found.plan, actions=(replace(first, reason="told otherwise"), *others)))
    assert name_of(RECORD, told) == name_of(RECORD, found)
    costs = replace(first, disruption=Disruption.DATA_LOSS)
    dearer = replace(found, plan=replace(found.plan, actions=(costs, *others)))
    assert name_of(RECORD, dearer) != name_of(RECORD, found)


POWER = dict(as_wanted(RECORD).power)
SEEN = [
    NOTHING,
    as_wanted(RECORD),
    STOPPED,
    STOPPED.model_copy(update={"networks": {}}),
    STOPPED.model_copy(update={"seeds": {}}),
    as_wanted(RECORD).model_copy(update={"power": {**POWER, "beta": Power(state=PowerState.CRASHED)}}),
    as_wanted(RECORD).model_copy(update={"power": {**POWER, "beta": Power(state=PowerState.BLOCKED)}}),
    as_wanted(RECORD).model_copy(update={"power": {**POWER, "alpha": Power(state=PowerState.CRASHED)}}),
    as_wanted(RECORD).model_copy(update={"power": {**POWER, "beta": Power(state=PowerState.STOPPING)}}),
    STOPPED.model_copy(
        update={"domains": {**STOPPED.domains, "beta": Unknown(unknown="not ours", code=ErrorCode.CONFLICT)}}
    ),
]
WANTED = [
    RECORD,
    running_record("alpha", "beta"),
    RECORD.model_copy(update={"spec": cluster_spec({**RECORD.spec.nodes, "beta": node_spec(1, memory_mb=768)})}),
    record_changes.started(RECORD, paused=True),
    record_changes.started(RECORD, resume=frozenset({"alpha"})),
]


def test_whatever_alters_what_would_be_done_gives_another_name() -> None:
    names = [
        *(hashed(observed=seen) for seen in SEEN),
        *(hashed(after=wanted) for wanted in WANTED[1:]),
        hashed(generation=4),
        with_new_fault(later_s=0),
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("seen", SEEN)
def test_the_generation_that_counts_is_the_one_that_a_change_starts_from(seen: ClusterDocument) -> None:
    assert hashed(RECORD.model_copy(update={"generation": 9}), seen) == hashed(RECORD, seen)
