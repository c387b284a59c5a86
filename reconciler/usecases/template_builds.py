"""Templates are built before the record is changed: a build takes as long as a boot, and rounds are short."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from reconciler.errors import ClusterError
from reconciler.model.document import TemplateSpec
from reconciler.model.plan import Plan, Start
from reconciler.model.record import ClusterSpec
from reconciler.model.topology import StartMode
from reconciler.progress import Progress, said_meanwhile
from reconciler.runtime import Runtime

log = structlog.get_logger(__name__)


class Planned(Protocol):
    """What has a plan."""

    @property
    def plan(self) -> Plan:
        """The plan."""


async def build_templates(
    runtime: Runtime, spec: ClusterSpec, planned: Callable[[], Awaitable[Planned]], progress: Progress
) -> None:
    """Build the templates that are missing for what is `planned`, which is only asked if a node may be cloned.

    Raises a `ClusterError` if a node that must be cloned would have none; others boot.
    """
    if all(node.start is not StartMode.CLONE for node in spec.nodes.values()):
        return
    actions = (await planned()).plan.actions
    starts = [(action.template, action.must_clone) for action in actions if isinstance(action, Start)]
    wanted = {template.key: template for template, _ in starts if template is not None}
    needed = {template.key for template, must_clone in starts if template is not None and must_clone}
    for key, template in wanted.items():
        try:
            await _build(runtime, template, progress)
        except ClusterError as error:
            if key in needed:
                raise
            log.warning("template_not_built", template=key, cause=str(error))


async def _build(runtime: Runtime, template: TemplateSpec, progress: Progress) -> None:
    async with said_meanwhile(lambda: f"building template {template.key}", progress):
        await runtime.templates.ensure(template)
