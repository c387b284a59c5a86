"""The evals' scripted solutions solve their tasks over MCP, with no more calls and bytes than the tasks allow."""

from pathlib import Path

import pytest

from tests.evals.builds import three_builds
from tests.evals.run import attempt, scripted
from tests.evals.task import Task, all_tasks
from tests.evals.world import World
from tests.integration.bed import BASE_IMAGE, LIBVIRT_URI, SHARED_CLUSTER, Bed

pytestmark = pytest.mark.usefixtures("trio")

_TASKS = all_tasks()


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """The trees of the module that a task is about."""
    return three_builds(BASE_IMAGE.parent, tmp_path_factory.mktemp("evals") / "builds")


@pytest.fixture(params=_TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    return _TASKS[request.param]


async def test_a_scripted_solution_solves_its_task(
    task: Task, guest_bed: Bed, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    trees = request.getfixturevalue("builds") if task.builds else ()
    world = World(SHARED_CLUSTER, tmp_path, guest_bed.environment, libvirt_uri=LIBVIRT_URI, builds=trees)
    outcome = await attempt(task, world, scripted)
    print(outcome.as_json())
    assert outcome.problems == ()
    assert (outcome.measure.errors, outcome.measure.codes) == (0, {})
    assert outcome.measure.calls <= task.most_calls
    if task.baseline:
        assert outcome.measure.bytes <= task.baseline.bytes / 2
