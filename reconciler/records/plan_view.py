"""A preview as plain data: what `plan` prints and answers, the same for people, programs and agents. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from reconciler.model import names
from reconciler.model.action_names import action_name
from reconciler.model.base import Frozen
from reconciler.model.document import ClusterDocument, Layer
from reconciler.model.omission import Abridgeable
from reconciler.model.plan import (
    Action,
    ChangeKind,
    CreateLayer,
    CutPower,
    DefineDomain,
    DeleteLayer,
    Disruption,
    FlattenLayer,
    GiveBack,
    GrowLayer,
    HealLinks,
    Resume,
    ResumeMemory,
    SetLinks,
    ShutDown,
    Start,
)
from reconciler.model.prose import Prose
from reconciler.model.record import ClusterRecord
from reconciler.model.status import Obstacle
from reconciler.records.change_words import change_in_words
from reconciler.records.intent import recreation_causes
from reconciler.store.patch import difference

if TYPE_CHECKING:  # the models are read by front ends that must start before libvirt is imported
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
"""The argument by which a caller agrees to what a change costs."""

_BRINGS_DOWN = frozenset({ShutDown.__name__, CutPower.__name__})
_BRINGS_UP = frozenset({Start.__name__, ResumeMemory.__name__})


class ActionView(Frozen):
    """One action of a plan."""

    address: str = Field(description="The resource: `network/NAME`, `layer/NODE/DISK`, `snapshot/NAME`, `KIND/NODE`.")
    action: str = Field(description="What is done to it, such as `DefineDomain`.")
    change: ChangeName = Field(description="What becomes of the resource.")
    node: str | None = Field(description="The node that it concerns; null where it is no single one.")
    reason: Prose = Field(description="Why, with the old and the new value of changed fields.")
    disruption: Disruption = Field(description="What it costs: none, live, restart, recreate, remove or data-loss.")
    memory: MemoryFate | None = Field(
        default=None, description="What becomes of what is in the node's memory; null where nothing does."
    )
    drift: bool = Field(default=False, description="Needed because somebody changed the host, not what is wanted.")


class PlanSummary(Abridgeable):
    """A plan in figures (resources, not actions), and the nodes that pay for it."""

    create: int = Field(description="How many resources come to be.")
    update: int = Field(description="How many are changed.")
    delete: int = Field(description="How many go.")
    restarts: tuple[str, ...] = Field(description="Nodes that are powered off or cycled.")
    recreates: tuple[str, ...] = Field(description="Nodes that are made anew, with a fresh root disk.")
    removes: tuple[str, ...] = Field(default=(), description="Nodes that are taken away.")
    data_loss: tuple[str, ...] = Field(description="Addresses of disks whose content is lost.")


class PlanView(Abridgeable):
    """What applying a topology would do. `generation` is that of the record it starts from, 0 where there is none."""

    cluster_name: str = Field(description="Name of the cluster.")
    generation: int = Field(description="Of the record that it starts from; 0 where there is none.")
    plan_hash: str = Field(description="Names this plan: an apply with it does exactly this, or is a CONFLICT.")
    converged: bool = Field(
        description="Nothing is to be done: host and record are as the topology says, and both patches are empty."
    )
    approvals: tuple[str, ...] = Field(
        default=(), description="The arguments of `cluster_apply` without which it is refused for what it costs."
    )
    blocked: bool = Field(description="An obstacle has to be removed first: applying the topology is refused.")
    actions: tuple[ActionView, ...] = Field(description="In the order in which they would be carried out.")
    obstacles: tuple[Obstacle, ...] = Field(description="What keeps it from being done, with the remedy.")
    warnings: tuple[Prose, ...] = Field(default=(), description="What works, but worse than expected, with the remedy.")
    waiting: tuple[str, ...] = Field(description="Nodes on their way down, which is waited for.")
    kept_files: tuple[Path, ...] = Field(
        default=(), description="Files of extra disks that no node has any more: they stay."
    )
    summary: PlanSummary = Field(description="The plan in figures.")
    patch: tuple[dict[str, Any], ...] = Field(
        description="RFC 6902, from the observed document to the desired one; empty where nothing is done about it."
    )
    record_patch: tuple[dict[str, Any], ...] = Field(description="RFC 6902, from the present record to the new one.")
    record_changes: tuple[str, ...] = Field(default=(), description="The same in words, as `history` tells it.")


def plan_view(preview: "Preview") -> PlanView:
    """The plan of a preview, in the order in which it would be carried out."""
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
        plan_hash=preview.hash,
        converged=converged,
        approvals=tuple(sorted({AGREED_TO_BY[of.disruption] for of in plan.actions if of.disruption in AGREED_TO_BY})),
        blocked=any(obstacle.terminal for obstacle in plan.obstacles),
        actions=tuple(actions),
        obstacles=plan.obstacles,
        warnings=preview.difference.warnings,
        waiting=tuple(sorted(plan.waiting)),
        kept_files=_kept_files(preview),
        summary=_summary(actions),
        patch=() if converged else preview.patch,
        record_patch=record_patch,
        record_changes=change_in_words(before, after) if record_patch else (),
    )


def _kept_files(preview: "Preview") -> tuple[Path, ...]:
    """Those that this very change leaves without a node."""
    known = preview.before.former_files if preview.before else ()
    there = preview.difference.observed.layers
    return tuple(path for path in preview.after.former_files if path not in known and str(path) in there)


def resource_address(action: Action, observed: ClusterDocument) -> str:
    """The name by which people know the resource that an action is for."""
    match action:
        case SetLinks() | HealLinks():
            return "links"
        case CreateLayer():
            return f"layer/{action.layer.node}/{action.layer.disk}"
        case DeleteLayer() | GrowLayer() | FlattenLayer() | GiveBack():
            return f"layer/{action.node}/{_disk_of(action.path, observed)}"
        case _:
            return f"{_RESOURCES[action.kind]}/{action.subject}"


def _disk_of(path: Path, observed: ClusterDocument) -> str:
    layer, parsed = observed.layers.get(str(path)), names.parse_layer_name(path.name)
    if isinstance(layer, Layer):
        return layer.disk
    return parsed[1] if parsed else path.name


def _action_views(action: Action, observed: ClusterDocument) -> Iterator[ActionView]:
    """One line per action; links are set all at once, and are shown by the node that receives."""
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
    """What is in a node's memory is lost with its power; a node that stands still and is not booted keeps it."""
    booted = {view.node for view in views if view.action in _BRINGS_UP}

    def fate(view: ActionView) -> MemoryFate | None:
        if view.action in _BRINGS_DOWN and view.disruption is not Disruption.NONE:
            return "lost"
        return "kept" if view.action == Resume.__name__ and view.node not in booted else None

    return [view.model_copy(update={"memory": fate(view)}) for view in views]


