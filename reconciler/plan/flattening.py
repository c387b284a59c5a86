"""When a disk's layer absorbs those below it, and what waits meanwhile. Pure.

Flattening is upkeep: it runs on a settled cluster only, never on a halted machine, and before a snapshot freezes the
layer. The layers that it makes superfluous are deleted in a later round, once it is observed to be finished.
If it fails before it changed anything it may be put off, and blocks nothing: a longer chain does no harm.
"""

from collections.abc import Set
from pathlib import Path

from reconciler.model.document import ClusterDocument, Layer, Power, PowerState, files_below
from reconciler.model.plan import Action, DeleteLayer, FlattenLayer, TakeSnapshot

_CAN_BE_FLATTENED = frozenset({PowerState.RUNNING, PowerState.OFF})


def flattening(path: str, have: Layer, want: Layer, observed: ClusterDocument) -> FlattenLayer | None:
    """The action that shortens the chain below the layer or finishes an interrupted flattening; None for neither."""
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
        reason=f"no snapshot needs {above} layers below it" if above else "flattening was interrupted",
    )


def in_its_turn(actions: list[Action], observed: ClusterDocument, put_off: Set[str]) -> list[Action]:
    """The actions without the upkeep that has to wait, including that of the nodes in `put_off`, or could do harm."""
    unfinished = [action for action in actions if isinstance(action, FlattenLayer)]
    kept = [
        action for action in actions if not (isinstance(action, DeleteLayer) and _is_read(action, unfinished, observed))
    ]
    return [action for action in kept if not isinstance(action, FlattenLayer) or _is_due(action, observed, put_off)]


def upkeep_last(actions: list[Action], *, settled: bool) -> list[Action]:
    """Leaves upkeep for a plan with nothing else to do, and puts flattening before a snapshot."""
    rest: list[Action] = [action for action in actions if not isinstance(action, FlattenLayer | TakeSnapshot)]
    if rest or not settled:
        return rest
    flattened: list[Action] = [action for action in actions if isinstance(action, FlattenLayer)]
    return flattened or actions


def _is_read(deletion: DeleteLayer, unfinished: list[FlattenLayer], observed: ClusterDocument) -> bool:
    """Whether flattening reads that file; once it has begun, the layer itself no longer says what it reads."""
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
    """The layer's fields that depend on what is below it, or that are only ever observed."""
    fields = ("backing", "backing_format", "base_changed", "written", "resumed", "flattening", "reowned")
    return {field: getattr(layer, field) for field in fields}
