"""The artifacts of this host: registers, finds, compares and removes them."""

import asyncio
import hashlib
import os
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog

from reconciler.artifacts import facts
from reconciler.artifacts.git import GitFacts, git_facts
from reconciler.artifacts.manifest import manifest_path, read_manifest, write_manifest
from reconciler.artifacts.objects import Objects
from reconciler.artifacts.reading_cache import Readings, load_readings, save_readings
from reconciler.artifacts.registry import ArtifactRegistry
from reconciler.artifacts.scan import Scan, fingerprint, scan_tree
from reconciler.artifacts.summary import TreeSummary, load_summary, save_summary, summarise
from reconciler.artifacts.tree_copies import sweep_tree_copies
from reconciler.artifacts.tree_entries import EntryKind, TreeEntry, path_text
from reconciler.artifacts.tree_reader import Intake, TreeReader
from reconciler.errors import InvalidArgument
from reconciler.files.atomic import reporting_os_errors, sync_file_system
from reconciler.files.locks import locked
from reconciler.files.roots import Opened
from reconciler.model.choices import BuildType
from reconciler.model.results import BuildArtifact

log = structlog.get_logger(__name__)

Report = Callable[[str], None]

_RELEASE_BYTES = 4096
"""More than any file that holds a kernel's release has."""


