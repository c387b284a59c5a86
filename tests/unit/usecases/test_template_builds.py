"""Which templates are built before a change, and which are left to a boot."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from reconciler.errors import OperationFailed
from reconciler.model.document import TemplateSpec
from reconciler.model.plan import Plan, Start
from reconciler.model.record import ClusterSpec, WantedPower
from reconciler.model.topology import StartMode
from reconciler.progress import Progress
from reconciler.records import record_changes
from reconciler.runtime import Runtime
from reconciler.templates.builds_meanwhile import PATIENCE_S
from reconciler.usecases.template_builds import build_templates
from tests.simulation.worlds import CLUSTER, NODES, cluster_spec, node_spec
from tests.unit.plan.test_cloning import TEMPLATE

LIMIT_S = 7.0
OTHER = TEMPLATE.model_copy(update={"memory_mb": 1024})


@dataclass
class Built:
    """In place of the host's templates: what was asked for."""

    keys: list[str] = field(default_factory=list)
    limits_s: list[float] = field(default_factory=list)
    trouble: str = ""

    async def ensure(self, spec: TemplateSpec) -> None:
        self.keys.append(spec.key)
        if self.trouble:
            raise OperationFailed(self.trouble)

    async def try_to_ensure(self, spec: TemplateSpec, timeout_s: float) -> None:
        self.limits_s.append(timeout_s)
        await self.ensure(spec)


@dataclass(frozen=True)
class Seen:
    plan: Plan


@dataclass
class Cluster:
    """A cluster on an image that waits, and what starting it would start from."""

    runtime: Runtime
    starts: Sequence[Start]
    spec: ClusterSpec
    plans: int = 0

    async def build(self) -> None:
        async def planned() -> Seen:
            self.plans += 1
            return Seen(Plan(actions=tuple(self.starts)))

        await build_templates(
            self.runtime, CLUSTER, self.spec, planned, Progress(lambda message: None), timeout_s=LIMIT_S
        )


def start(node: str, template: TemplateSpec | None, *, must_clone: bool = False) -> Start:
    return Start(node=node, paused=True, resume_epoch=0, template=template, must_clone=must_clone, reason="test")


def of_waiting_nodes(mode: StartMode = StartMode.AUTO, *, waits: bool = True) -> ClusterSpec:
    node = node_spec(0)
    image = node.base_image.model_copy(update={"waits": waits})
    changed = {"base_image": image, "start": mode}
    return cluster_spec({name: node_spec(index).model_copy(update=changed) for index, name in enumerate(NODES)})


@pytest.fixture
def built(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Built:
    there = Built()
    monkeypatch.setattr(runtime, "templates", there)
    return there


async def test_a_template_is_built_for_two_nodes_and_not_for_one(runtime: Runtime, built: Built) -> None:
    several = [start("a", TEMPLATE), start("b", OTHER), start("c", TEMPLATE), start("d", None)]
    await Cluster(runtime, several, of_waiting_nodes()).build()
    assert built.keys == [TEMPLATE.key]


async def test_a_template_is_built_for_one_node_that_must_be_a_clone(runtime: Runtime, built: Built) -> None:
    await Cluster(runtime, [start("a", TEMPLATE, must_clone=True)], of_waiting_nodes(StartMode.CLONE)).build()
    assert built.keys == [TEMPLATE.key]


async def test_nodes_that_can_boot_wait_no_longer_than_their_caller_does_for_all_templates_together(
    runtime: Runtime, built: Built
) -> None:
    several = [start("a", TEMPLATE), start("b", TEMPLATE), start("c", OTHER), start("d", OTHER)]
    await Cluster(runtime, several, of_waiting_nodes()).build()
    first, second = built.limits_s
    assert PATIENCE_S >= first > second > LIMIT_S
    await Cluster(runtime, [start("a", TEMPLATE, must_clone=True)], of_waiting_nodes(StartMode.CLONE)).build()
    assert built.limits_s == [first, second]


async def test_a_template_that_cannot_be_built_fails_only_nodes_that_must_be_clones(
    runtime: Runtime, built: Built
) -> None:
    built.trouble = "no word from the guest"
    await Cluster(runtime, [start("a", TEMPLATE), start("b", TEMPLATE)], of_waiting_nodes()).build()
    with pytest.raises(OperationFailed, match="no word from the guest"):
        await Cluster(runtime, [start("a", TEMPLATE, must_clone=True)], of_waiting_nodes(StartMode.CLONE)).build()


@pytest.mark.parametrize(
    "spec", [of_waiting_nodes(StartMode.BOOT), of_waiting_nodes(waits=False)], ids=["all boot", "an image that boots"]
)
async def test_nothing_is_looked_at_where_no_node_can_be_a_clone(
    runtime: Runtime, built: Built, spec: ClusterSpec
) -> None:
    cluster = Cluster(runtime, [start("a", TEMPLATE), start("b", TEMPLATE)], spec)
    await cluster.build()
    assert (cluster.plans, built.keys) == (0, [])


async def test_nothing_is_looked_at_where_all_nodes_run_already(runtime: Runtime, built: Built) -> None:
    spec = of_waiting_nodes()
    record = record_changes.started(record_changes.with_spec(None, CLUSTER, spec))
    assert {of.power for of in record.nodes.values()} == {WantedPower.RUNNING}
    await runtime.store.put(record, expected_generation=0, actor="test")
    cluster = Cluster(runtime, [], spec)
    await cluster.build()
    assert cluster.plans == 0
