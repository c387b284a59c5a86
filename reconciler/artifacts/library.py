"""The artifacts of this host: registering, finding, comparing and removing them."""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

import structlog

from reconciler.artifacts import facts
from reconciler.artifacts.atomic import locked, reported, sync_file_system
from reconciler.artifacts.cache import load_readings, save_readings
from reconciler.artifacts.entries import EntryKind, TreeEntry, shown
from reconciler.artifacts.git import git_facts
from reconciler.artifacts.intake import Intake, TreeReader
from reconciler.artifacts.manifest import manifest_path, read_manifest, write_manifest
from reconciler.artifacts.objects import Objects
from reconciler.artifacts.registry import ArtifactRegistry
from reconciler.artifacts.scan import Exclusion
from reconciler.artifacts.views import sweep_views
from reconciler.errors import InvalidArgument
from reconciler.model.results import BuildArtifact, BuildType, ExcludedPath

log = structlog.get_logger(__name__)

Report = Callable[[str], None]


class Library:
    """The store of trees in `store_dir`, and the registry of what is known about them.

    `clock_ns` is that of the file systems, nanoseconds since 1970.
    """

    def __init__(self, store_dir: Path, registry_path: Path, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self.store_dir = store_dir
        self.registry = ArtifactRegistry(registry_path)
        self.objects = Objects(store_dir, clock_ns)

    def entries(self, artifact_id: str) -> tuple[TreeEntry, ...]:
        """Everything in a registered tree."""
        return read_manifest(manifest_path(self.store_dir, artifact_id))

    def in_use(self) -> AbstractAsyncContextManager[None]:
        """While it is held nothing is removed from the store."""
        return locked(self.store_dir / "lock", shared=True)

    async def register(
        self,
        source: Path,
        build_type: BuildType,
        *,
        kernel_version: str | None,
        metadata: Mapping[str, str],
        report: Report,
    ) -> BuildArtifact:
        """Take a tree in and record it; one that is there already is recorded anew, with what was given now.

        Raises `InvalidArgument` for what is no readable directory, and `Conflict` where it changes meanwhile.
        """
        root = _root_of(source)
        async with self.in_use():
            intake = await self._take_in(os.fsencode(root), report)
            await asyncio.to_thread(self._keep, intake)
            await asyncio.to_thread(save_if_read, self._cache_path(root), intake)
            artifact = await self._describe(root, build_type, intake, kernel_version, metadata)
            await self.registry.change(lambda artifacts: _put(artifacts, artifact))
        log.info(
            "artifact_registered",
            artifact=intake.artifact_id,
            read_files=intake.read_files,
            read_bytes=intake.read_bytes,
        )
        return artifact

    async def remove(self, artifact_id: str) -> int:
        """Forget an artifact and delete what no other one needs; how many bytes that freed."""
        async with locked(self.store_dir / "lock"):
            await self.registry.change(lambda artifacts: _drop(artifacts, artifact_id))
            return await asyncio.to_thread(self._collect)

    async def _take_in(self, root: bytes, report: Report) -> Intake:
        loop = asyncio.get_running_loop()

        def report_from_thread(words: str) -> None:
            loop.call_soon_threadsafe(report, words)

        reader = TreeReader(root, self.objects, report_from_thread)
        work = asyncio.create_task(asyncio.to_thread(self._read, reader, self._cache_path(Path(os.fsdecode(root)))))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            reader.stop()
            await asyncio.wait({work})
            raise

    def _read(self, reader: TreeReader, cache_path: Path) -> Intake:
        known = load_readings(cache_path)
        self.objects.prepare()
        intake = reader.take_in(known)
        lacking = self._lacking(intake)
        if not lacking:
            return intake
        return reader.take_in({path: of for path, of in known.items() if of.sha256.encode() not in lacking})

    def _lacking(self, intake: Intake) -> set[bytes]:
        """Contents that were read once and are not in the store any more; a manifest says that none is."""
        if manifest_path(self.store_dir, intake.artifact_id).exists():
            return set()
        return {content for content in _contents(intake.entries) if not self.objects.path(content.decode()).exists()}

    def _keep(self, intake: Intake) -> None:
        path = manifest_path(self.store_dir, intake.artifact_id)
        if not path.exists():
            sync_file_system(self.store_dir)
            write_manifest(path, sorted(intake.entries, key=lambda entry: entry.path))

    def _cache_path(self, root: Path) -> Path:
        return self.store_dir / "readings" / f"{hashlib.sha256(os.fsencode(root)).hexdigest()}.json"

    async def _describe(
        self,
        root: Path,
        build_type: BuildType,
        intake: Intake,
        kernel_version: str | None,
        metadata: Mapping[str, str],
    ) -> BuildArtifact:
        git = await git_facts(root)
        release = kernel_version or facts.kernel_version(intake.entries, self._release_file(intake.entries))
        return BuildArtifact(
            artifact_id=intake.artifact_id,
            source_path=shown(os.fsencode(root)),
            build_type=build_type,
            kernel_version=release,
            modules=tuple(shown(entry.path) for entry in facts.modules(intake.entries)),
            userspace_bins=tuple(shown(entry.path) for entry in facts.programs(intake.entries)),
            test_framework_path=facts.test_directory(intake.entries),
            git_sha=git.sha,
            git_branch=git.branch,
            build_timestamp=_built_at(intake.entries),
            metadata=dict(metadata),
            files=sum(entry.kind is EntryKind.FILE for entry in intake.entries),
            size_bytes=sum(entry.size_bytes for entry in intake.entries),
            excluded=_listed(intake.excluded),
            registered_at=datetime.now(UTC),
        )

    def _release_file(self, entries: Sequence[TreeEntry]) -> bytes | None:
        by_path = {entry.path: entry for entry in entries if entry.kind is EntryKind.FILE}
        found = next((by_path[path] for path in facts.UTS_RELEASE_PATHS if path in by_path), None)
        return self.objects.path(found.content.decode()).read_bytes()[:4096] if found else None

    def _collect(self) -> int:
        """Delete manifests that are not registered, contents that no manifest has, and what killed processes left."""
        with reported(self.store_dir):
            registered = self.registry.all()
            for path in (self.store_dir / "manifests").glob("*.json"):
                if path.stem not in registered:
                    path.unlink()
            needed = {content.decode() for each in registered for content in _contents(self.entries(each))}
            sweep_views(self.store_dir)
            for path in self.objects.incoming.glob("*"):
                path.unlink()
            return self.objects.delete_all_but(needed)


def save_if_read(path: Path, intake: Intake) -> None:
    """Keep what was learnt; where nothing had to be read, nothing new is known."""
    if intake.read_files:
        save_readings(path, intake.readings)


def _root_of(source: Path) -> Path:
    root = source.absolute()
    if "\0" in str(source) or not root.is_dir():
        raise InvalidArgument(f"{source} is not a directory", hint="give the directory that holds the built tree")
    return Path(os.path.normpath(root))


def _listed(excluded: Sequence[Exclusion]) -> tuple[ExcludedPath, ...]:
    ordered = sorted(excluded, key=lambda each: each.path)
    return tuple(ExcludedPath(path=shown(each.path), reason=each.reason) for each in ordered)


def _contents(entries: Sequence[TreeEntry]) -> set[bytes]:
    return {entry.content for entry in entries if entry.kind is EntryKind.FILE}


def _built_at(entries: Sequence[TreeEntry]) -> datetime:
    """When the newest file was written."""
    newest_ns = max((entry.mtime_ns for entry in entries), default=0)
    return datetime.fromtimestamp(newest_ns // 1_000_000_000, UTC)


def _put(artifacts: dict[str, BuildArtifact], artifact: BuildArtifact) -> None:
    artifacts[artifact.artifact_id] = artifact


def _drop(artifacts: dict[str, BuildArtifact], artifact_id: str) -> None:
    artifacts.pop(artifact_id, None)
