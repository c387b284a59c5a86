"""What a change costs on other hosts than this one, which does not see their disks. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from reconciler.model.record import ClusterRecord, WantedPower
from reconciler.placement.place import Placement
from reconciler.records.record_changes import recreation_causes

_NONE: Mapping[str, str] = MappingProxyType({})
_MACHINE_FIELDS = ("vcpus", "memory_mb", "virt_type", "firmware", "video", "cpu", "boot")


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where the nodes of a changed record are, and why; and by node what its host, another than this, will lose.

    `restarts` are nodes there that take up their change at a restart only.
    """

    placements: Mapping[str, Placement] = field(default_factory=dict)
    losses: Mapping[str, str] = field(default_factory=dict)
    restarts: Mapping[str, str] = field(default_factory=dict)

    @property
    def consent(self) -> frozenset[str]:
        """The addresses that agreeing to all of these losses agrees to."""
        return frozenset(address for node in self.losses for address in (f"domain/{node}", f"layer/{node}/*"))


def elsewhere(
    before: ClusterRecord | None,
    after: ClusterRecord,
    placements: Mapping[str, Placement],
    here: str,
    home: str,
    unapproved: Mapping[str, str] = _NONE,
) -> Elsewhere:
    """The losses of a change on hosts other than `here`, for nodes that are recreated, removed or placed again.

    `unapproved` has the nodes whose loss another host, which it names, waits to have approved already.
    """
    if before is None:
        return Elsewhere(placements)
    causes = recreation_causes(before, after)
    away = {name: host for name, node in before.spec.nodes.items() if (host := node.host or home) != here}
    losses = {name: f"what host {host} still has of it is removed" for name, host in unapproved.items()}
    restarts = {}
    for name, host in away.items():
        where = f"host {host}" if host else "a forgotten host"  # that of the nodes that name none
        if name not in after.nodes:
            losses[name] = f"its machine and disks on {where} are removed"
        elif name in causes:
            losses[name] = f"its disks on {where} are lost ({causes[name]})"
        elif changes := _changes_of_machine(before, after, name):
            restarts[name] = f"it restarts on {where} ({changes})"
    return Elsewhere(placements, losses, restarts)


def _changes_of_machine(before: ClusterRecord, after: ClusterRecord, node: str) -> str:
    """What changes of a machine that is on, and is only taken up at a restart; empty if nothing does."""
    if before.deletion is not None or before.nodes[node].power is WantedPower.OFF:
        return ""
    old, new = before.spec.nodes[node], after.spec.nodes[node]
    return ", ".join(field for field in _MACHINE_FIELDS if getattr(old, field) != getattr(new, field))
