"""Files and trees between the host and the nodes."""

import asyncio
import stat
import time
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from reconciler.concurrency import together
from reconciler.desired.kept_files import Kept, files_of_record, why_kept
from reconciler.errors import InvalidArgument, OperationFailed
from reconciler.files.configuration_files import configuration_paths
from reconciler.files.roots import PlaceToMake, Reach
from reconciler.guest import tar_transfer
from reconciler.guest.address import GuestAddress
from reconciler.guest.packing import Moved
from reconciler.model.file_use import FileUse
from reconciler.model.record import ClusterRecord
from reconciler.model.transfer import NodeTransfer, TransferResult
from reconciler.progress import Progress, no_progress
from reconciler.records.node_addresses import addresses
from reconciler.records.stored_records import existing, readable_records, select_node, select_nodes
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.usecases.host_paths import find_place, open_source, reach_of_commands, scratch_dir
from reconciler.usecases.inspection import Inspection
from reconciler.usecases.kernel_logs import for_each, whole

TRANSFER_TIMEOUT_S = 600.0
PULL_LIMIT_BYTES = 16 * 1024**3
"""The most that a pull writes to the host's disk, whatever the node sends."""
_PARALLEL = 4
_REPORT_INTERVAL_S = 2.0
_SHOWN_SKIPPED = 1000


class Transfers:
    """Copies files. They are copied over SSH immediately: a copied file is not desired state."""

    def __init__(self, runtime: Runtime, reach: Reach | None = None, progress: Progress = no_progress) -> None:
        self._runtime = runtime
        self._progress = progress
        self._reach = reach or reach_of_commands(runtime.settings)
        self._inspection = Inspection(runtime)

    async def push(
        self,
        cluster: str,
        source: Path,
        destination: str,
        *,
        nodes: str | Iterable[str] | None = None,
        replace: bool = False,
        timeout_s: float = TRANSFER_TIMEOUT_S,
    ) -> TransferResult:
        """Copy a file or a tree from the host to exactly `destination` on every node, completely or not at all.

        Raises `PartialFailure` naming the nodes on which it failed; it carries the others' results.
        """
        tar_transfer.absolute_on_node(destination)
        opened = await asyncio.to_thread(open_source, source, self._reach)
        if destination.endswith("/") and not stat.S_ISDIR(opened.mode):
            hint = f"name the exact path of the copy, such as {destination}{source.name}"
            raise InvalidArgument(f"{destination} is the name of a directory, and {source} is a file", hint=hint)
        record = await existing(self._runtime.store, cluster)
        targets = await self._running(record, select_nodes(record, nodes))
        places = asyncio.Semaphore(_PARALLEL)
        on_packed = _reporter("the tree", "packed", self._progress)
        async with tar_transfer.packed_parcel(opened, self._runtime.settings.state_dir, on_packed) as parcel:
            self._progress.over("the tree")

            async def push(address: GuestAddress) -> NodeTransfer:
                async with places:
                    began, told = time.monotonic(), _reporter(address.node, "sent", self._progress)
                    await tar_transfer.push_parcel(
                        self._runtime.ssh,
                        address,
                        parcel,
                        destination,
                        replace=replace,
                        timeout_s=timeout_s,
                        on_bytes=told,
                    )
                    self._progress.over(address.node)
                    return _said(address.node, parcel.moved, time.monotonic() - began)

            outcomes = whole(await for_each(targets, push), f"{source} was not copied")
        return TransferResult(per_node=outcomes)

    async def pull(
        self,
        cluster: str,
        node: str,
        source: str,
        destination: Path,
        *,
        replace: bool = False,
        limit_bytes: int = PULL_LIMIT_BYTES,
        timeout_s: float = TRANSFER_TIMEOUT_S,
    ) -> TransferResult:
        """Copy a file or a tree from a node to exactly `destination` on the host, completely or not at all.

        An existing file is replaced only with `replace`, a directory never, and files that vmcluster keeps are never
        touched.
        """
        name = PurePosixPath(source).name or "copy"
        place = await asyncio.to_thread(find_place, destination, self._reach, name=name)
        await asyncio.to_thread(require_not_kept, place, self._runtime.settings)
        record = await existing(self._runtime.store, cluster)
        chosen = select_node(record, node)
        await self._require_free(place)
        (address,) = await self._running(record, [chosen])
        began = time.monotonic()
        moved = await tar_transfer.pull_tree(
            self._runtime.ssh,
            address,
            source,
            place,
            require_free=self._require_free,
            replace=replace,
            limit_bytes=limit_bytes,
            timeout_s=timeout_s,
            on_bytes=_reporter(node, "copied", self._progress),
        )
        return TransferResult(per_node={node: _said(node, moved, time.monotonic() - began)})

    async def _require_free(self, place: PlaceToMake) -> None:
        records, uses = await together(readable_records(self._runtime.store), self._runtime.libvirt.file_uses())
        await asyncio.to_thread(require_not_kept, place, self._runtime.settings, records, uses)

    async def _running(self, record: ClusterRecord, names: list[str]) -> list[GuestAddress]:
        await self._inspection.require_running(record, names)
        return await addresses(self._runtime, record, names)


def _reporter(who: str, done: str, progress: Progress) -> tar_transfer.OnBytes:
    """A callback that reports progress from time to time; called from another thread."""
    loop = asyncio.get_running_loop()
    reported_at = time.monotonic()

    def on_bytes(passed: int) -> None:
        nonlocal reported_at
        if (now := time.monotonic()) - reported_at >= _REPORT_INTERVAL_S:
            reported_at = now
            loop.call_soon_threadsafe(progress.advanced, who, f"{passed / 1e6:.1f} MB {done}")

    return on_bytes


def require_not_kept(
    place: PlaceToMake, settings: Settings, records: Sequence[ClusterRecord] = (), uses: Iterable[FileUse] = ()
) -> None:
    """Raise `InvalidArgument` for a place where vmcluster keeps files, which no copy may overwrite.

    Blocking. `uses` are the disks of all machines on the host; without them and records, the settings alone decide.
    """
    directories = [*settings.kept_directories, *(record.spec.overlay_dir for record in records)]
    files = [*settings.kept_files, *configuration_paths()]
    files += [file for record in records for file in files_of_record(record)]
    try:
        owner = why_kept(place, Kept(directories, files, scratch_dir(settings), uses))
    except OSError as error:
        raise OperationFailed(f"cannot check {place.path}: {error.strerror}") from error
    if owner is not None:
        raise InvalidArgument(f"{place.path} is among {owner}", hint="use another path")


def _said(node: str, moved: Moved, duration_s: float) -> NodeTransfer:
    return NodeTransfer(
        node_name=node,
        files=moved.files,
        directories=moved.directories,
        symlinks=moved.links,
        size_bytes=moved.size_bytes,
        duration_s=duration_s,
        left_out=tuple(moved.skipped[:_SHOWN_SKIPPED]),
    )
