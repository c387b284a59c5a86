"""A preview as data: what `plan` prints and answers, the same for people, programs and agents. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from reconciler.model import names
from reconciler.model.abridging import Abridgeable
from reconciler.model.action_names import action_name
from reconciler.model.base import Frozen
from reconciler.model.document import ClusterDocument, Layer
from reconciler.model.message_text import MessageText
from reconciler.model.plan import (
    Action,
    ChangeKind,
    CreateLayer,
    CutPower,
    DefineDomain,
    DeleteLayer,
    Disruption,
    FlattenLayer,
    GrowLayer,
    HealLinks,
    RestoreOwner,
    Resume,
    ResumeMemory,
    SetLinks,
    ShutDown,
    Start,
)
from reconciler.model.record import ClusterRecord
from reconciler.model.status import Obstacle
from reconciler.plan.document_queries import should_be_off
from reconciler.records.change_descriptions import change_in_words
from reconciler.records.record_changes import recreation_causes
from reconciler.store.patch import difference

if TYPE_CHECKING:  # the models are used by front ends that must start without importing libvirt
    from reconciler.records.preview import Preview

ChangeName = Literal["create", "update", "delete"]
MemoryFate = Literal["kept", "lost"]
_CHANGE_NAMES: dict[ChangeKind, ChangeName] = {
    ChangeKind.CREATE: "create",
    ChangeKind.UPDATE: "update",
    ChangeKind.DELETE: "delete",
}

_RESOURCES = {
    "networks": "network",
    "snapshots": "snapshot",
    "seeds": "seed",
    "domains": "domain",
    "power": "power",
    "taps": "tap",
}


AGREED_TO_BY = {
    Disruption.RESTART: "allow_restart",
    Disruption.RECREATE: "allow_data_loss",
    Disruption.REMOVE: "allow_data_loss",
    Disruption.DATA_LOSS: "allow_data_loss",
}
"""The argument by which a caller approves what a change costs."""

_BRINGS_DOWN = frozenset({ShutDown.__name__, CutPower.__name__})
_BRINGS_UP = frozenset({Start.__name__, ResumeMemory.__name__})


class ActionView(Frozen):
    """One action of a plan."""

    address: str = Field(description="The resource: `network/NAME`, `layer/NODE/DISK`, `snapshot/NAME`, `KIND/NODE`.")
    action: str = Field(description="The action, such as `DefineDomain`.")
    change: ChangeName = Field(description="What happens to the resource.")
    node: str | None = Field(description="The node that it concerns; null if it is not a single one.")
    reason: MessageText = Field(description="The reason, with the old and new values of changed fields.")
    disruption: Disruption = Field(description="What it costs: none, live, restart, recreate, remove or data-loss.")
    memory: MemoryFate | None = Field(
        default=None, description="What happens to the node's memory; null if nothing does."
    )
    drift: bool = Field(default=False, description="It repairs drift: the host was changed, not the desired state.")


class PlanSummary(Abridgeable):
    """A plan in numbers (of resources, not actions), and the nodes that it disrupts."""

    create: int = Field(description="How many resources are created.")
    update: int = Field(description="How many are updated.")
    delete: int = Field(description="How many are deleted.")
    restarts: tuple[str, ...] = Field(description="Nodes that are powered off or cycled.")
    turns_off: tuple[str, ...] = Field(default=(), description="Those of `restarts` that then stay off.")
    recreates: tuple[str, ...] = Field(description="Nodes that are recreated, with a new root disk.")
    removes: tuple[str, ...] = Field(default=(), description="Nodes that are removed.")
    data_loss: tuple[str, ...] = Field(description="Addresses of disks whose content is lost.")


class NodePlacement(Frozen):
    """The host of a node, where several hosts share a store."""

    node: str = Field(description="The node.")
    host: str = Field(description="Its host.")
    reason: MessageText = Field(description="Why that one.")
    kept: bool = Field(description="It is there already.")


class PlanView(Abridgeable):
    """What applying a topology would do. `generation` is that of the record it starts from, 0 if there is none."""

    cluster_name: str = Field(description="Name of the cluster.")
    generation: int = Field(description="Generation of the record that it starts from; 0 if there is none.")
    back_to: int | None = Field(default=None, description="The generation that a rollback restores; null for others.")
    plan_hash: str = Field(
        description="Identifies this plan: an apply with it carries out exactly this plan, or answers CONFLICT."
    )
    converged: bool = Field(
        description="Nothing to do: host and record match the topology, and both patches are empty."
    )
    approvals: tuple[str, ...] = Field(
        default=(), description="The arguments of `cluster_apply` that approve its costs; without them it is refused."
    )
    blocked: bool = Field(description="Applying the topology is refused until an obstacle is removed.")
    actions: tuple[ActionView, ...] = Field(description="In the order of execution.")
    obstacles: tuple[Obstacle, ...] = Field(description="What blocks it, with the remedy.")
    warnings: tuple[MessageText, ...] = Field(
        default=(), description="What works, but not as well as expected, with the remedy."
    )
    waiting: tuple[str, ...] = Field(description="Nodes that are shutting down, which it waits for.")
    kept_files: tuple[Path, ...] = Field(
        default=(), description="Files of extra disks that no node uses: they are kept."
    )
    placements: tuple[NodePlacement, ...] = Field(
        default=(), description="Where several hosts share the store: the host of each node, decided once."
    )
    losses_elsewhere: dict[str, str] = Field(
        default={}, description="By node: what is lost on other hosts, which this one cannot observe."
    )
    restarts_elsewhere: dict[str, str] = Field(
        default={}, description="By node: why it restarts on another host, which this one cannot observe."
    )
    summary: PlanSummary = Field(description="The plan in numbers.")
    patch: tuple[dict[str, Any], ...] = Field(
        default=(),
        description="RFC 6902, from the observed document to the desired one; empty if nothing is done about it.",
    )
    record_patch: tuple[dict[str, Any], ...] = Field(
        default=(), description="RFC 6902, from the current record to the new one."
    )
    record_changes: tuple[str, ...] = Field(default=(), description="The same in words, as `history` shows it.")


def plan_view(preview: "Preview") -> PlanView:
    """The plan of a preview, in the order of execution."""
    plan, documents = preview.plan, preview.difference
    planned = (action for stage in plan.stages() for action in stage)
    drifted = {_key(view) for of in preview.drift.actions for view in _action_views(of, documents.observed)}
    views = [view for action in planned for view in _action_views(action, documents.observed)]
    views = _with_memory(views)
    views = _with_recreations(views, recreation_causes(preview.before, preview.after))
    actions = [view.model_copy(update={"drift": True}) if _key(view) in drifted else view for view in views]
    before, after = _record(preview.before), _record(preview.after)
    record_patch = difference(before, after)
    converged = plan.converged and not record_patch
    return PlanView(
        cluster_name=preview.after.cluster_name,
        generation=preview.before.generation if preview.before else 0,
        back_to=preview.back_to,
        plan_hash=preview.hash,
        converged=converged,
        approvals=_approvals(preview),
        blocked=any(obstacle.terminal for obstacle in plan.obstacles),
        actions=tuple(actions),
        obstacles=plan.obstacles,
        warnings=preview.difference.warnings,
        waiting=tuple(sorted(plan.waiting)),
        kept_files=_kept_files(preview),
        placements=tuple(
            NodePlacement(node=node, host=of.host, reason=of.reason, kept=of.kept)
            for node, of in preview.elsewhere.placements.items()
        ),
        losses_elsewhere=dict(preview.elsewhere.losses),
        restarts_elsewhere=dict(preview.elsewhere.restarts),
        summary=_summary(actions, preview.elsewhere.losses, documents.desired),
        patch=() if converged else preview.patch,
        record_patch=record_patch,
        record_changes=change_in_words(before, after) if record_patch else (),
    )


def _approvals(preview: "Preview") -> tuple[str, ...]:
    costs = {of.disruption for of in preview.plan.actions}
    costs |= {Disruption.DATA_LOSS} if preview.elsewhere.losses else set()
    costs |= {Disruption.RESTART} if preview.elsewhere.restarts else set()
    return tuple(sorted({AGREED_TO_BY[cost] for cost in costs if cost in AGREED_TO_BY}))


def _kept_files(preview: "Preview") -> tuple[Path, ...]:
    """The files that this change leaves without a node."""
    known = preview.before.former_files if preview.before else ()
    there = preview.difference.observed.layers
    return tuple(path for path in preview.after.former_files if path not in known and str(path) in there)


def resource_address(action: Action, observed: ClusterDocument) -> str:
    """The address of the resource that an action changes."""
    match action:
        case SetLinks() | HealLinks():
            return "links"
        case CreateLayer():
            return f"layer/{action.layer.node}/{action.layer.disk}"
        case DeleteLayer() | GrowLayer() | FlattenLayer() | RestoreOwner():
            return f"layer/{action.node}/{_disk_of(action.path, observed)}"
        case _:
            return f"{_RESOURCES[action.kind]}/{action.subject}"


def _disk_of(path: Path, observed: ClusterDocument) -> str:
    layer, parsed = observed.layers.get(str(path)), names.parse_layer_name(path.name)
    if isinstance(layer, Layer):
        return layer.disk
    return parsed[1] if parsed else path.name


def _action_views(action: Action, observed: ClusterDocument) -> Iterator[ActionView]:
    """One line per action; links are set together, and are shown per receiving node."""
    if isinstance(action, SetLinks | HealLinks):
        for node, of in action.changes.items():
            yield ActionView(
                address=f"links/{node.strip('<>')}",
                action=action_name(action),
                change=_CHANGE_NAMES[of.change],
                node=None if node.startswith("<") else node,
                reason=of.reason,
                disruption=action.disruption,
            )
        return
    yield ActionView(
        address=resource_address(action, observed),
        action=action_name(action),
        change=_CHANGE_NAMES[action.change],
        node=action.node,
        reason=action.reason,
        disruption=action.disruption,
    )


def _with_memory(views: list[ActionView]) -> list[ActionView]:
    """A node's memory is lost with its power; a paused node that is not rebooted keeps it."""
    booted = {view.node for view in views if view.action in _BRINGS_UP}

    def fate(view: ActionView) -> MemoryFate | None:
        if view.action in _BRINGS_DOWN and view.disruption is not Disruption.NONE:
            return "lost"
        return "kept" if view.action == Resume.__name__ and view.node not in booted else None

    return [view.model_copy(update={"memory": fate(view)}) for view in views]


