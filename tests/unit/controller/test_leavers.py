"""A network that a host visits has one leaver, which is started again where it was killed, unless a service runs."""

from pathlib import Path

import pytest

from reconciler.controller import leavers
from reconciler.controller.leavers import Leavers, leaver_lock, leaver_lock_path, service_runs
from reconciler.controller.side_files import remove_side_files
from reconciler.errors import HostCommandFailed
from reconciler.settings import Settings
from reconciler.store.lease import SERVICE, Lease

CLUSTER = "lab"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The clusters for which leavers were started; none of them holds its lock by itself."""
    clusters: list[str] = []
    monkeypatch.setattr(leavers, "start_leaver", lambda _settings, cluster: clusters.append(cluster))
    return clusters


def controller_lease(settings: Settings, purpose: str = "controller") -> Lease:
    return Lease(settings.state_dir / "controller.lock", purpose=purpose)


def of_another_process(settings: Settings) -> Leavers:
    return Leavers(settings, controller_lease(settings))


def test_a_visit_has_one_leaver(settings: Settings, started: list[str]) -> None:
    of_another_process(settings).ensure(CLUSTER)
    assert started == [CLUSTER]
    running = leaver_lock(settings, CLUSTER)
    assert running.try_acquire()
    of_another_process(settings).ensure(CLUSTER)
    of_another_process(settings).ensure_all()
    assert started == [CLUSTER]


def test_a_killed_leaver_is_started_again_by_the_next_that_acts_or_visits(
    settings: Settings, started: list[str]
) -> None:
    of_another_process(settings).ensure(CLUSTER)
    here = of_another_process(settings)
    here.ensure_all()
    assert started == [CLUSTER] * 2
    here.ensure_all()
    here.ensure(CLUSTER)
    assert started == [CLUSTER] * 2, "it is given time to take its lock"
    of_another_process(settings).ensure(CLUSTER)
    assert started == [CLUSTER] * 3


def test_a_service_needs_no_leaver_until_it_has_stopped(settings: Settings, started: list[str]) -> None:
    service = controller_lease(settings, SERVICE)
    assert service.try_acquire()
    of_another_process(settings).ensure(CLUSTER)
    assert started == []
    service.release()
    of_another_process(settings).ensure_all()
    assert started == [CLUSTER]


def test_a_service_that_was_killed_does_not_run(settings: Settings) -> None:
    lease = controller_lease(settings)
    path = settings.state_dir / "controller.lock"
    assert not service_runs(lease)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"process_id": 1, "purpose": "{SERVICE}"}}')
    assert not service_runs(lease)
    other = controller_lease(settings)
    assert other.try_acquire()
    assert not service_runs(lease), "another process that is the controller for a moment"


def test_a_leaver_that_cannot_be_started_keeps_nobody_from_acting(
    settings: Settings, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    of_another_process(settings).ensure(CLUSTER)

    def refuse(*_: object) -> None:
        raise HostCommandFailed("no such program")

    monkeypatch.setattr(leavers, "start_leaver", refuse)
    of_another_process(settings).ensure_all()
    with pytest.raises(HostCommandFailed):
        of_another_process(settings).ensure(CLUSTER)


def test_a_host_that_has_left_needs_no_leaver(settings: Settings, started: list[str]) -> None:
    of_another_process(settings).ensure(CLUSTER)
    remove_side_files(settings, CLUSTER)
    assert not leaver_lock_path(settings, CLUSTER).exists()
    of_another_process(settings).ensure_all()
    assert started == [CLUSTER]
