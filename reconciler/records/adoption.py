"""Records that take over what is on the host, whichever store made it. Pure."""

from collections.abc import Set
from pathlib import Path

from reconciler.desired.known_marks import origins_in
from reconciler.model.document import ClusterDocument
from reconciler.model.record import UNSIGNED, ClusterRecord, Deletion
from reconciler.records.record_changes import newest_revisions


def taking_over(record: ClusterRecord, observed: ClusterDocument, *, of: Path | None = None) -> ClusterRecord:
    """The record that includes everything of the cluster on the host, whichever store made it.

    With `of`, only what the store in that state directory has made.
    """
    return _with_adopted(record, {UNSIGNED, *_keys(observed, of)})


def on_disks_of_a_lost_store(record: ClusterRecord, observed: ClusterDocument, state_dir: Path) -> ClusterRecord:
    """The record of a new cluster, with the disks that are kept from before the store was lost.

    Only disks are reused: machines and networks may be in use, and have to be adopted.
    """
    in_use = any(key.startswith(("domains/", "networks/")) for key in observed.marks)
    return record if in_use else _with_adopted(record, _keys(observed, state_dir))


def _with_adopted(record: ClusterRecord, keys: Set[str]) -> ClusterRecord:
    return record.model_copy(update={"adopted": tuple(sorted({*record.adopted, *keys}))})


def _keys(observed: ClusterDocument, state_dir: Path | None) -> frozenset[str]:
    found = (of for of in origins_in(observed) if state_dir is None or Path(of.state_dir) == state_dir)
    return frozenset(of.key for of in found)


def counting_on(record: ClusterRecord, before: ClusterRecord, observed: ClusterDocument) -> ClusterRecord:
    """The record that replaces an older one; no handle is used twice, nor a revision of a removed node."""
    root, extra = newest_revisions(observed)
    beyond = {
        name: max(first, root.get(name, -1) + 1, extra.get(name, -1) + 1)
        for name, first in before.first_revisions.items()
        if name not in record.nodes
    }
    files = dict.fromkeys((*record.former_files, *before.former_files))
    return record.model_copy(
        update={
            "fault_requests": before.fault_requests,
            "first_revisions": beyond,
            "former_files": tuple(path for path in files if path not in record.spec.extra_files),
        }
    )


def by_marks_alone(record: ClusterRecord) -> ClusterRecord:
    """The record for destroying a cluster by its marks: it says where to look, and nothing else."""
    spec = record.spec.model_copy(update={"nodes": {}})
    files = (*record.former_files, *record.spec.extra_files)
    return ClusterRecord(
        cluster_name=record.cluster_name,
        spec=spec,
        nodes={},
        former_files=files,
        deletion=Deletion(remove_overlays=False),
        adopted=(*record.adopted, UNSIGNED),
    )
