"""Places the nodes of a topology on the hosts that share the store."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from reconciler.errors import PlacementRefused
from reconciler.model.choices import StopMode
from reconciler.model.host import HostImage, HostRecord, HostReport
from reconciler.model.names import image_name
from reconciler.model.record import ClusterRecord, ClusterSpec
from reconciler.observe.host_report import digest_of_image
from reconciler.placement.place import Placement, Situation, place, uses_by_host
from reconciler.records.elsewhere import elsewhere
from reconciler.records.preview import Preview
from reconciler.records.record_changes import power_cycled
from reconciler.records.stored_records import readable_records
from reconciler.runtime import Runtime
from reconciler.store.merged_status import remedy_for_lost, silence_told


async def placed(
    runtime: Runtime, cluster: str, spec: ClusterSpec, before: ClusterRecord | None
) -> tuple[ClusterSpec, dict[str, Placement]]:
    """The specification with a host for every node, and why; the same where no host has reported.

    Raises `PlacementRefused` if a node fits on no host.
    """
    hosts = await runtime.store.hosts()
    if not hosts:
        _require_no_choice(spec)
        return _with_hosts(spec, _as_before(before)), {}
    home = await runtime.store.home_host()
    spec = await asyncio.to_thread(_with_digests, runtime, spec)
    hosts = await _with_own_images(runtime, spec, hosts)
    others = [record for record in await readable_records(runtime.store) if record.cluster_name != cluster]
    known = _as_before(before)
    present = {name: host or home for name, host in known.items()}
    now = Situation(hosts, present, uses_by_host(others, home), home, _offered(spec, hosts))
    placements = place(spec.nodes, spec.placement, now)
    written = {name: known[name] if of.kept else of.host for name, of in placements.items()}  # none where it is at home
    return _with_hosts(spec, written), placements


async def placed_again(
    runtime: Runtime, then: ClusterRecord, before: ClusterRecord | None
) -> tuple[ClusterRecord, dict[str, Placement]]:
    """An earlier record with its nodes where they are now: no change of that time moves one back.

    Nodes that are nowhere now are placed. Raises as `placed` does.
    """
    spec, placements = await placed(runtime, then.cluster_name, _with_hosts(then.spec, {}), before)
    return then.model_copy(update={"spec": spec}), placements


async def where_they_are(runtime: Runtime, spec: ClusterSpec, behind: ClusterRecord | None) -> ClusterSpec:
    """The specification of a cluster that exists, with the hosts that its nodes are on.

    Raises `PlacementRefused` for nodes of which neither the record `behind` nor the topology says that.
    """
    hosts, known = await runtime.store.hosts(), _as_before(behind)
    only = next(iter(hosts)) if len(hosts) == 1 else ""
    found = {name: node.host or known.get(name, only) for name, node in spec.nodes.items()}
    unknown = [name for name in spec.nodes if len(hosts) > 1 and not found[name] and name not in known]
    if unknown:
        raise PlacementRefused(
            f"nothing says on which hosts these nodes are: {', '.join(unknown)}",
            hint="name the `host` of each node in the topology, and adopt the cluster again",
        )
    return _with_hosts(spec, found)


async def _with_own_images(runtime: Runtime, spec: ClusterSpec, hosts: dict[str, HostRecord]) -> dict[str, HostRecord]:
    """The hosts, of which this one has told of the base images that it was just seen to have."""
    own = hosts.get(runtime.settings.own_host)
    told = {image.path: image.digest for image in own.images} if own else {}
    images_used = (node.base_image for node in spec.nodes.values())
    seen = {image.path: image.digest for image in images_used if image.digest}
    if own is None or all(told.get(path) == digest for path, digest in seen.items()):
        return hosts
    others = [image for image in own.images if image.path not in seen]
    fresh = await asyncio.to_thread(lambda: [_image_here(runtime, path, digest) for path, digest in seen.items()])
    images = tuple(sorted([*others, *fresh], key=lambda of: of.path))
    report = HostReport.model_validate(own.model_dump(include=set(HostReport.model_fields)) | {"images": images})
    await runtime.store.put_host(report)
    return {**hosts, own.name: own.model_copy(update={"images": images})}


def _image_here(runtime: Runtime, path: Path, digest: str) -> HostImage:
    name = image_name(path) if path.parent == runtime.settings.image_dir else None
    return HostImage(path=path, name=name, digest=digest, size_bytes=path.stat().st_size)


def _offered(spec: ClusterSpec, hosts: Mapping[str, HostRecord]) -> frozenset[str]:
    """The digests of base images that hosts without them can fetch: of those directly in the directory for images."""
    giving = [host for host in hosts.values() if host.alive and host.address and host.image_port]
    given = {image.digest for host in giving for image in host.images if image.path.parent == host.image_dir}
    return frozenset(node.base_image.digest for node in spec.nodes.values() if node.base_image.digest in given)


def _as_before(before: ClusterRecord | None) -> dict[str, str]:
    """The host of each node in the record, as it is written there."""
    return {name: node.host for name, node in before.spec.nodes.items()} if before else {}


def _with_hosts(spec: ClusterSpec, hosts: Mapping[str, str]) -> ClusterSpec:
    nodes = {name: node.model_copy(update={"host": hosts.get(name, "")}) for name, node in spec.nodes.items()}
    return spec.model_copy(update={"nodes": nodes})


def _with_digests(runtime: Runtime, spec: ClusterSpec) -> ClusterSpec:
    """The same with the content of base images, by which other hosts know them."""
    digests: dict[Path, str] = {}
    nodes = {}
    for name, node in spec.nodes.items():
        image = node.base_image
        if image.digest:
            nodes[name] = node
            continue
        if image.path not in digests:
            digests[image.path] = digest_of_image(runtime.settings, image.path)
        nodes[name] = node.model_copy(update={"base_image": image.model_copy(update={"digest": digests[image.path]})})
    return spec.model_copy(update={"nodes": nodes})


def _require_no_choice(spec: ClusterSpec) -> None:
    """Raise `PlacementRefused` for a node that names a host while there is none to name."""
    if named := [f"node {name} is to be on host {node.host}" for name, node in spec.nodes.items() if node.host]:
        raise PlacementRefused(
            f"{'; '.join(named)}, but no host has reported yet", hint="run `vmcluster watch` on every host"
        )


async def with_other_hosts(runtime: Runtime, preview: Preview, placements: Mapping[str, Placement]) -> Preview:
    """The preview with what the change means on other hosts."""
    if not placements:
        return preview
    here, home = runtime.settings.own_host, await runtime.store.home_host()
    unapproved = await runtime.looks.parts.unapproved_elsewhere(preview.after.cluster_name)
    away = elsewhere(preview.before, preview.after, placements, here, home, unapproved)
    lost = _lost_hosts(await runtime.store.hosts(), placements)
    difference = replace(preview.difference, warnings=(*preview.difference.warnings, *lost))
    restarting = frozenset(away.restarts)
    after = power_cycled(preview.after, restarting, StopMode.SHUTDOWN) if restarting else preview.after
    return replace(preview, after=after, elsewhere=away, difference=difference)


def _lost_hosts(hosts: Mapping[str, HostRecord], placements: Mapping[str, Placement]) -> Iterator[str]:
    """What is said of hosts that will not do their part now."""
    for name, host in hosts.items():
        nodes = [node for node, of in placements.items() if of.host == name]
        if nodes and not host.alive:
            told = f"nothing is planned for its nodes ({', '.join(nodes)}) until it is back"
            yield f"{silence_told(name, host.lost_since)}: {told}; {remedy_for_lost(name)}"
