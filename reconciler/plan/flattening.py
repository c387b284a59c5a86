"""When a disk's layer takes up those below it, and what waits meanwhile. Pure.

Flattening is upkeep: it is done to a settled cluster only, never to a machine that stands still, and before a
snapshot freezes the layer. What it makes superfluous is deleted in a later round, once it is seen to be finished.
Where it has failed before it changed anything it may be put off, and holds nothing up: a longer chain is no harm.
"""

from collections.abc import Set
from pathlib import Path

from reconciler.model.document import ClusterDocument, Layer, Power, PowerState, files_below
from reconciler.model.plan import Action, DeleteLayer, FlattenLayer, TakeSnapshot

_CAN_BE_FLATTENED = frozenset({PowerState.RUNNING, PowerState.OFF})


def flattening(path: str, have: Layer, want: Layer, observed: ClusterDocument) -> FlattenLayer | None:
    """The action that makes the layer stand on less, or that finishes one which was interrupted; None for neither."""
    if want.backing is None or not (want.backing != have.backing or have.flattening):
        return None
    below = [file.path for file in files_below(have, observed.layers)]
    if want.backing not in below or want.model_copy(update=_of_the_chain(have)) != have:
        return None
    above = below.index(want.backing)
    return FlattenLayer(
        node=have.node,
        target=have.disk,
        path=Path(path),
        base=want.backing,
        lowest=below[above - 1] if above else None,
        reason=f"no snapshot needs {above} layers below it" if above else "was interrupted while it was flattened",
    )


def in_its_turn(actions: list[Action], observed: ClusterDocument, put_off: Set[str]) -> list[Action]:
    """The actions without the upkeep that has to wait, as that of the nodes in `put_off`, or that would harm it."""
    unfinished = [action for action in actions if isinstance(action, FlattenLayer)]
    kept = [
        action for action in actions if not (isinstance(action, DeleteLayer) and _is_read(action, unfinished, observed))
    ]
    return [action for action in kept if not isinstance(action, FlattenLayer) or _is_due(action, observed, put_off)]


def upkeep_last(actions: list[Action], *, settled: bool) -> list[Action]:
    """Upkeep comes when nothing else is to be done, and flattening before a snapshot."""
    rest: list[Action] = [action for action in actions if not isinstance(action, FlattenLayer | TakeSnapshot)]
    if rest or not settled:
        return rest
    flattened: list[Action] = [action for action in actions if isinstance(action, FlattenLayer)]
    return flattened or actions


def _is_read(deletion: DeleteLayer, unfinished: list[FlattenLayer], observed: ClusterDocument) -> bool:
    """Whether flattening reads that file; once it is begun, the layer itself does not say any more what it reads."""
    layers = (observed.layers[str(action.path)] for action in unfinished if action.node == deletion.node)
    return any(
        of.flattening or deletion.path in {file.path for file in files_below(of, observed.layers)}
        for of in layers
        if isinstance(of, Layer)
    )


def _is_due(action: FlattenLayer, observed: ClusterDocument, put_off: Set[str]) -> bool:
    power, layer = observed.power.get(action.node), observed.layers.get(str(action.path))
    is_possible = isinstance(power, Power) and power.state in _CAN_BE_FLATTENED
    was_begun = isinstance(layer, Layer) and layer.flattening
    return is_possible and (was_begun or action.node not in put_off)


def _of_the_chain(layer: Layer) -> dict[str, object]:
    """Everything of a layer that has to do with what is below it, or that is never wanted."""
    fields = ("backing", "backing_format", "base_changed", "resumed", "flattening", "lent")
    return {field: getattr(layer, field) for field in fields}
