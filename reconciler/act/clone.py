"""Starts a node from a template: its disk, its memory, and as its identity its own seed."""

import structlog

from reconciler.act.context import ActContext
from reconciler.act.machine_files import require_defined_files
from reconciler.errors import ClusterError, OperationFailed, StillUnderWay
from reconciler.model.document import TemplateSpec
from reconciler.model.names import ROOT_DISK
from reconciler.model.plan import Start
from reconciler.templates.template_cache import Template

log = structlog.get_logger(__name__)


async def clone(action: Start, spec: TemplateSpec, context: ActContext) -> bool:
    """Start the node, paused; false if there is no template and it may boot instead.

    The disk comes first: if that is all that gets done, the node boots from it as after a power cut before its first
    login. That a resume is due is recorded before the memory is restored, as nothing else says why the node is paused.
    """
    cluster, node = context.cluster, action.node
    template = await _template(action, spec, context)
    if template is None:
        return False
    context.require_term()
    domain = await context.libvirt.defined(cluster, node)
    await context.templates.fill(template, domain.disks[ROOT_DISK].path, cluster)
    context.checkpoint(f"after fill:{node}")
    await require_defined_files(node, context)
    context.require_term()
    await context.libvirt.note_resume(cluster, node, resume_epoch=action.resume_epoch)
    await context.templates.restore(template, cluster, node)
    return True


async def _template(action: Start, spec: TemplateSpec, context: ActContext) -> Template | None:
    """The template, if it was built. One that is needed is then built meanwhile: a round is short."""
    if (template := await context.templates.find(spec)) is not None:
        return template
    if action.must_clone:
        try:
            since_s = context.templates.meanwhile.begin(spec, context.cluster)
        except ClusterError as error:
            raise OperationFailed(f"template {spec.key} cannot be built: {error}", node=action.node) from error
        raise StillUnderWay(f"building template {spec.key} to start it from, for {since_s:.0f} s", node=action.node)
    log.warning("boots_instead", cluster=context.cluster, node=action.node, template=spec.key)
    return None
