"""Signing: recording on existing resources that they belong to this store's record, as of its present generation.

Resources of an earlier version and adopted ones are signed, and the cluster's directory before any action for a newer
generation. Signing can be repeated after an interruption at any point: what is signed is no longer due.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from reconciler.act.context import ActContext
from reconciler.files.cluster_directories import directory_mark, mark_directory
from reconciler.files.ownership import sign
from reconciler.host.cloud_init.seed_driver import files_of_seed
from reconciler.host.disks.manifests import files_of_snapshot, snapshot_dir
from reconciler.model.names import cluster_dir
from reconciler.model.origin import Origin


async def sign_marks(keys: Iterable[str], origin: Origin, context: ActContext) -> None:
    """Sign the resources with these marks, in that order. Raises a `ClusterError` or `OSError` if the host refuses."""
    for key in keys:
        context.checkpoint(f"before Sign:{key}")
        context.require_term()
        kind, _, name = key.partition("/")
        if kind == "domains":
            await context.libvirt.sign_domain(context.cluster, name, origin)
        elif kind == "networks":
            await context.libvirt.sign_network(context.cluster, name, origin)
        else:
            await asyncio.to_thread(_sign_files, kind, name, origin, context)


def _sign_files(kind: str, name: str, origin: Origin, context: ActContext) -> None:
    cluster, overlay_dir = context.cluster, context.record.spec.overlay_dir
    if kind == "directory":
        _sign_directory(cluster_dir(overlay_dir, cluster), origin, cluster)
        return
    if kind == "snapshots":
        _sign_directory(snapshot_dir(overlay_dir, cluster, name), origin, cluster)
    files = {
        "layers": lambda: [Path(name)],
        "seeds": lambda: files_of_seed(overlay_dir, cluster, name),
        "snapshots": lambda: files_of_snapshot(overlay_dir, cluster, name),
    }
    for file in files[kind]():
        sign(file, cluster, origin)


def _sign_directory(directory: Path, origin: Origin, cluster: str) -> None:
    """Create the mark that an earlier version did not write."""
    directory_mark(directory, cluster)
    mark_directory(directory, cluster, origin)
