"""Restores records that were lost, cannot be read, or are rolled back."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from reconciler.errors import ClusterNotFound, InvalidArgument, StoreUnavailable
from reconciler.model.document import ClusterDocument, Domain, Layer, Mark, Snapshot, Unknown
from reconciler.model.record import UNSIGNED, ClusterRecord, ClusterSpec, Deletion, NetworkSpec, SshSpec
from reconciler.model.status import obstacles_in_words
from reconciler.model.topology import Forward
from reconciler.records import adoption
from reconciler.runtime import Runtime
from reconciler.store.patch import patched
from reconciler.store.protocol import HistoryEntry

R = TypeVar("R")


async def record_at(runtime: Runtime, cluster: str, generation: int | None) -> ClusterRecord:
    """The record of a generation; for None, of the last one with a different desired state.

    Raises `ClusterNotFound`, and `InvalidArgument` for a generation without a cluster or that this version cannot read.
    """
    entries = await runtime.store.history(cluster)
    if not entries:
        raise ClusterNotFound(f"there is no history of a cluster named {cluster!r}", hint="see `cluster_list`")
    wanted = last_other(entries) if generation is None else generation
    if wanted not in {entry.generation for entry in entries}:
        raise InvalidArgument(
            f"cluster {cluster!r} never had generation {wanted}",
            hint=f'see `cluster_history(cluster_name="{cluster}")`',
        )
    return _readable(cluster, wanted, _document_at(entries, wanted))


def last_other(entries: Sequence[HistoryEntry]) -> int:
    """The newest generation whose topology or power state is not that of the last one. Raises `InvalidArgument`.

    Behind a removed record another cluster had that name, which counts only while there is none.
    """
    told = list(documents(entries))
    newest = told[-1][1]
    lives = takewhile(lambda of: newest is None or of[1] is not None, reversed(told[:-1]))
    wanted = _restorable(newest)
    found: int | None = next((number for number, then in lives if _restorable(then) not in (None, wanted)), None)
    if found is None:
        raise InvalidArgument(
            f"no earlier generation of cluster {entries[0].cluster_name!r} has a different topology or power state",
            hint="there is nothing to roll back to",
        )
    return found


def _restorable(document: Any) -> Any:
    """The part of a record that a rollback restores; None for a cluster being destroyed."""
    if document is None or document.get("deletion") is not None:
        return None
    return _without_identities(document["spec"]), {node: intent["power"] for node, intent in document["nodes"].items()}


def _without_identities(spec: Any) -> Any:
    """The specification without the identity of kernel files: earlier files under these names are gone."""
    nodes = {
        name: {**node, "boot": {**node["boot"], "identity": ""}} if node.get("boot") else node
        for name, node in spec["nodes"].items()
    }
    return {**spec, "nodes": nodes}


def _document_at(entries: Sequence[HistoryEntry], generation: int) -> Any:
    return next((of for number, of in documents(entries) if number == generation), None)


def documents(entries: Iterable[HistoryEntry]) -> Iterator[tuple[int, Any]]:
    """Each generation with its record. Raises `StoreUnavailable` if a patch does not apply."""
    document = None
    for entry in entries:
        if entry.unreadable:
            raise _damaged(entry, entry.unreadable)
        try:
            document = patched(document, entry.patch)
        except ValueError as error:
            raise _damaged(entry, str(error)) from error
        yield entry.generation, document


def _damaged(entry: HistoryEntry, why: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"the history of cluster {entry.cluster_name} is damaged at generation {entry.generation}: {why}",
        hint="apply a topology file instead",
    )


def _readable(cluster: str, generation: int, document: Any) -> ClusterRecord:
    if document is None or document.get("deletion") is not None:
        raise InvalidArgument(
            f"cluster {cluster!r} was destroyed at generation {generation}",
            hint=f'see `cluster_history(cluster_name="{cluster}")` for others; `cluster_destroy` destroys the cluster',
        )
    try:
        return ClusterRecord.model_validate({**document, "generation": generation})
    except ValidationError as error:
        raise InvalidArgument(
            f"generation {generation} of cluster {cluster!r} has {error.error_count()} values that this version does"
            " not know",
            hint="apply a topology file instead",
        ) from error


def require_same_cluster(found: str, wanted: str) -> None:
    """Raise `InvalidArgument` if a topology belongs to another cluster."""
    if found != wanted:
        raise InvalidArgument(
            f"that topology is for cluster {found!r}, not {wanted!r}", hint="pass the topology file of the cluster"
        )


async def bare_record(runtime: Runtime, cluster: str) -> ClusterRecord:
    """An empty record, to remove everything with the cluster's mark except its disks.

    Raises `ClusterNotFound` if nothing on the host has the mark.
    """
    domains = await runtime.libvirt.find_domains(cluster)
    networks = await runtime.libvirt.find_networks(cluster, frozenset())
    consoles = [of.record.domain.console for of in domains.values() if of.record is not None]
    overlay_dir = consoles[0].parent.parent if consoles else runtime.settings.overlay_dir
    if not (consoles or networks or (overlay_dir / cluster).is_dir()):
        raise ClusterNotFound(f"nothing on this host belongs to a cluster named {cluster!r}")
    spec = _bare_spec(runtime, overlay_dir)
    keep = Deletion(remove_overlays=False)
    bare = ClusterRecord(cluster_name=cluster, spec=spec, nodes={}, deletion=keep, adopted=(UNSIGNED,))
    return await with_found_files(runtime, bare)


async def whose_marks(runtime: Runtime, cluster: str) -> tuple[str, Mapping[str, Mark | Unknown]]:
    """Who else has made what there is of a cluster without a readable record, in words, and the marks as we know them.

    What this store has made counts as its own, also one that was in its directory before. No words: nobody else.
    """
    try:
        bare = await bare_record(runtime, cluster)
    except ClusterNotFound:
        return "", {}
    observed = (await runtime.looks.compare(bare)).observed
    ours = adoption.taking_over(adoption.by_marks_alone(bare), observed, of=runtime.settings.state_dir.absolute())
    found = await runtime.looks.compare(ours, observed)
    told = obstacles_in_words(found.plan.obstacles) if found.plan.foreign else ""
    return told, found.desired.marks


async def with_found_files(runtime: Runtime, record: ClusterRecord) -> ClusterRecord:
    """The rebuilt record, with the files of extra disks that have vmcluster's mark and that a definition, a layer or a
    snapshot names.
    """
    named = _named_files(await runtime.looks.observe(record))
    looked_at = record.model_copy(update={"former_files": tuple(named)})
    layers = (await runtime.looks.observe(looked_at)).layers
    ours = sorted(path for path in named if isinstance(layers.get(str(path)), Layer))
    return record.model_copy(update={"former_files": tuple(ours)})


def _named_files(observed: ClusterDocument) -> frozenset[Path]:
    """Every file that something of the cluster names and that was not checked yet, including base images."""
    named = {layer.backing for layer in _known(observed.layers, Layer) if layer.backing is not None}
    for domain in _known(observed.domains, Domain):
        disks = domain.disks.values()
        named |= {disk.path for disk in disks} | {file.path for disk in disks for file in disk.backing}
    for snapshot in _known(observed.snapshots, Snapshot):
        named |= {disk.path for node in snapshot.nodes.values() for disk in node.disks.values()}
    return frozenset(path for path in named if str(path) not in observed.layers)


def _known(found: Mapping[str, R | Unknown], kind: type[R]) -> Iterator[R]:
    return (of for of in found.values() if isinstance(of, kind))


def _bare_spec(runtime: Runtime, overlay_dir: Path) -> ClusterSpec:
    nowhere = IPv4Network((0, 32))
    return ClusterSpec(
        overlay_dir=overlay_dir,
        network=NetworkSpec(
            name="", bridge="", subnet=nowhere, gateway=nowhere.network_address, forward=Forward.ISOLATED
        ),
        nodes={},
        ssh=SshSpec(
            user=runtime.settings.ssh_user, key_path=runtime.settings.ssh_key_path, public_key="", connect_timeout_s=1
        ),
    )
