"""A template that a node must start from is built while its cluster's other work goes on."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from reconciler.act.clone import clone
from reconciler.act.context import ActContext
from reconciler.errors import ClusterNotFound, OperationFailed
from reconciler.model.document import TemplateSpec
from reconciler.model.plan import Start
from reconciler.templates import builds_meanwhile
from reconciler.templates.builds_meanwhile import BuildsMeanwhile
from tests.waiting import eventually


def spec(key: str = "one") -> TemplateSpec:
    return cast("TemplateSpec", SimpleNamespace(key=key))


class Host:
    """Builds end when they are let go; with a failure, if there is one."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.asked: list[str] = []
        self.go_on = asyncio.Event()
        self.failure: Exception | None = None
        self.builds = BuildsMeanwhile(self.build, self.ask_for_round)

    async def build(self, of: TemplateSpec) -> None:
        self.begun.append(of.key)
        await self.go_on.wait()
        if self.failure is not None:
            raise self.failure

    async def ask_for_round(self, cluster: str) -> None:
        self.asked.append(cluster)
        if cluster == "gone":
            raise ClusterNotFound("no cluster named 'gone' is defined")

    async def has_asked(self, *clusters: str) -> bool:
        return sorted(self.asked) == sorted(clusters)


async def test_clusters_that_need_one_template_wait_for_one_build_and_then_get_a_round() -> None:
    host = Host()
    for cluster in ("lab", "gone", "lab"):
        assert host.builds.begin(spec(), cluster) < 1
    host.builds.begin(spec("two"), "other")
    host.go_on.set()
    await eventually(lambda: host.has_asked("lab", "gone", "other"))
    assert host.begun == ["one", "two"]
    host.builds.begin(spec(), "lab")
    await eventually(lambda: host.has_asked("lab", "lab", "gone", "other"))
    assert host.begun == ["one", "two", "one"], "it was removed meanwhile"


@pytest.mark.parametrize("failure", [OperationFailed("the machine has ended"), RuntimeError("the machine has ended")])
async def test_a_build_that_failed_is_not_tried_again_for_a_while(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host()
    host.failure = failure
    host.go_on.set()
    host.builds.begin(spec(), "lab")
    await eventually(lambda: host.has_asked("lab"))
    with pytest.raises(Exception, match="the machine has ended"):
        host.builds.begin(spec(), "lab")
    assert host.begun == ["one"]
    monkeypatch.setattr(builds_meanwhile, "FAILED_S", 0.0)
    host.failure = None
    host.builds.begin(spec(), "lab")
    await eventually(lambda: host.has_asked("lab", "lab"))


async def test_a_build_ends_with_its_process() -> None:
    host = Host()
    host.builds.begin(spec(), "lab")
    await asyncio.sleep(0)
    await asyncio.wait_for(host.builds.close(), 5)
    assert host.asked == []


async def test_a_node_that_must_be_cloned_is_built_for_and_one_that_may_boots(tmp_path: Path) -> None:
    host = Host()

    async def find(_: object) -> None:
        return None

    templates = SimpleNamespace(find=find, meanwhile=host.builds)
    context = cast("ActContext", SimpleNamespace(cluster="lab", templates=templates))
    start = Start(node="n1", paused=True, resume_epoch=1, reason="")
    assert not await clone(start, spec(), context)
    assert host.begun == []
    with pytest.raises(OperationFailed, match="building template one to start it from, for 0 s") as waits:
        await clone(Start(node="n1", paused=True, resume_epoch=1, reason="", must_clone=True), spec(), context)
    assert (waits.value.node, waits.value.terminal) == ("n1", False)
    await host.builds.close()
