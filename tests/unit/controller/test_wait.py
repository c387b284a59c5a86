"""How long a caller waits for a cluster."""

import pytest

from reconciler.controller import wait as waiting
from reconciler.controller.conditions import obstacle_of
from reconciler.controller.wait import Wait
from reconciler.errors import Obstructed, OperationFailed, StillUnderWay
from reconciler.model.status import Obstacle


def test_what_is_under_way_is_waited_for_longer_than_the_caller_asked_for() -> None:
    wait = Wait(timeout_s=0)
    wait.raise_if_late([obstacle_of(StillUnderWay("building template 1", node="n1"))])
    assert wait.left_s() > 0


def test_an_obstacle_is_stored_as_older_versions_read_it_and_one_of_a_newer_version_is_read() -> None:
    failed = obstacle_of(OperationFailed("no space left", node="n1"))
    assert "under_way" not in failed.model_dump_json()
    under_way = obstacle_of(StillUnderWay("building template 1"))
    assert Obstacle.model_validate_json(under_way.model_dump_json()) == under_way
    assert Obstacle.model_validate({**failed.model_dump(), "since": "yesterday"}) == failed


def test_what_failed_in_the_end_is_answered() -> None:
    wait = Wait(timeout_s=0)
    with pytest.raises(Obstructed, match="no space left"):
        wait.raise_if_late([obstacle_of(OperationFailed("no space left", node="n1"))])


def test_nothing_is_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "UNDER_WAY_S", 0.0)
    wait = Wait(timeout_s=0)
    with pytest.raises(Obstructed, match="building template 1"):
        wait.raise_if_late([obstacle_of(StillUnderWay("building template 1", node="n1"))])
