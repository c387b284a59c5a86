"""What a plan would lose for good, and which part of it was agreed to. Pure.

What is lost goes by the address of its resource, as people see it in a plan. Losses are read off the documents, not
off the actions: what takes a disk from its machine today makes a file that nobody needs of it tomorrow.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase

from reconciler.errors import ErrorCode
from reconciler.model.document import ClusterDocument, Layer, Snapshot, files_below
from reconciler.model.plan import Action, DeleteNetwork, DeleteSnapshot, HealLinks, SetLinks
from reconciler.model.record import EVERYTHING
from reconciler.model.status import Obstacle
from reconciler.plan.documents import holds_what_a_node_has_now, known, known_extra


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that is there and not wanted: a disk as a node has it now, a machine, or a snapshot."""

    address: str
    node: str | None
    told: str


def losses(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Loss]:
    """All that bringing about `desired` would cost. Layers that only stood below others hold nothing that is missed."""
    taken_up = frozenset(_taken_up(desired, observed))
    for path in known_extra(desired.layers, observed.layers):
        layer = observed.layers[path]
        if isinstance(layer, Layer) and path not in taken_up and holds_what_a_node_has_now(path, layer, observed):
            told = f"what is on its disk {layer.disk} now, in {path}"
            yield Loss(f"layer/{layer.node}/{layer.disk}", layer.node, told)
    defined, running = (known_extra(getattr(desired, of), getattr(observed, of)) for of in ("domains", "power"))
    for node in dict.fromkeys((*defined, *running)):  # one may run without a definition
        yield Loss(f"domain/{node}", node, "the machine itself")
    for name, found in observed.snapshots.items():
        if name not in desired.snapshots and not (isinstance(found, Snapshot) and found.half_made):
            yield Loss(f"snapshot/{name}", None, f"snapshot {name}")


def _taken_up(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[str]:
    """What stands below a layer that stays: flattening takes it up before it goes."""
    for path, layer in known(observed.layers):
        if path in desired.layers:
            yield from (str(file.path) for file in files_below(layer, observed.layers))


def addresses_lost(desired: ClusterDocument, observed: ClusterDocument) -> frozenset[str]:
    """What a caller agrees to who agrees to all that is lost."""
    return frozenset(loss.address for loss in losses(desired, observed))


def agreed_part(
    actions: list[Action], lost: Iterator[Loss], consent: Set[str], *, all_or_nothing: bool
) -> tuple[list[Action], list[Obstacle]]:
    """The actions that lose nothing but what was agreed to, and an obstacle for each loss that held some back.

    Nothing is done to a node that would lose something, nor to others that are put back together with it. Links are
    set all the same.
    """
    refused = [loss for loss in lost if not is_agreed(loss.address, consent)]
    obstacles = [_not_agreed(loss) for loss in refused if any(_concerns(action, loss) for action in actions)]
    nodes = {loss.node for loss in refused if loss.node is not None}

    def is_held(action: Action) -> bool:
        if isinstance(action, SetLinks | HealLinks):
            return False
        alone = any(_concerns(action, loss) for loss in refused)
        return alone or (bool(nodes) and (all_or_nothing or isinstance(action, DeleteNetwork)))

    return [action for action in actions if not obstacles or not is_held(action)], obstacles


def is_agreed(address: str, consent: Set[str]) -> bool:
    """Whether a loss was agreed to; a consent may name many, as `domain/*` does."""
    return EVERYTHING in consent or any(fnmatchcase(address, of) for of in consent)


def _concerns(action: Action, loss: Loss) -> bool:
    if loss.node is None:
        return isinstance(action, DeleteSnapshot) and loss.address == f"snapshot/{action.name}"
    return action.node == loss.node


def _not_agreed(loss: Loss) -> Obstacle:
    agrees = "`cluster_apply(allow_data_loss=true)` agrees to it"
    if loss.node is None:
        agrees = f'`snapshot_delete(snapshot_name="{loss.address.partition("/")[2]}")` agrees to it'
    return Obstacle(
        code=ErrorCode.APPROVAL_REQUIRED,
        node=loss.node,
        terminal=True,
        message=f"what is wanted now would cost {loss.told}, and nobody has agreed to that since it was changed last; "
        f"it is left as it is: `cluster_plan` shows all that would be done, {agrees}",
    )
