"""When the user's files go back to their owners. Pure."""

from collections.abc import Iterator
from pathlib import Path

from reconciler.model.document import ClusterDocument, Layer, Power, PowerState, Unknown
from reconciler.model.plan import RestoreOwner


def plan_owner_restoration(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[RestoreOwner]:
    """The files that machines used below their layers, once no machine uses them or will use them again."""
    given: set[Path] = set()
    for path, layer in observed.layers.items():
        if not isinstance(layer, Layer) or layer.reowned is None or layer.reowned.path in given:
            continue
        if _stays_down(layer.node, desired, observed):
            given.add(layer.reowned.path)
            reason = f"{layer.reowned.path} is no longer used"
            yield RestoreOwner(node=layer.node, path=Path(path), file=layer.reowned, reason=reason)


def _stays_down(node: str, desired: ClusterDocument, observed: ClusterDocument) -> bool:
    """Whether the node is off and stays off, or is to be removed, which happens first."""
    have, want = observed.power.get(node), desired.power.get(node)
    if isinstance(have, Unknown) or isinstance(want, Unknown):
        return False
    if want is None:
        return True
    return want.state is PowerState.OFF and (not isinstance(have, Power) or have.state is PowerState.OFF)
