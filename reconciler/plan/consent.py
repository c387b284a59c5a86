"""What a plan would lose for good, and how much of that the caller approved. Pure.

A loss goes by the address of its resource, as a plan prints it. Losses are read off the documents, not off the
actions: an action that detaches a disk today leaves a file that a later round deletes because no node needs it.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase

from reconciler.error_codes import ErrorCode
from reconciler.model.document import ClusterDocument, Layer, Snapshot, files_below
from reconciler.model.names import parse_layer_name
from reconciler.model.plan import Action, CutPower, DeleteNetwork, DeleteSnapshot, ShutDown
from reconciler.model.record import EVERYTHING
from reconciler.model.status import Obstacle
from reconciler.plan.document_queries import holds_what_a_node_has_now, known, known_extra, should_be_off


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that exists and is not desired: the disk a node has now, a machine, or a snapshot."""

    address: str
    node: str | None
    told: str
    may_go_down: bool = False
    """Whether the node may be brought down all the same: it is to be off, and loses nothing by that."""


def losses(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Loss]:
    """Everything that applying `desired` would lose. A layer that only stood below others holds nothing of its own."""
    taken_up = frozenset(_taken_up(desired, observed))
    for path in known_extra(desired.layers, observed.layers):
        layer = observed.layers[path]
        if isinstance(layer, Layer) and path not in taken_up and holds_what_a_node_has_now(path, layer, observed):
            told = f"the contents of its disk {layer.disk} in {path}"
            yield Loss(f"layer/{layer.node}/{layer.disk}", layer.node, told)
    yield from _gone(desired, observed)
    defined, running = (known_extra(getattr(desired, of), getattr(observed, of)) for of in ("domains", "power"))
    for node in dict.fromkeys((*defined, *running)):  # a node may run without a definition
        yield Loss(f"domain/{node}", node, "the machine itself")
    for name, found in observed.snapshots.items():
        if name not in desired.snapshots and not (isinstance(found, Snapshot) and _holds_nothing(found)):
            yield Loss(f"snapshot/{name}", None, f"snapshot {name}")


def _holds_nothing(found: Snapshot) -> bool:
    """Whether nothing is lost with a snapshot here: it was not finished, or belongs to another cluster."""
    return found.half_made or found.held is not None


def _gone(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[Loss]:
    """Disks of machines that are not where they were made: an empty one would take their place.

    Their file system may not be mounted, or somebody is moving them.
    """
    to_make = {_disk_of(path): layer for path, layer in known(desired.layers) if path not in observed.layers}
    for node, domain in known(observed.domains):
        for path in (str(disk.path) for disk in domain.disks.values() if str(disk.path) not in observed.layers):
            if (layer := to_make.get(_disk_of(path))) is not None:
                told = f"the contents of its disk {layer.disk}, as {path} is no longer there (mount it, or put it back)"
                yield Loss(f"layer/{layer.node}/{layer.disk}", node, told, may_go_down=should_be_off(node, desired))


def _disk_of(path: str) -> object:
    """What is one disk of a node since it was last reverted or made again, however many layers that has."""
    directory, _, name = path.rpartition("/")
    layer = parse_layer_name(name)
    return path if layer is None else (directory, *layer[:3])


def _taken_up(desired: ClusterDocument, observed: ClusterDocument) -> Iterator[str]:
    """The layers below one that stays: flattening copies them into it before they are deleted."""
    for path, layer in known(observed.layers):
        if path in desired.layers:
            yield from (str(file.path) for file in files_below(layer, observed.layers))


def addresses_lost(desired: ClusterDocument, observed: ClusterDocument) -> frozenset[str]:
    """The addresses that agreeing to every loss agrees to."""
    return frozenset(loss.address for loss in losses(desired, observed))


def agreed_part(
    actions: list[Action], lost: Iterator[Loss], consent: Set[str], *, all_or_nothing: bool
) -> tuple[list[Action], list[Obstacle]]:
    """The actions that lose only what was approved, and one obstacle for each loss that held some back.

    A node that would lose something else is left alone, and so are the nodes that are reverted together with it.
    """
    refused = [loss for loss in lost if not is_agreed(loss.address, consent)]
    obstacles = [_not_agreed(loss) for loss in refused if any(_concerns(action, loss) for action in actions)]
    nodes = {loss.node for loss in refused if loss.node is not None}

    def is_held(action: Action) -> bool:
        alone = any(_concerns(action, loss) for loss in refused)
        return alone or (bool(nodes) and (all_or_nothing or isinstance(action, DeleteNetwork)))

    return [action for action in actions if not obstacles or not is_held(action)], obstacles


def is_agreed(address: str, consent: Set[str]) -> bool:
    """Whether a loss was approved; a consent can name many with a pattern such as `domain/*`."""
    return EVERYTHING in consent or any(fnmatchcase(address, of) for of in consent)


def _concerns(action: Action, loss: Loss) -> bool:
    if loss.node is None:
        return isinstance(action, DeleteSnapshot) and loss.address == f"snapshot/{action.name}"
    goes_down = isinstance(action, CutPower | ShutDown)
    return action.node == loss.node and not (goes_down and loss.may_go_down)


def _not_agreed(loss: Loss) -> Obstacle:
    agrees = "`cluster_apply(allow_data_loss=true)` approves it"
    if loss.node is None:
        agrees = f'`snapshot_delete(snapshot_name="{loss.address.partition("/")[2]}")` approves it'
    return Obstacle(
        code=ErrorCode.APPROVAL_REQUIRED,
        node=loss.node,
        terminal=True,
        message=f"the desired state would lose {loss.told}, and nobody has approved that since it last changed; "
        f"nothing was touched: `cluster_plan` shows everything that would be done, {agrees}",
    )
