"""The planner: combines every kind's actions into one plan and withholds those that are unsafe."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Set

from reconciler.error_codes import ErrorCode
from reconciler.model.document import ClusterDocument, Layer, PowerState, Unknown
from reconciler.model.links import touched_nodes
from reconciler.model.plan import (
    Action,
    AttachDisk,
    ChangeKind,
    CreateLayer,
    CutPower,
    DefineDomain,
    DeleteLayer,
    FlattenLayer,
    GrowLayer,
    Plan,
    PlugTap,
    RestoreOwner,
    Resume,
    ResumeMemory,
    ShutDown,
    Start,
    Suspend,
    SweepSnapshot,
    UndefineDomain,
    WriteSeed,
)
from reconciler.model.record import EVERYTHING
from reconciler.model.status import Obstacle
from reconciler.plan import kind_planners
from reconciler.plan.consent import agreed_part, losses
from reconciler.plan.document_queries import (
    Step,
    actions_in_order,
    begins_anew,
    in_name_order,
    is_named,
    known,
    known_extra,
    may_be_open,
    with_layers_in_order,
)
from reconciler.plan.flattening import in_its_turn, upkeep_last
from reconciler.plan.link_planner import known_links, plan_links
from reconciler.plan.power import plan_power
from reconciler.plan.snapshot_planner import plan_forks, plan_snapshots

PLANNERS: dict[str, Callable[[ClusterDocument, ClusterDocument], Iterator[Step]]] = {
    "networks": kind_planners.plan_networks,
    "layers": kind_planners.plan_layers,
    "seeds": kind_planners.plan_seeds,
    "domains": kind_planners.plan_domains,
    "power": plan_power,
    "taps": kind_planners.plan_taps,
    "snapshots": plan_snapshots,
    "forks": plan_forks,
    "marks": kind_planners.plan_marks,
    "links": plan_links,
}
"""The function that owns each field of the document. Links come last: they depend on which nodes are powered on."""

_BEFORE_LINKS = [planner for kind, planner in PLANNERS.items() if kind != "links"]

_BUILDS_ON_FILES = (WriteSeed, DefineDomain, AttachDisk, Start, Resume, ResumeMemory)
_CHANGES_A_MACHINE = (
    DefineDomain,
    AttachDisk,
    GrowLayer,
    FlattenLayer,
    RestoreOwner,
    UndefineDomain,
    ShutDown,
    CutPower,
    Start,
    Resume,
    ResumeMemory,
    Suspend,
    PlugTap,
)


def plan(
    desired: ClusterDocument,
    observed: ClusterDocument,
    put_off: Set[str] = frozenset(),
    consent: Set[str] = frozenset({EVERYTHING}),
) -> Plan:
    """The ordered actions from `observed` to `desired`, and the obstacles that hold others back.

    Nodes keep the order of `desired`. Upkeep of the nodes in `put_off` is left for later. A node that would lose
    something without `consent` (by default nothing may be lost) is left alone.
    """
    desired, observed = with_layers_in_order(desired), in_name_order(observed)
    if foreign := tuple(of for of in kind_planners.plan_marks(desired, observed) if isinstance(of, Obstacle)):
        return Plan(obstacles=foreign, foreign=True)
    if half_made := _sweep(observed):
        return Plan(actions=half_made)
    steps = [step for planner in _BEFORE_LINKS for step in planner(desired, observed)]
    obstacles = [*unknown_resources(desired, observed), *(step for step in steps if isinstance(step, Obstacle))]
    steps = [step for step in steps if not _is_elsewhere(step, observed)]
    actions = in_its_turn([step for step in steps if not isinstance(step, Obstacle)], observed, put_off)
    waiting = _on_their_way_down(desired, observed)
    together = frozenset(node for node in desired.domains if _is_put_back(desired, observed, node))
    safe = _safe_actions(actions, observed, _blocked_nodes(desired, observed, obstacles), together)
    lost = losses(desired, observed)
    safe, refused = agreed_part(safe, lost, consent, all_or_nothing=bool(together))
    obstacles += refused
    safe += plan_links(desired, observed, safe)  # a machine that is held back keeps the tap that it has
    safe = upkeep_last(safe, settled=not (obstacles or waiting))
    safe = actions_in_order(safe, desired)
    return Plan(actions=tuple(safe), obstacles=tuple(obstacles), waiting=waiting, all_or_nothing=bool(together))


def _is_elsewhere(step: Step, observed: ClusterDocument) -> bool:
    """Whether a layer to be created has only been moved by somebody: a node must not start on an empty disk."""
    return isinstance(step, CreateLayer) and any(
        of.misplaced and (of.node, of.disk) == (step.layer.node, step.layer.disk) for _, of in known(observed.layers)
    )


def _sweep(observed: ClusterDocument) -> tuple[Action, ...]:
    """Clear away an interrupted snapshot before anything else: it has paused nodes."""
    return tuple(
        SweepSnapshot(name=name, reason="taking it was interrupted", change=ChangeKind.DELETE)
        for name, snapshot in known(observed.snapshots)
        if snapshot.half_made
    )


def unknown_resources(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Obstacle]:
    """One obstacle per resource that matters and could not be observed, is not ours, or cannot be had as desired."""
    for node, domain in desired.domains.items():
        if isinstance(domain, Unknown) and observed.domains.get(node) != domain:
            yield Obstacle(code=domain.code, message=domain.unknown, node=node, terminal=domain.terminal)
    yield from _unknown_below(desired, observed)
    for kind in PLANNERS:
        wanted = getattr(desired, kind)
        for name, value in getattr(observed, kind).items():
            if isinstance(value, Unknown) and _matters(kind, name, value, desired, observed):
                yield Obstacle(
                    code=value.code,
                    message=value.unknown,
                    node=_node_of(kind, name, wanted.get(name)),
                    terminal=value.terminal,
                )


def _unknown_below(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Obstacle]:
    """Unknown files below the desired disks; only the observed layers name them."""
    for node, domain in known(desired.domains):
        for path in dict.fromkeys(str(below.path) for disk in domain.disks.values() for below in disk.backing):
            value = observed.layers.get(path)
            if isinstance(value, Unknown) and path not in desired.layers:
                yield Obstacle(code=value.code, message=value.unknown, node=node, terminal=value.terminal)


def _matters(kind: str, name: str, value: Unknown, desired: ClusterDocument, observed: ClusterDocument) -> bool:
    """Whether it blocks the plan. A resource made by others does not, unless we want one there or have to remove it."""
    wanted = getattr(desired, kind)
    if kind == "links":  # without the right to look at links, none can have been set
        return bool(wanted) or not value.unprivileged
    if name in wanted:
        return bool(wanted[name] != value)  # a desired value that equals it keeps it, whatever it is
    if value.code is not ErrorCode.CONFLICT:
        return True
    leftovers = (observed.layers[path] for path in known_extra(desired.layers, observed.layers))
    return kind == "domains" and any(isinstance(layer, Layer) and layer.node == name for layer in leftovers)


def nodes_to_restart(plan: Plan) -> frozenset[str]:
    """The running nodes whose new definition takes effect only at their next boot."""
    return frozenset(
        action.node for action in plan.actions if isinstance(action, DefineDomain) and action.needs_restart
    )


def _node_of(kind: str, name: str, wanted: object) -> str | None:
    if kind in {"seeds", "domains", "power", "taps"}:
        return name
    return wanted.node if isinstance(wanted, Layer) else None


def _blocked_nodes(desired: ClusterDocument, observed: ClusterDocument, obstacles: list[Obstacle]) -> frozenset[str]:
    """Nodes that nothing may be created for: part of them is unknown, not ours, or differs and holds data."""
    if any(isinstance(observed.networks.get(name), Unknown) for name in desired.networks):
        return frozenset(desired.domains)
    blocked = frozenset(obstacle.node for obstacle in obstacles if obstacle.node is not None)
    links_unknown = any(isinstance(of, Unknown) for of in observed.links.values())
    return blocked | touched_nodes(known_links(desired)) if links_unknown else blocked


def _is_put_back(desired: ClusterDocument, observed: ClusterDocument, node: str) -> bool:
    """Whether the node is to change to other disks; either all such nodes do so, or none."""
    return isinstance(desired.domains[node], Unknown) or begins_anew(desired, observed, node)


def _safe_actions(
    actions: list[Action], observed: ClusterDocument, blocked: frozenset[str], together: frozenset[str]
) -> list[Action]:
    """The actions that are safe: nothing unclear is touched, and no node is stopped that could not boot again."""
    held = together if blocked & together else frozenset()
    come_up = {action.node for action in actions if isinstance(action, Start | ResumeMemory)}
    stay_up = held | frozenset(node for node in blocked if node in come_up)
    safe = [action for action in actions if not _withheld(action, observed, blocked | held, stay_up)]
    done_to: defaultdict[str | None, set[type[Action]]] = defaultdict(set)
    for action in safe:
        done_to[action.node].add(type(action))
    return [
        action for action in safe if not (isinstance(action, DeleteLayer) and _is_in_use(action, observed, done_to))
    ]


def _withheld(action: Action, observed: ClusterDocument, blocked: frozenset[str], stay_up: frozenset[str]) -> bool:
    if isinstance(action, _CHANGES_A_MACHINE) and _is_unclear(observed, action.node):
        return True
    if isinstance(action, CutPower):
        return action.node in stay_up
    return isinstance(action, _BUILDS_ON_FILES) and action.node in blocked


def _is_in_use(action: DeleteLayer, observed: ClusterDocument, done_to: Mapping[str | None, Set[type[Action]]]) -> bool:
    """Whether a machine that keeps running may have the layer's file open, or a definition that stays names it."""
    assert action.node is not None
    layer = observed.layers[str(action.path)]
    is_shared = isinstance(layer, Layer) and layer.format == "raw"
    nodes = {action.node, *observed.domains} if is_shared else {action.node}
    return any(_is_used_by(node, str(action.path), observed, done_to.get(node, frozenset())) for node in nodes)


def _is_used_by(node: str, path: str, observed: ClusterDocument, done_to_node: Set[type[Action]]) -> bool:
    if _is_unclear(observed, node):
        return True
    if CutPower not in done_to_node and may_be_open(observed, node, path):
        return True
    return is_named(observed, node, path) and not done_to_node & {DefineDomain, UndefineDomain}


def _is_unclear(observed: ClusterDocument, node: str) -> bool:
    """Whether the node's machine may be somebody else's, or its state could not be observed."""
    return isinstance(observed.domains.get(node), Unknown) or isinstance(observed.power.get(node), Unknown)


def _on_their_way_down(desired: ClusterDocument, observed: ClusterDocument) -> frozenset[str]:
    return frozenset(
        node for node, power in known(observed.power) if power.state is PowerState.STOPPING and node in desired.power
    )
