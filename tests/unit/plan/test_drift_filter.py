"""What is left undone of a plan because it is for drift that nobody wants repaired."""

import pytest

from reconciler.model.document import ClusterDocument
from reconciler.model.drift import DriftMode, DriftPolicy
from reconciler.model.plan import Action, Plan, Start, StartNetwork, Suspend
from reconciler.plan.drift_filter import withhold

NETWORK = StartNetwork(name="net", reason="is stopped")
START = Start(node="alpha", paused=False, resume_epoch=0, reason="is off")
OTHER = Suspend(node="beta", reason="runs")
PLAN = Plan(actions=(NETWORK, START, OTHER))


def test_every_kind_of_the_document_has_a_policy() -> None:
    kinds = set(ClusterDocument.model_fields) - {"marks", "forks"}  # what no record decides is never repaired as drift
    assert set(DriftPolicy.model_fields) == {"default", *kinds}


def test_by_default_everything_is_repaired() -> None:
    drift = withhold(PLAN, DriftPolicy())
    assert (drift.todo, drift.reported) == (PLAN, ())


@pytest.mark.parametrize(("mode", "reported"), [(DriftMode.REPORT, PLAN.actions), (DriftMode.IGNORE, ())])
def test_a_mode_for_all_leaves_nothing_to_do(mode: DriftMode, reported: tuple[Action, ...]) -> None:
    drift = withhold(PLAN, DriftPolicy(default=mode))
    assert drift.todo.converged
    assert drift.reported == reported


def test_what_builds_on_what_is_not_repaired_waits_with_it() -> None:
    drift = withhold(PLAN, DriftPolicy(networks=DriftMode.REPORT))
    assert drift.todo.actions == (OTHER,)  # suspending needs no network; starting does
    assert drift.reported == (NETWORK,)


def test_a_kind_of_its_own_mode_is_no_other_nodes_matter() -> None:
    drift = withhold(Plan(actions=(START, OTHER)), DriftPolicy(default=DriftMode.IGNORE, power=DriftMode.REPAIR))
    assert drift.todo.actions == (START, OTHER)
