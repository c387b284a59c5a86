"""Templates are built before the record is changed: a build takes as long as a boot, and rounds are short."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import structlog
from pydantic import Field

from reconciler.desired.topology_text import GivenTopology
from reconciler.errors import ClusterError
from reconciler.model.base import Frozen
from reconciler.model.document import Power, TemplateSpec
from reconciler.model.plan import Plan, Start
from reconciler.model.record import ClusterRecord, ClusterSpec, NodeSpec, WantedPower
from reconciler.model.template import TemplateInfo
from reconciler.model.topology import StartMode
from reconciler.progress import Progress, said_meanwhile
from reconciler.records import record_changes
from reconciler.runtime import Runtime
from reconciler.templates.builds_meanwhile import PATIENCE_S
from reconciler.usecases.host_paths import reach_of_commands
from reconciler.usecases.loading import load_for_host
from reconciler.usecases.placing import placed

log = structlog.get_logger(__name__)


class BuiltTemplates(Frozen):
    """The templates that the nodes of a topology start from."""

    templates: tuple[TemplateInfo, ...] = Field(description="Built now, or there before.")
    boots: dict[str, str] = Field(default={}, description="Nodes that boot, and why.")


class Planned(Protocol):
    """What has a plan."""

    @property
    def plan(self) -> Plan:
        """The plan."""


WORTH_BUILDING = 2
"""Nodes that a template must serve at once: building one takes as long as a boot, and it is kept for later ones."""


async def build_templates(
    runtime: Runtime,
    cluster: str,
    spec: ClusterSpec,
    planned: Callable[[], Awaitable[Planned]],
    progress: Progress,
    timeout_s: float,
) -> None:
    """Build the templates that are worth it, or demanded, for the nodes that start by a change to `spec`.

    What is `planned` is only asked if a node may start as a clone. Raises a `ClusterError` if a node that must be
    cloned would have no template; others boot, at the latest after `timeout_s`, or `PATIENCE_S` if that is longer.
    """
    before = await runtime.store.get(cluster)
    if not any(_may_start_as_clone(node) and not _runs(name, before) for name, node in spec.nodes.items()):
        return
    actions = (await planned()).plan.actions
    clones = [
        (action.template, action.must_clone) for action in actions if isinstance(action, Start) and action.template
    ]
    served = Counter(template.key for template, _ in clones)
    needed = {template.key for template, must_clone in clones if must_clone}
    until_s = time.monotonic() + max(timeout_s, PATIENCE_S)
    for key, template in {template.key: template for template, _ in clones}.items():
        if key not in needed and served[key] < WORTH_BUILDING:
            continue
        if key in needed:
            await _build(template, runtime.templates.ensure, progress)
            continue
        try:
            left_s = max(until_s - time.monotonic(), 0)
            await _build(template, partial(runtime.templates.try_to_ensure, timeout_s=left_s), progress)
        except ClusterError as error:
            log.warning("template_not_built", template=key, cause=str(error))


def _may_start_as_clone(node: NodeSpec) -> bool:
    return node.start is not StartMode.BOOT and node.base_image.waits


def _runs(node: str, record: ClusterRecord | None) -> bool:
    intent = None if record is None else record.nodes.get(node)
    return intent is not None and intent.power is WantedPower.RUNNING


async def build_all(runtime: Runtime, topology: GivenTopology, progress: Progress) -> BuiltTemplates:
    """Build what is missing of the templates that new nodes of a topology start from on this host.

    Raises as `load_for_host` does, and a `ClusterError` if a template cannot be built.
    """
    cluster, spec = await load_for_host(runtime, topology, reach_of_commands(runtime.settings))
    spec, _ = await placed(runtime, cluster, spec, await runtime.store.get(cluster))
    new = record_changes.started(record_changes.with_spec(None, cluster, spec))
    power = (await runtime.looks.compare(new)).desired.power
    desired = {node: of for node, of in power.items() if isinstance(of, Power)}
    wanted = {of.template.key: of.template for of in desired.values() if of.template is not None}
    for template in wanted.values():
        await _build(template, runtime.templates.ensure, progress)
    there = await asyncio.to_thread(runtime.templates.cache.listed)
    boots = {node: of.boots or "its `start` says so" for node, of in desired.items() if of.template is None}
    return BuiltTemplates(templates=tuple(info for info in there if info.key in wanted), boots=boots)


async def _build(
    template: TemplateSpec, build: Callable[[TemplateSpec], Awaitable[object]], progress: Progress
) -> None:
    said = f"building template {template.key}: one machine boots, and the nodes start from its memory"
    async with said_meanwhile(lambda: said, progress):
        await build(template)
