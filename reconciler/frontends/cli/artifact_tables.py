"""Artifacts as people read them."""

from collections.abc import Iterator, Sequence

import typer

from reconciler.frontends.cli.snapshot_tables import size
from reconciler.frontends.cli.tables import print_columns, utc_time
from reconciler.frontends.cli.text import one_line, printable, short_id
from reconciler.model.results import (
    ArtifactDiff,
    ArtifactRemoval,
    BuildArtifact,
    InstallStatus,
    NodeInstall,
    NodeSync,
    SyncStatus,
)

_SHOWN_PATHS = 20
_STYLES = {"failed": "red", "complete": "green", "was complete": "green", "done": "green"}


def show_artifacts(artifacts: Sequence[BuildArtifact]) -> None:
    """All artifacts, one line each."""
    print_columns(
        ["ARTIFACT", "REGISTERED", "KERNEL", "MODULES", "PROGRAMS", "SIZE", "BRANCH", "TREE"],
        map(_artifact_row, artifacts),
        empty="no artifacts; `vmcluster artifact register TREE` keeps one",
    )


def show_artifact(artifact: BuildArtifact) -> None:
    """Everything about one artifact."""
    for line in artifact_lines(artifact):
        typer.echo(printable(line))


def show_diff(diff: ArtifactDiff) -> None:
    """The differences, one name per line."""
    for line in diff_lines(diff):
        typer.echo(printable(line))


def show_removal(removal: ArtifactRemoval) -> None:
    """What removing an artifact did."""
    typer.echo(f"artifact {short_id(removal.artifact_id)} is gone; {size(removal.freed_bytes)} freed")


def show_sync(status: SyncStatus) -> None:
    """How the tree was copied to each node."""
    typer.echo(printable(f"artifact {short_id(status.artifact_id)} at {status.path}\n"))
    print_columns(["NODE", "STATE", "SENT", "TOOK", "BASIS"], map(_sync_row, status.per_node.values()), _STYLES)


def show_install(status: InstallStatus) -> None:
    """How the installation went on each node."""
    print_columns(["NODE", "STATE", "MODULES", "DEPMOD"], map(_install_row, status.per_node.values()), _STYLES)


def artifact_lines(artifact: BuildArtifact) -> Iterator[str]:
    """The facts, then the names of modules and programs in the tree."""
    commit = " ".join(filter(None, (artifact.git_sha, artifact.git_branch and f"on {artifact.git_branch}")))
    facts = {
        "artifact": artifact.artifact_id,
        "tree": artifact.source_path,
        "type": artifact.build_type.value,
        "size": f"{size(artifact.size_bytes)} in {artifact.files} files",
        "kernel": artifact.kernel_version,
        "commit": commit,
        "tests": artifact.test_framework_path,
        "built": utc_time(artifact.build_timestamp),
        **{f"label {key}": value for key, value in artifact.metadata.items()},
    }
    for name, value in facts.items():
        if value:
            yield f"{one_line(name):<9} {one_line(value)}"
    yield from _names("module", artifact.modules)
    yield from _names("program", artifact.userspace_bins)
    yield from _names("left out", [f"{each.path}: {each.reason}" for each in artifact.excluded])


def diff_lines(diff: ArtifactDiff) -> Iterator[str]:
    """Changes marked `~`, `+` and `-`, then the commits; a long list of other files is cut."""
    parts = (
        ("~ module", diff.changed_modules),
        ("+ module", diff.added_modules),
        ("- module", diff.removed_modules),
        ("~ program", diff.changed_bins),
        ("+ program", diff.added_bins),
        ("- program", diff.removed_bins),
    )
    for sign, paths in parts:
        for path in paths:
            yield f"{sign:<9} {one_line(path)}"
    yield from _other_lines(diff)[:_SHOWN_PATHS]
    others = diff.other_changes
    if others or not any(paths for _, paths in parts):
        yield f"{others} other {'change' if others == 1 else 'changes'}"
    yield from (f"commit    {line}" for line in (diff.git_log or "").splitlines())


def _other_lines(diff: ArtifactDiff) -> list[str]:
    parts = (("~ other", diff.changed_others), ("+ other", diff.added_others), ("- other", diff.removed_others))
    return [f"{sign:<9} {one_line(path)}" for sign, paths in parts for path in paths]


def _artifact_row(artifact: BuildArtifact) -> list[str]:
    return [
        short_id(artifact.artifact_id),
        utc_time(artifact.registered_at),
        artifact.kernel_version or "-",
        str(len(artifact.modules)),
        str(len(artifact.userspace_bins)),
        size(artifact.size_bytes),
        artifact.git_branch or "-",
        artifact.source_path,
    ]


def _sync_row(node: NodeSync) -> list[str]:
    state = "failed" if node.error else "was complete" if node.skipped else "complete"
    return [
        node.node_name,
        state,
        "-" if node.skipped else size(node.bytes_transferred),
        f"{node.duration_s:.1f} s",
        short_id(node.basis) if node.basis else "-",
    ]


def _install_row(node: NodeInstall) -> list[str]:
    state = "failed" if node.error else "done"
    return [node.node_name, state, ", ".join(node.installed_module_paths) or "-", node.depmod_output or "-"]


def _names(what: str, names: Sequence[str]) -> Iterator[str]:
    for name in names[:_SHOWN_PATHS]:
        yield f"{what:<9} {one_line(name)}"
    if len(names) > _SHOWN_PATHS:
        yield f"{'':<9} and {len(names) - _SHOWN_PATHS} more; `-o json` lists them all"
