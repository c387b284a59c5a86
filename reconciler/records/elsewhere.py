"""What a change costs on other hosts than this one, which does not see their disks. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.model.record import ClusterRecord
from reconciler.placement.place import Placement
from reconciler.records.record_changes import recreation_causes


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where the nodes of a changed record are, and why; and by node what its host, another than this, will lose."""

    placements: Mapping[str, Placement] = field(default_factory=dict)
    losses: Mapping[str, str] = field(default_factory=dict)

    @property
    def consent(self) -> frozenset[str]:
        """The addresses that agreeing to all of these losses agrees to."""
        return frozenset(address for node in self.losses for address in (f"domain/{node}", f"layer/{node}/*"))


def elsewhere(
    before: ClusterRecord | None, after: ClusterRecord, placements: Mapping[str, Placement], here: str, home: str
) -> Elsewhere:
    """The losses of a change on hosts other than `here`, for nodes that are recreated, removed or placed again."""
    if before is None:
        return Elsewhere(placements)
    causes = recreation_causes(before, after)
    away = {name: host for name, node in before.spec.nodes.items() if (host := node.host or home) != here}
    losses = {}
    for name, host in away.items():
        if name not in after.nodes:
            losses[name] = f"its machine and disks on host {host} are removed"
        elif name in causes:
            losses[name] = f"its disks on host {host} are lost ({causes[name]})"
    return Elsewhere(placements, losses)
