"""Build trees: registering, listing, comparing and removing them."""

import asyncio
from collections.abc import Mapping, Set
from pathlib import Path

from reconciler.artifacts.git import git_log
from reconciler.artifacts.library import Library
from reconciler.artifacts.tree_entries import Role, TreeDifference, differences, sizes
from reconciler.errors import InvalidArgument
from reconciler.files.roots import Reach
from reconciler.model.choices import BuildType
from reconciler.model.results import ArtifactDiff, ArtifactRemoval, BuildArtifact, SizeChange
from reconciler.progress import Progress, no_progress
from reconciler.runtime import Runtime
from reconciler.usecases.host_paths import absolute, open_source, reach_of_commands

_OTHERS_LIMIT = 200
"""The longest comparison that is returned: two builds of a kernel can differ in tens of thousands of files."""

METADATA_LIMIT = 64
METADATA_KEY_LIMIT = 128
METADATA_VALUE_LIMIT = 4096
KERNEL_VERSION_LIMIT = 64


class Artifacts:
    """The artifacts of this host. An artifact is named by its ID or the start of it."""

    def __init__(self, runtime: Runtime, reach: Reach | None = None, progress: Progress = no_progress) -> None:
        self._progress = progress
        self._reach = reach or reach_of_commands(runtime.settings)
        self._library = Library(runtime.settings.artifact_store_dir, runtime.settings.artifact_registry)

    async def register(
        self,
        source_path: str,
        build_type: BuildType = BuildType.RAW_TREE,
        *,
        kernel_version: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> BuildArtifact:
        """Store a copy of the tree at `source_path`, under an ID derived from its content.

        Raises `InvalidArgument` if it is not a readable directory, and `Conflict` if it changes meanwhile.
        """
        check_metadata(metadata or {})
        if len(kernel_version or "") > KERNEL_VERSION_LIMIT:
            raise InvalidArgument(f"`kernel_version` has more than {KERNEL_VERSION_LIMIT} characters")
        path = absolute("source_path", source_path)
        source = await asyncio.to_thread(open_source, path, self._reach)
        return await self._library.register(
            source,
            build_type,
            kernel_version=kernel_version,
            metadata=metadata or {},
            report=self._progress.report,
        )

    async def listing(self) -> list[BuildArtifact]:
        """Every artifact, in the order of registration."""
        return list((await asyncio.to_thread(self._library.registry.all)).values())

    async def show(self, artifact_id: str) -> BuildArtifact:
        """One artifact."""
        return await asyncio.to_thread(self._library.registry.find, artifact_id)

    async def diff(self, artifact_id_a: str, artifact_id_b: str) -> ArtifactDiff:
        """The differences between two artifacts."""
        a, b = await self.show(artifact_id_a), await self.show(artifact_id_b)
        log = await git_log(Path(b.source_path), a.git_sha, b.git_sha) if a.git_sha and b.git_sha else None
        return await asyncio.to_thread(self._compare, a, b, log)

    async def remove(self, artifact_id: str) -> ArtifactRemoval:
        """Remove an artifact from this host and free its space; nodes keep their copies."""
        artifact = await self.show(artifact_id)
        freed_bytes = await self._library.remove(artifact.artifact_id)
        return ArtifactRemoval(artifact_id=artifact.artifact_id, freed_bytes=freed_bytes)

    def _compare(self, a: BuildArtifact, b: BuildArtifact, log: str | None) -> ArtifactDiff:
        entries = self._library.entries(a.artifact_id), self._library.entries(b.artifact_id)
        modules, bins = (differences(*entries, role) for role in (Role.MODULE, Role.EXECUTABLE))
        others = _without(differences(*entries, Role.PLAIN), _named(modules, bins))
        return ArtifactDiff(
            artifact_id_a=a.artifact_id,
            artifact_id_b=b.artifact_id,
            changed_modules=modules.changed,
            added_modules=modules.added,
            removed_modules=modules.removed,
            changed_bins=bins.changed,
            added_bins=bins.added,
            removed_bins=bins.removed,
            other_changes=len(_named(others)),
            changed_others=others.changed[:_OTHERS_LIMIT],
            added_others=others.added[:_OTHERS_LIMIT],
            removed_others=others.removed[:_OTHERS_LIMIT],
            git_log=log,
            sizes={
                path: SizeChange(bytes_a=in_a, bytes_b=in_b)
                for path, (in_a, in_b) in sizes(*entries, _named(modules, bins)).items()
            },
        )


def _named(*parts: TreeDifference) -> set[str]:
    return {path for part in parts for path in (*part.changed, *part.added, *part.removed)}


def _without(part: TreeDifference, named: Set[str]) -> TreeDifference:
    lists = (tuple(path for path in paths if path not in named) for paths in (part.changed, part.added, part.removed))
    return TreeDifference(*lists)


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Raises `InvalidArgument` if the labels are more or longer than the registry accepts."""
    if len(metadata) > METADATA_LIMIT:
        raise InvalidArgument(f"`metadata` has {len(metadata)} labels; an artifact can have at most {METADATA_LIMIT}")
    for key, value in metadata.items():
        if not key or len(key) > METADATA_KEY_LIMIT:
            raise InvalidArgument(f"`metadata`: {key[:40]!r} is not a name of 1 to {METADATA_KEY_LIMIT} characters")
        if len(value) > METADATA_VALUE_LIMIT:
            raise InvalidArgument(
                f"`metadata`: {key!r} has {len(value)} characters; the limit is {METADATA_VALUE_LIMIT}",
                hint="put long texts into a file of the tree",
            )
