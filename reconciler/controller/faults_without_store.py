"""Ends this host's faults on time while its store is away: what a round last knew is enough for that."""

from datetime import UTC, datetime

from reconciler.faults.combine import wanted_at
from reconciler.model.record import ClusterRecord


class RememberedFaults:
    """The faults of each cluster's part, as the last round read them."""

    def __init__(self) -> None:
        self._records: dict[str, ClusterRecord] = {}

    def note(self, part: ClusterRecord) -> None:
        """Remember a part that has faults that end; forget one that has none."""
        if any(fault.expires_at for fault in part.faults.values()):
            self._records[part.cluster_name] = part
        else:
            self._records.pop(part.cluster_name, None)

    def next_end_in_s(self, cluster: str) -> float | None:
        """In how many seconds the next fault ends; negative if it is late, None if there is none."""
        record = self._records.get(cluster)
        ends = [fault.expires_at for fault in record.faults.values() if fault.expires_at] if record else []
        return (min(ends) - datetime.now(UTC)).total_seconds() if ends else None

    def without_expired(self, cluster: str) -> ClusterRecord | None:
        """The part without the faults whose time is over; None if there are none. Such faults are then forgotten."""
        record = self._records.get(cluster)
        if record is None:
            return None
        wanted = {fault.handle_id: fault for fault in wanted_at(record.faults.values(), datetime.now(UTC))}
        if len(wanted) == len(record.faults):
            return None
        return record.model_copy(update={"faults": wanted})
