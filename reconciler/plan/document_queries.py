"""Questions that the planners ask of the desired and the observed document."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from reconciler.model.base import Frozen
from reconciler.model.document import ClusterDocument, Domain, Layer, Power, PowerState, Unknown
from reconciler.model.plan import Action
from reconciler.model.status import Obstacle

R = TypeVar("R", bound=Frozen)
Step = Action | Obstacle

LIVE_DOMAIN_FIELDS = frozenset({"role", "template"})
"""Fields that a running machine does not notice."""

_WORDS = {
    "boot_files": "the kernel or initrd file of that name was replaced",
    "nvram": "the UEFI variables are in another file",
}


def known(resources: Mapping[str, R | Unknown]) -> Iterator[tuple[str, R]]:
    """The entries that could be observed."""
    for name, value in resources.items():
        if not isinstance(value, Unknown):
            yield name, value


def should_be_off(node: str | None, desired: ClusterDocument) -> bool:
    """Whether a node is to be turned off, not only on the way to something else."""
    power = desired.power.get(node) if node else None
    return isinstance(power, Power) and power.state is PowerState.OFF


def known_extra(desired: Mapping[str, R | Unknown], observed: Mapping[str, R | Unknown]) -> list[str]:
    """The names that were observed and are not desired."""
    return [name for name, value in observed.items() if name not in desired and not isinstance(value, Unknown)]


def changed_fields(have: Frozen, want: Frozen, ignoring: set[str] = frozenset()) -> dict[str, tuple[object, object]]:  # type: ignore[assignment]
    """The fields that differ, each with its old and its new value."""
    if have == want:
        return {}
    names = type(want).model_fields.keys() - ignoring
    pairs = {name: (getattr(have, name), getattr(want, name)) for name in sorted(names)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def live_fields(have: Domain) -> frozenset[str]:
    """The fields that can change under a running machine defined like this; boot files too, if it recorded none."""
    return LIVE_DOMAIN_FIELDS if have.boot_files else LIVE_DOMAIN_FIELDS | {"boot_files"}


def in_words(changes: Mapping[str, tuple[object, object]]) -> str:
    """A change of fields as a plan prints it."""
    return ", ".join(_change_in_words(name, old, new) for name, (old, new) in changes.items())


def restart_causes(desired: ClusterDocument, observed: ClusterDocument, node: str) -> str:
    """The changes to a node's definition that take effect only at its next boot, as a plan prints them."""
    want, have = desired.domains.get(node), observed.domains.get(node)
    if not isinstance(want, Domain) or not isinstance(have, Domain):
        return ""
    return in_words(changed_fields(have, want, ignoring={*live_fields(have)}))


def in_name_order(observed: ClusterDocument) -> ClusterDocument:
    """The same document with its maps sorted by name, so that the order of observation does not matter."""
    kinds = {kind: getattr(observed, kind) for kind in type(observed).model_fields}
    return observed.model_copy(update={kind: dict(sorted(found.items())) for kind, found in kinds.items()})


def with_layers_in_order(desired: ClusterDocument) -> ClusterDocument:
    """The same document, with its unchanged layers in the order in which they were observed."""
    return desired.model_copy(update={"layers": dict(sorted(desired.layers.items()))})


def actions_in_order(actions: Iterable[Action], desired: ClusterDocument) -> list[Action]:
    """Actions in the order they are carried out: by stage, then the cluster's own, then nodes as they are declared.

    Nodes that are no longer desired come last, by name.
    """
    rank = {node: number for number, node in enumerate(desired.domains)}

    def place(action: Action) -> tuple[int, int, str]:
        if action.node is None:
            return action.stage, -1, ""
        return action.stage, rank.get(action.node, len(rank)), action.node

    return sorted(actions, key=place)


def begins_anew(desired: ClusterDocument, observed: ClusterDocument, node: str) -> bool:
    """Whether one of the node's disks is replaced by a different one: reverted or recreated."""
    want, have = desired.domains.get(node), observed.domains.get(node)
    if not isinstance(want, Domain) or not isinstance(have, Domain):
        return False
    shared = (target for target in want.disks.keys() & have.disks.keys() if not want.disks[target].read_only)
    return any(want.disks[target].path != have.disks[target].path for target in shared)


def may_be_open(observed: ClusterDocument, node: str, path: str) -> bool:
    """Whether the node's machine is up and, as far as is known, has that file open."""
    power = observed.power.get(node)
    if not isinstance(power, Power) or power.state is PowerState.OFF:
        return False
    return power.open_files is None or path in power.open_files


def is_named(observed: ClusterDocument, node: str, path: str) -> bool:
    """Whether the node's definition names that file, as a disk or as its backing file."""
    domain = observed.domains.get(node)
    if not isinstance(domain, Domain):
        return False
    files = (file for disk in domain.disks.values() for file in (disk.path, *(below.path for below in disk.backing)))
    return any(str(file) == path for file in files)


def holds_what_a_node_has_now(path: str, layer: Layer, observed: ClusterDocument) -> bool:
    """Whether the layer holds a node's newest state; without a domain, any layer may."""
    return not isinstance(observed.domains.get(layer.node), Domain) or is_named(observed, layer.node, path)


def is_running(observed: ClusterDocument, node: str) -> bool:
    """Whether the node's CPUs run."""
    power = observed.power.get(node)
    return isinstance(power, Power) and power.state is PowerState.RUNNING


def stays_up(desired: ClusterDocument, observed: ClusterDocument, node: str) -> bool:
    """Whether the node's machine is up and nothing in the plan brings it down."""
    have, want = observed.power.get(node), desired.power.get(node)
    if not isinstance(have, Power) or have.state in {PowerState.OFF, PowerState.STOPPING}:
        return False
    return not isinstance(want, Power) or (have.boot_epoch >= want.boot_epoch and want.state is not PowerState.OFF)


def _change_in_words(name: str, old: object, new: object) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        gone, come = sorted(old.keys() - new.keys()), sorted(new.keys() - old.keys())
        edited = sorted(key for key in old.keys() & new.keys() if old[key] != new[key])
        parts = [f"{sign}{key}" for sign, keys in (("+", come), ("-", gone), ("~", edited)) for key in keys]
        return f"{name} {' '.join(parts)}"
    return _WORDS.get(name) or f"{name} {spelled_value(old)} -> {spelled_value(new)}"


def spelled_value(value: object) -> str:
    """A value as a topology spells it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case tuple():
            return f"[{', '.join(map(spelled_value, value))}]"
    return str(value)
