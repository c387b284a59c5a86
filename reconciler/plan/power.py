"""From (desired, observed) power to the actions that start, stop, pause and resume the nodes' machines."""

from collections.abc import Iterator
from typing import assert_never

from reconciler.model.choices import StopMode
from reconciler.model.document import ClusterDocument, Domain, Layer, Power, PowerState, TemplateSpec, Unknown
from reconciler.model.names import ROOT_DISK, parse_layer_name
from reconciler.model.plan import CutPower, Disruption, Resume, ResumeMemory, ShutDown, Start, Suspend
from reconciler.plan.document_queries import Step, begins_anew, known, known_extra, restart_causes
from reconciler.plan.halted_machines import boots_again, ended_unexpectedly, halt_of, runs_on, stands_still
from reconciler.plan.link_planner import waits_for_links


def plan_power(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    """Match power to the desired state; carry out a requested power cycle exactly once."""
    for node, want in known(desired.power):
        match observed.power.get(node):
            case Unknown():
                continue
            case None:
                yield from _power_on(node, want, desired, observed)
            case have if have.boot_epoch < want.boot_epoch:
                yield _power_cycle(node, have, want, _cycle_causes(desired, observed, node, have, want))
                yield from _power_on(node, want, desired, observed)
            case have if have.state is not PowerState.OFF and begins_anew(desired, observed, node):
                yield _cut_for_new_disks(node, have, want)
                yield from _power_on(node, want, desired, observed)
            case have if have.state is PowerState.OFF or _was_restored(node, have, want, desired, observed):
                yield from _power_on(node, want, desired, observed)
            case have:
                yield from _match_state(node, have, want, _virt_type(observed, node))
    for node in known_extra(desired.power, observed.power):
        have = observed.power[node]
        assert isinstance(have, Power)
        if have.state is not PowerState.OFF:
            yield CutPower(
                node=node,
                boot_epoch=have.boot_epoch,
                reason="no longer desired",
                disruption=Disruption.REMOVE,
            )


def _power_on(node: str, want: Power, desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Step]:
    domain = desired.domains.get(node)
    if want.state is PowerState.OFF or not isinstance(domain, Domain):
        return
    runs = want.state is PowerState.RUNNING
    from_memory = want.memory is not None and _memory_is_due(domain, desired, observed, node)
    template = None if from_memory else _template(want, domain, desired, observed)
    waits = runs and (from_memory or template is not None or waits_for_links(desired, observed, node))
    met = want.resume_epoch - 1 if waits else want.resume_epoch  # the resume stays due until it has run
    if from_memory:
        assert want.memory is not None
        reason = f"continues from {want.memory.name}"
        yield ResumeMemory(node=node, domain=domain, memory=want.memory, resume_epoch=met, reason=reason)
    else:
        have = observed.power.get(node)
        ended = ended_unexpectedly(have.halt) if isinstance(have, Power) else ""
        how = _from_template(template, want) if template else _boots(want, domain, desired, observed)
        reason = "; ".join(filter(None, (f"desired {want.state}", how, ended)))
        yield Start(
            node=node,
            paused=waits or not runs,
            resume_epoch=met,
            template=template,
            must_clone=want.must_clone,
            reason=reason,
        )
    if waits:
        reason = "paused with its memory restored" if from_memory or template else "its links are set"
        yield Resume(node=node, resume_epoch=want.resume_epoch, after_memory=from_memory, reason=reason)


def _template(want: Power, domain: Domain, desired: ClusterDocument, observed: ClusterDocument) -> TemplateSpec | None:
    """What the node starts from, if nothing was written to its root disk yet: a later start is always a boot."""
    return want.template if _is_unused(domain, desired, observed) else None


def _from_template(template: TemplateSpec, want: Power) -> str:
    return f"from template {template.key}" + ("" if want.must_clone else " if there is one")


def _boots(want: Power, domain: Domain, desired: ClusterDocument, observed: ClusterDocument) -> str:
    return f"boots, as {want.boots}" if want.boots and _is_unused(domain, desired, observed) else ""


def _is_unused(domain: Domain, desired: ClusterDocument, observed: ClusterDocument) -> bool:
    """Whether the disk has only the image's content: no machine wrote to its layer, and there is none below."""
    path = str(domain.disks[ROOT_DISK].path)
    layer = observed.layers.get(path, desired.layers.get(path))
    if not isinstance(layer, Layer) or layer.written or layer.backing is None:
        return False
    return str(layer.backing) not in observed.layers


def _cycle_causes(desired: ClusterDocument, observed: ClusterDocument, node: str, have: Power, want: Power) -> str:
    """Why the node is power-cycled: a cycle that asks the guest to shut down serves a changed definition, if any."""
    for_change = restart_causes(desired, observed, node) if want.stop_mode is StopMode.SHUTDOWN else ""
    stood = have.state is PowerState.CRASHED and want.state is not PowerState.OFF
    stands = boots_again(have, _virt_type(observed, node)) if stood else ""
    return "; ".join(filter(None, (for_change, stands))) or f"power cycle {want.boot_epoch} was requested"


def _power_cycle(node: str, have: Power, want: Power, causes: str) -> CutPower:
    return CutPower(
        node=node,
        boot_epoch=want.boot_epoch,
        mode=want.stop_mode if have.state is PowerState.RUNNING else StopMode.DESTROY,
        reason=causes,
        disruption=Disruption.NONE if have.state is PowerState.OFF else Disruption.RESTART,
    )


def _match_state(node: str, have: Power, want: Power, virt_type: str) -> Iterator[Step]:
    match have.state:
        case PowerState.OFF:
            return
        case PowerState.RUNNING:
            yield from _match_running(node, have, want)
        case PowerState.STOPPING:
            if want.state is PowerState.OFF and want.stop_mode is StopMode.DESTROY:
                yield _cut(node, have)
        case PowerState.PAUSED | PowerState.BLOCKED | PowerState.CRASHED:
            yield from _match_stopped(node, have, want, virt_type)
        case _:
            assert_never(have.state)


def _match_running(node: str, have: Power, want: Power) -> Iterator[Step]:
    if want.state is PowerState.PAUSED:
        yield Suspend(node=node, reason="desired paused", disruption=Disruption.LIVE)
    elif want.state is PowerState.OFF and want.stop_mode is StopMode.SHUTDOWN:
        yield ShutDown(node=node, reason="desired off", disruption=Disruption.RESTART)
    elif want.state is PowerState.OFF:
        yield _cut(node, have)
    elif have.resume_epoch < want.resume_epoch:
        reason = "already runs; the request is met"
        yield Resume(node=node, resume_epoch=want.resume_epoch, after_memory=want.memory is not None, reason=reason)


def _match_stopped(node: str, have: Power, want: Power, virt_type: str) -> Iterator[Step]:
    """A halted node changes only on request: somebody may be inspecting it."""
    if want.state is PowerState.OFF and (want.stop_mode is StopMode.DESTROY or have.state is PowerState.CRASHED):
        yield _cut(node, have)
    elif want.state is PowerState.RUNNING and _resume_was_asked_for(have, want):
        of_memory, reason = want.memory is not None, runs_on(have)
        yield Resume(node=node, resume_epoch=want.resume_epoch, after_memory=of_memory, stood_still=True, reason=reason)
    elif not (want.state is PowerState.PAUSED and have.state is PowerState.PAUSED) and (halt := halt_of(have)):
        yield stands_still(node, halt, virt_type)


def _resume_was_asked_for(have: Power, want: Power) -> bool:
    return have.state is not PowerState.CRASHED and have.resume_epoch < want.resume_epoch


def _cut_for_new_disks(node: str, have: Power, want: Power) -> CutPower:
    return CutPower(
        node=node,
        boot_epoch=want.boot_epoch,
        mode=want.stop_mode if have.state is PowerState.RUNNING else StopMode.DESTROY,
        reason="its disks are replaced",
        disruption=Disruption.RESTART,
    )


def _cut(node: str, have: Power) -> CutPower:
    return CutPower(node=node, boot_epoch=have.boot_epoch, reason="desired off", disruption=Disruption.RESTART)


def _was_restored(node: str, have: Power, want: Power, desired: ClusterDocument, observed: ClusterDocument) -> bool:
    """Whether the node is paused with its memory restored: that must be recorded before it runs on."""
    domain = desired.domains.get(node)
    if have.state is not PowerState.PAUSED or want.memory is None or not isinstance(domain, Domain):
        return False
    return _memory_is_due(domain, desired, observed, node)


def _memory_is_due(domain: Domain, desired: ClusterDocument, observed: ClusterDocument, node: str) -> bool:
    """Whether the node's root layer matches the saved memory: no machine has resumed from it, or run, on this layer.

    A later snapshot put every layer above the first of its revision: the ones below have been written to.
    """
    path = domain.disks[ROOT_DISK].path
    layer, parsed = observed.layers.get(str(path)), parse_layer_name(path.name)
    if (isinstance(layer, Layer) and layer.resumed) or (parsed is not None and parsed[3] > 0):
        return False
    power = observed.power.get(node)
    ran = isinstance(power, Power) and power.state not in {PowerState.OFF, PowerState.PAUSED}
    return not ran or begins_anew(desired, observed, node)


def _virt_type(observed: ClusterDocument, node: str) -> str:
    domain = observed.domains.get(node)
    return domain.virt_type if isinstance(domain, Domain) else ""
