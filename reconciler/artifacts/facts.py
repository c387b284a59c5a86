"""Facts about a tree, derived from its entries; pure."""

import posixpath
import re
from collections import Counter
from collections.abc import Sequence

from reconciler.artifacts.tree_entries import EntryKind, Role, TreeEntry, path_text

UTS_RELEASE_PATHS = (b"include/generated/utsrelease.h", b"include/config/kernel.release")
"""Where a built kernel tree records its version (Makefile of the kernel, `filechk_utsrelease.h`)."""

_TEST_DIRECTORIES = (b"tools/testing/selftests", b"tests", b"test", b"t")
_UTS_RELEASE = re.compile(rb'#define\s+UTS_RELEASE\s+"([^"\n]{1,64})"')
_BARE_RELEASE = re.compile(rb"\s*([!-~]{1,64})\s*")


def modules(entries: Sequence[TreeEntry]) -> list[TreeEntry]:
    """The kernel modules, sorted by path."""
    return _with_role(entries, Role.MODULE)


def programs(entries: Sequence[TreeEntry]) -> list[TreeEntry]:
    """The ELF executables, sorted by path."""
    return _with_role(entries, Role.EXECUTABLE)


def test_directory(entries: Sequence[TreeEntry]) -> str | None:
    """The directory that holds the tests: the first of the usual top-level names that exists."""
    directories = {entry.path for entry in entries if entry.kind is EntryKind.DIRECTORY}
    return next((path_text(path) for path in _TEST_DIRECTORIES if path in directories), None)


def release_of(vermagic: str) -> str:
    """The kernel release at the beginning of a version magic (include/linux/vermagic.h)."""
    return vermagic.partition(" ")[0]


def kernel_version(entries: Sequence[TreeEntry], release_file: bytes | None) -> str | None:
    """The kernel that the tree is, or is for: what the built kernel says, else what most of its modules say."""
    if release_file is not None and (said := parse_release(release_file)):
        return said
    releases = Counter(release_of(entry.vermagic) for entry in modules(entries) if entry.vermagic)
    return min(releases, key=lambda release: (-releases[release], release)) if releases else None


def parse_release(content: bytes) -> str | None:
    """The version in `utsrelease.h` or `kernel.release`."""
    match = _UTS_RELEASE.search(content) or _BARE_RELEASE.fullmatch(content)
    return match[1].decode("ascii", errors="backslashreplace") if match else None


def packages(entries: Sequence[TreeEntry], ending: bytes) -> list[TreeEntry]:
    """The package files with that suffix, sorted by name."""
    found = [entry for entry in entries if entry.kind is EntryKind.FILE and entry.path.endswith(ending)]
    return sorted(found, key=lambda entry: (posixpath.basename(entry.path), entry.path))


def _with_role(entries: Sequence[TreeEntry], role: Role) -> list[TreeEntry]:
    return sorted((entry for entry in entries if entry.role is role), key=lambda entry: entry.path)
