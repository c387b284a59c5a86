"""What git knows of a build tree. A tree may belong to somebody else: no program named in its configuration is run."""

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import HostCapabilityMissing, HostCommandFailed
from reconciler.files.roots import Opened, Roots, why_out_of_reach
from reconciler.process import Completed, run

_LOG_MAX_LINES = 200
_TIMEOUT_S = 20.0
_MOST_DIRECTORIES = 100_000
_HOOKS = "hooks"
"""Often links to scripts elsewhere; nothing here runs them or reads their names."""
# Without these git may run programs that the repository's own configuration names (git-config(1)); with
# safe.directory it answers root about a user's tree.
_HARMLESS = ("safe.directory=*", "core.fsmonitor=false", "log.showSignature=false", "core.pager=cat")
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}


@dataclass(frozen=True, slots=True)
class GitFacts:
    """Commit and branch; no branch on a detached head, neither without a repository or a commit."""

    sha: str | None = None
    branch: str | None = None


async def git_facts(source: Opened) -> GitFacts:
    """Commit and branch of the repository that holds the tree; nothing if it is out of the caller's reach."""
    tree = Path(f"/proc/{os.getpid()}/fd/{source.held.fileno()}")  # the opened directory, even if it was renamed
    try:
        if not await _within_reach(tree, source.roots):
            return GitFacts()
        sha = await _git(tree, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        branch = await _git(tree, "symbolic-ref", "--short", "--quiet", "HEAD")
    except (HostCapabilityMissing, HostCommandFailed):
        return GitFacts()
    return GitFacts(_said(sha), _said(branch))


async def _within_reach(tree: Path, roots: tuple[Roots, ...]) -> bool:
    """Whether the repository, wherever a `.git` file in the tree leads, is open to the caller who named the tree."""
    answer = await _git(tree, "rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir")
    if answer.exit_code != 0:
        return False
    places = [Path(os.fsdecode(line)) for line in answer.stdout.splitlines()]
    limited = bool(roots) and all(of.directories is not None for of in roots)
    return not limited or await asyncio.to_thread(_are_open, places, roots)


def _are_open(places: Iterable[Path], roots: tuple[Roots, ...]) -> bool:
    """Whether all that git reads in these directories is open: it follows links, whatever they stand for.

    Objects that are borrowed from other repositories (gitrepository-layout(5)) may be anybody's.
    """
    ahead, seen = list(places), set[str]()
    if any((place / "objects" / "info" / "alternates").exists() for place in ahead):
        return False
    while ahead:
        place = ahead.pop()
        if (real := os.path.realpath(place)) in seen:
            continue
        seen.add(real)
        if why_out_of_reach(place, *roots) or len(seen) > _MOST_DIRECTORIES:
            return False
        if place.is_dir():
            ahead += _ways_on(place)
    return True


def _ways_on(directory: Path) -> list[Path]:
    """The links and directories in a directory of a repository."""
    with os.scandir(directory) as entries:
        return [
            Path(entry.path)
            for entry in entries
            if entry.name != _HOOKS and (entry.is_symlink() or entry.is_dir(follow_symlinks=False))
        ]


async def git_log(tree: Path, since_sha: str, until_sha: str) -> str | None:
    """One line per commit between the two, newest first, at most 200; None if git cannot tell."""
    arguments = ("log", "--no-color", "--format=%h %s", f"--max-count={_LOG_MAX_LINES}", f"{since_sha}..{until_sha}")
    try:
        answer = await _git(tree, *arguments, "--")
    except (HostCapabilityMissing, HostCommandFailed):
        return None
    return answer.stdout.decode(errors="backslashreplace") if answer.exit_code == 0 else None


async def _git(tree: Path, *arguments: str) -> Completed:
    options = [word for each in _HARMLESS for word in ("-c", each)]
    argv = ["git", "-C", str(tree), *options, *arguments]
    return await run(argv, timeout_s=_TIMEOUT_S, env=_ENVIRONMENT, check=False)


def _said(answer: Completed) -> str | None:
    return (answer.stdout.decode(errors="backslashreplace").strip() or None) if answer.exit_code == 0 else None