class Library:
    """The store of trees in `store_dir`, and the registry of what is known about them.

    `clock_ns` is the clock of the file systems, in nanoseconds since 1970.
    """

    def __init__(self, store_dir: Path, registry_path: Path, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self.store_dir = store_dir
        self.registry = ArtifactRegistry(registry_path)
        self.objects = Objects(store_dir, clock_ns)

    def entries(self, artifact_id: str) -> tuple[TreeEntry, ...]:
        """Everything in a registered tree."""
        return read_manifest(manifest_path(self.store_dir, artifact_id))

    def in_use(self) -> AbstractAsyncContextManager[None]:
        """While it is held, nothing is removed from the store."""
        return locked(self.store_dir / "lock", shared=True)

    @asynccontextmanager
    async def alone_on(self, cluster: str, nodes: Iterable[str], *, timeout_s: float) -> AsyncIterator[None]:
        """While it is held, nobody else changes what is on these nodes. Raises `OperationTimeout`."""
        async with AsyncExitStack() as stack:
            for node in sorted(nodes):
                lock = self.store_dir / "locks" / f"{cluster}.{node}"
                await stack.enter_async_context(locked(lock, timeout_s=timeout_s))
            yield

    async def register(
        self,
        source: Opened,
        build_type: BuildType,
        *,
        kernel_version: str | None,
        metadata: Mapping[str, str],
        report: Report,
    ) -> BuildArtifact:
        """Store a tree and record it; one that is already stored is recorded again, with the arguments given now.

        Raises `InvalidArgument` for anything but a readable directory, and `Conflict` if it changes meanwhile.
        """
        root = _root_of(source)
        async with self.in_use():
            reader = TreeReader(source, self.objects, _from_thread(report))
            summary = await self._take_in(source, root, reader)
            artifact = _described(root, build_type, summary, await git_facts(source), kernel_version, metadata)
            await self.registry.change(lambda artifacts: _put(artifacts, artifact))
        log.info("artifact_registered", artifact=artifact.artifact_id, read_bytes=reader.read_bytes)
        return artifact

    async def remove(self, artifact_id: str) -> int:
        """Unregister an artifact and delete what no other one needs; returns the bytes freed."""
        async with locked(self.store_dir / "lock"):
            await self.registry.change(lambda artifacts: _drop(artifacts, artifact_id))
            return await asyncio.to_thread(self._collect)

    async def _take_in(self, source: Opened, root: Path, reader: TreeReader) -> TreeSummary:
        work = asyncio.create_task(asyncio.to_thread(self._read, source, root, reader))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            reader.stop()
            await asyncio.wait({work})
            raise

    def _read(self, source: Opened, root: Path, reader: TreeReader) -> TreeSummary:
        """Put the tree into the store; a tree that looks the same as when it was stored is not read."""
        scan = scan_tree(source)
        looks = fingerprint(scan)
        known = load_summary(self._path_for("summaries", root), looks)
        if known is not None and manifest_path(self.store_dir, known.artifact_id).exists():
            return known
        intake = self._read_changed(root, reader, scan)
        summary = summarise(intake.artifact_id, intake.entries, intake.excluded, self._release_file(intake.entries))
        if all(reading.trusted for reading in intake.readings.values()):
            save_summary(self._path_for("summaries", root), looks, summary)
        return summary

    def _read_changed(self, root: Path, reader: TreeReader, scan: Scan) -> Intake:
        """Read what is not known; afterwards the store has everything, and its manifest says so."""
        known = load_readings(self._path_for("readings", root))
        self.objects.prepare()
        intake = reader.take_in(scan, known)
        if lacking := self._lacking(intake, known):
            intake = reader.take_in(scan, {path: of for path, of in known.items() if of.sha256 not in lacking})
        self._keep(intake)
        if intake.readings != known:
            save_readings(self._path_for("readings", root), intake.readings)
        return intake

    def _lacking(self, intake: Intake, known: Readings) -> set[str]:
        """Contents that were read before but are no longer in the store; if a manifest exists, none are."""
        if manifest_path(self.store_dir, intake.artifact_id).exists():
            return set()
        of_before = [reading for path, reading in intake.readings.items() if known.get(path) is reading]
        return {of.sha256 for of in of_before if not self.objects.has(of.sha256, of.signature[1])}

    def _keep(self, intake: Intake) -> None:
        path = manifest_path(self.store_dir, intake.artifact_id)
        if not path.exists():
            sync_file_system(self.store_dir)
            write_manifest(path, sorted(intake.entries, key=lambda entry: entry.path))

    def _path_for(self, what: str, root: Path) -> Path:
        """The path of something stored about the tree at this place."""
        return self.store_dir / what / f"{hashlib.sha256(os.fsencode(root)).hexdigest()}.json"

    def _delete_knowledge_but(self, roots: Set[Path]) -> None:
        """Knowledge of trees at other places only saves reading them."""
        for what in ("summaries", "readings"):
            kept = {self._path_for(what, root) for root in roots}
            for path in (self.store_dir / what).glob("*.json"):
                if path not in kept:
                    path.unlink()

    def _release_file(self, entries: Sequence[TreeEntry]) -> bytes | None:
        by_path = {entry.path: entry for entry in entries if entry.kind is EntryKind.FILE}
        found = next((by_path[path] for path in facts.UTS_RELEASE_PATHS if path in by_path), None)
        if found is None:
            return None
        with self.objects.path(found.content.decode()).open("rb") as file:
            return file.read(_RELEASE_BYTES)

    def _collect(self) -> int:
        """Delete what belongs to no registered artifact, what no manifest lists, and what killed processes left."""
        with reporting_os_errors(self.store_dir):
            registered = self.registry.all()
            for path in (self.store_dir / "manifests").glob("*.json"):
                if path.stem not in registered:
                    path.unlink()
            self._delete_knowledge_but({Path(each.source_path) for each in registered.values()})
            needed = {content.decode() for each in registered for content in _contents(self.entries(each))}
            sweep_tree_copies(self.store_dir)
            return self.objects.delete_all_but(needed)


def _from_thread(report: Report) -> Report:
    """Make `report` callable from threads other than this event loop's."""
    loop = asyncio.get_running_loop()

    def report_soon(words: str) -> None:
        loop.call_soon_threadsafe(report, words)

    return report_soon


def _described(
    root: Path,
    build_type: BuildType,
    summary: TreeSummary,
    git: GitFacts,
    kernel_version: str | None,
    metadata: Mapping[str, str],
) -> BuildArtifact:
    return BuildArtifact(
        **{**dict(summary), "kernel_version": kernel_version or summary.kernel_version},
        source_path=path_text(os.fsencode(root)),
        build_type=build_type,
        git_sha=git.sha,
        git_branch=git.branch,
        metadata=dict(metadata),
        registered_at=datetime.now(UTC),
    )


def _root_of(source: Opened) -> Path:
    """The name of the tree's place, under which knowledge about it is stored."""
    if not stat.S_ISDIR(source.mode):
        raise InvalidArgument(f"{source.path} is not a directory", hint="give the directory that holds the built tree")
    return Path(os.path.normpath(source.path.absolute()))


def _contents(entries: Sequence[TreeEntry]) -> set[bytes]:
    return {entry.content for entry in entries if entry.kind is EntryKind.FILE}


def _put(artifacts: dict[str, BuildArtifact], artifact: BuildArtifact) -> None:
    artifacts[artifact.artifact_id] = artifact


def _drop(artifacts: dict[str, BuildArtifact], artifact_id: str) -> None:
    artifacts.pop(artifact_id, None)