def _with_recreations(views: list[ActionView], causes: Mapping[str, str]) -> list[ActionView]:
    """What is done to a machine that is made anew says so, and why: the documents only tell that its disk differs."""
    return [_recreating(view, causes[view.node]) if view.node and view.node in causes else view for view in views]


def _recreating(view: ActionView, cause: str) -> ActionView:
    if view.action not in _BRINGS_DOWN and view.action != DefineDomain.__name__:
        return view
    reason = f"recreated for {cause}" + (f" ({view.reason})" if view.action == DefineDomain.__name__ else "")
    return view.model_copy(update={"reason": reason, "disruption": Disruption.RECREATE})


def _key(view: ActionView) -> tuple[str, str]:
    return view.address, view.action


def _summary(actions: Iterable[ActionView]) -> PlanSummary:
    actions = list(actions)

    def count(change: ChangeName) -> int:
        return len({action.address for action in actions if action.change == change})

    def nodes(disruption: Disruption) -> tuple[str, ...]:
        found = (action.node or action.address for action in actions if action.disruption is disruption)
        return tuple(dict.fromkeys(found))

    lost = (action.address for action in actions if action.disruption is Disruption.DATA_LOSS)
    return PlanSummary(
        create=count("create"),
        update=count("update"),
        delete=count("delete"),
        restarts=nodes(Disruption.RESTART),
        recreates=nodes(Disruption.RECREATE),
        removes=nodes(Disruption.REMOVE),
        data_loss=tuple(dict.fromkeys(lost)),
    )


def _record(record: ClusterRecord | None) -> dict[str, Any] | None:
    return None if record is None else record.model_dump(mode="json", exclude={"generation", "consent"})
