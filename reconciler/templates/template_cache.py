"""The templates of this host on disk: one directory each, which appears whole and is never changed.

A directory is prepared under another name, its manifest is written last, and renaming it publishes it. Clones copy the
root disk's few megabytes and read the memory, so a template can be removed at any time: nothing stands on its files.

A machine restored from a memory runs whatever is in it, so no template is used that other users could have changed.
What is none, of whatever kind, is passed over.
"""

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from reconciler.errors import OperationFailed, meant
from reconciler.files.atomic import fsync_path, reporting_os_errors, write_whole
from reconciler.files.exposure import exposure_of, make_unexposed, require_unexposed
from reconciler.files.locks import remove_lock
from reconciler.files.marked_files import directory_names
from reconciler.files.plain import read_plain_file
from reconciler.files.space import allocated_bytes
from reconciler.host.disks.image_file import image_identity
from reconciler.image.published import FileFacts, facts_of, is_intact, is_unchanged
from reconciler.model.base import Frozen
from reconciler.model.document import TemplateSpec
from reconciler.model.template import TemplateInfo

_MANIFEST, _ROOT, _MEMORY, _USED = "template.json", "root.qcow2", "memory", "used"
_PREPARED, _LOCK, _FAILURE = ".prepared-", ".lock-", ".failed-"
_DIRECTORY_MODE = 0o711
_FROZEN_MODE = 0o400
_KEY = re.compile(r"[0-9a-f]{16}")
_MANIFEST_LIMIT_BYTES = 64 * 1024
_NO_MANIFEST = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EINVAL, errno.EFBIG}
)
"""Errors of opening something that is no manifest."""
_LONG_AGO_S = 86400.0
MOST_BYTES = 8 << 30
"""What templates may take on disk together; the ones not used for longest go first."""


class TemplateManifest(Frozen):
    """What a template is made of; without it there is none."""

    spec: TemplateSpec
    emulator: str
    built_at: datetime
    root: FileFacts
    memory: FileFacts


@dataclass(frozen=True, slots=True)
class Template:
    """A template's files."""

    directory: Path

    @property
    def root(self) -> Path:
        """The root disk's own layer, which stands on the image."""
        return self.directory / _ROOT

    @property
    def memory(self) -> Path:
        """The machine's memory, as libvirt saved it."""
        return self.directory / _MEMORY