def _with_recreations(views: list[ActionView], causes: Mapping[str, str]) -> list[ActionView]:
    """Give the reason for recreating a machine: the documents only show that its disk differs."""
    return [_recreating(view, causes[view.node]) if view.node and view.node in causes else view for view in views]


def _recreating(view: ActionView, cause: str) -> ActionView:
    if view.action not in _BRINGS_DOWN and view.action != DefineDomain.__name__:
        return view
    reason = f"recreated for {cause}" + (f" ({view.reason})" if view.action == DefineDomain.__name__ else "")
    return view.model_copy(update={"reason": reason, "disruption": Disruption.RECREATE})


def _key(view: ActionView) -> tuple[str, str]:
    return view.address, view.action


def _summary(actions: Iterable[ActionView], elsewhere: Iterable[str], desired: ClusterDocument) -> PlanSummary:
    actions = list(actions)

    def count(change: ChangeName) -> int:
        return len({action.address for action in actions if action.change == change})

    def nodes(disruption: Disruption) -> tuple[str, ...]:
        found = (action.node or action.address for action in actions if action.disruption is disruption)
        return tuple(dict.fromkeys(found))

    lost = [action.address for action in actions if action.disruption is Disruption.DATA_LOSS]
    lost += [f"layer/{node}/*" for node in elsewhere]
    return PlanSummary(
        create=count("create"),
        update=count("update"),
        delete=count("delete"),
        restarts=nodes(Disruption.RESTART),
        turns_off=tuple(node for node in nodes(Disruption.RESTART) if should_be_off(node, desired)),
        recreates=nodes(Disruption.RECREATE),
        removes=nodes(Disruption.REMOVE),
        data_loss=tuple(dict.fromkeys(lost)),
    )


def _record(record: ClusterRecord | None) -> dict[str, Any] | None:
    return None if record is None else record.model_dump(mode="json", exclude={"generation", "consent"})