@dataclass(frozen=True, slots=True)
class TemplateCache:
    """The templates below one directory. Everything here blocks."""

    directory: Path

    def find(self, spec: TemplateSpec, emulator: str) -> Template | None:
        """The template of that state, if it is there, unchanged, and was saved by this emulator.

        Raises `Conflict` if other users can change it.
        """
        template = Template(self.directory / spec.key)
        with reporting_os_errors(template.directory):
            require_unexposed(template.directory)
        manifest = _manifest(template)
        if manifest is None or manifest.emulator != emulator or manifest.spec != spec or _trouble(template, manifest):
            return None
        with reporting_os_errors(template.directory):
            (template.directory / _USED).touch()
        return template

    def open(self) -> None:
        """Create the directory if it is missing; QEMU's user must be able to enter it."""
        with reporting_os_errors(self.directory):
            make_unexposed(self.directory, mode=_DIRECTORY_MODE)

    def prepare(self, key: str) -> Template:
        """An empty directory for a new template. The caller holds the lock of `lock_path`."""
        prepared = self.directory / f"{_PREPARED}{key}"
        with reporting_os_errors(prepared):
            shutil.rmtree(prepared, ignore_errors=True)
            prepared.mkdir(mode=0o700)
            prepared.chmod(_DIRECTORY_MODE)
        return Template(prepared)

    def publish(self, prepared: Template, spec: TemplateSpec, emulator: str) -> Template:
        """Give a complete template its name, in place of an older one of the same key."""
        with reporting_os_errors(prepared.directory):
            for path in (prepared.root, prepared.memory):
                path.chmod(_FROZEN_MODE)
                fsync_path(path)
            manifest = TemplateManifest(
                spec=spec,
                emulator=emulator,
                built_at=datetime.now(UTC),
                root=facts_of(prepared.root),
                memory=facts_of(prepared.memory),
            )
            write_whole(prepared.directory / _MANIFEST, manifest.model_dump_json(indent=2).encode())
            (prepared.directory / _USED).touch()
            self.remove(spec.key)
            self._failure_path(spec.key).unlink(missing_ok=True)
            prepared.directory.rename(self.directory / spec.key)
            fsync_path(self.directory)
        self._make_room(keeping=spec.key)
        return Template(self.directory / spec.key)

    def discard(self, prepared: Template) -> None:
        """Remove what was prepared in vain."""
        shutil.rmtree(prepared.directory, ignore_errors=True)

    def note_failure(self, key: str, why: str) -> None:
        """Tell later processes that a template could not be built; not if there is no directory of templates yet."""
        with suppress(OSError):
            if self.directory.is_dir():
                write_whole(self._failure_path(key), why.encode())

    def failure(self, key: str, *, within_s: float) -> str:
        """Why a template could not be built, if that is not longer ago; else nothing."""
        try:
            path = self._failure_path(key)
            age_s = datetime.now(UTC).timestamp() - path.stat().st_mtime
            return path.read_text(errors="replace") if age_s < within_s else ""
        except OSError:
            return ""

    def lock_path(self, key: str) -> Path:
        """Held by the process that builds the template."""
        return self.directory / f"{_LOCK}{key}"

    def listed(self, *, whole: bool = False) -> list[TemplateInfo]:
        """All templates by key; with `whole`, their files are read and compared with their digests."""
        return [info for key in sorted(self._keys()) if (info := self._info(key, whole=whole)) is not None]

    def remove(self, key: str) -> bool:
        """Remove a template; whether there was one. Clones of it keep what they have."""
        directory = self.directory / key
        with reporting_os_errors(directory):
            if not (directory / _MANIFEST).exists():
                return False
            (directory / _MANIFEST).unlink()  # from here on it is none, however far the rest gets
            shutil.rmtree(directory)
        return True

    def require(self, key: str) -> None:
        """Raise `OperationFailed` if there is no such template."""
        if key not in (known := list(self._keys())):
            hint = meant(key, known, "`vmcluster template list` shows all")
            raise OperationFailed(f"there is no template {key}", hint=hint)

    def _failure_path(self, key: str) -> Path:
        return self.directory / f"{_FAILURE}{key}"

    def _keys(self) -> Iterator[str]:
        return (name for name in directory_names(self.directory) if _KEY.fullmatch(name))

    def _info(self, key: str, *, whole: bool) -> TemplateInfo | None:
        template = Template(self.directory / key)
        manifest = _manifest(template)
        if manifest is None:
            return None
        return TemplateInfo(
            key=key,
            image=manifest.spec.image,
            memory_mb=manifest.spec.memory_mb,
            vcpus=manifest.spec.vcpus,
            built_at=manifest.built_at,
            used_at=_used_at(template) or manifest.built_at,
            size_bytes=allocated_bytes(template.root) + allocated_bytes(template.memory),
            trouble=_trouble(template, manifest, whole=whole),
        )

    def _sweep(self, key: str) -> None:
        """Remove what a killed build has left; one that goes on holds its lock."""
        remove_lock(self.lock_path(key))
        if not self.lock_path(key).exists():
            shutil.rmtree(self.directory / f"{_PREPARED}{key}", ignore_errors=True)

    def _make_room(self, *, keeping: str) -> None:
        """Remove what a kill left of building, and the templates not used for longest if all take too much."""
        for name in directory_names(self.directory):
            if name.startswith(_PREPARED):
                self._sweep(name.removeprefix(_PREPARED))
            elif name.startswith(_FAILURE) and not self.failure(name.removeprefix(_FAILURE), within_s=_LONG_AGO_S):
                (self.directory / name).unlink(missing_ok=True)
        known = sorted(self.listed(), key=lambda of: of.used_at)
        total = sum(of.size_bytes for of in known)
        for info in known:
            if total <= MOST_BYTES:
                return
            if info.key != keeping:
                self.remove(info.key)
                total -= info.size_bytes


def _manifest(template: Template) -> TemplateManifest | None:
    try:
        content = read_plain_file(template.directory / _MANIFEST, limit_bytes=_MANIFEST_LIMIT_BYTES)
        return TemplateManifest.model_validate_json(content)
    except ValidationError:
        return None
    except OSError as error:
        if error.errno in _NO_MANIFEST:
            return None
        raise OperationFailed(f"cannot read {template.directory}: {error.strerror}") from error


def _used_at(template: Template) -> datetime | None:
    try:
        return datetime.fromtimestamp((template.directory / _USED).stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def _trouble(template: Template, manifest: TemplateManifest, *, whole: bool = False) -> str:
    """Why no node may start from a template; empty if it is intact."""
    with reporting_os_errors(template.directory):
        exposure = exposure_of(template.directory)
    if exposure is not None:
        return str(exposure)
    if image_identity(manifest.spec.image) != manifest.spec.image_identity:
        return f"its image {manifest.spec.image} was replaced"
    same = is_intact if whole else is_unchanged
    damaged = [
        path.name
        for path, facts in ((template.root, manifest.root), (template.memory, manifest.memory))
        if not same(path, facts)
    ]
    return f"damaged: {', '.join(damaged)}" if damaged else ""
