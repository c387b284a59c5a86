"""The build's own directory: package files, finished stages, and work that can be discarded."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from reconciler.errors import Conflict, HostCapabilityMissing
from reconciler.files.atomic import fsync_path
from reconciler.files.exposure import make_unexposed
from reconciler.process import run

_ROOT_PREFIX = "root-"
_IMAGE_PREFIX = "image-"
_REMOVE_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class ImageCache:
    """Finished stages by digest; a name appears once its content is complete and on disk."""

    directory: Path

    @contextmanager
    def locked(self) -> Iterator[Self]:
        """Keep other builds out; raises `Conflict` if one is running. A killed build holds nothing."""
        for directory in (self.packages_dir, self._work_dir):
            make_unexposed(directory, mode=0o755)
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._take(descriptor)
            yield self
        finally:
            os.close(descriptor)

    @property
    def packages_dir(self) -> Path:
        """The package files that apt has downloaded before."""
        return self.directory / "packages"

    def root_tar(self, digest: str) -> Path:
        """The root file system built from that recipe, if it exists."""
        return self.directory / f"{_ROOT_PREFIX}{digest}.tar"

    def image(self, digest: str) -> Path:
        """The directory of the image built from that recipe, if it exists."""
        return self.directory / f"{_IMAGE_PREFIX}{digest}"

    def new_work_dir(self) -> Path:
        """An empty directory, removed by the next build at the latest."""
        work = Path(tempfile.mkdtemp(dir=self._work_dir))
        work.chmod(0o755)  # the package manager's own user must be able to enter it
        return work

    def keep_image(self, work: Path, digest: str) -> None:
        """Give a finished image its name."""
        for file in work.iterdir():
            fsync_path(file)
        shutil.rmtree(self.image(digest), ignore_errors=True)
        work.rename(self.image(digest))

    async def clear_work(self, as_root: tuple[str, ...]) -> None:
        """Remove what interrupted builds left behind; `as_root` is the prefix of the command."""
        self._refuse_mounts()
        for left in self._work_dir.iterdir():
            await run([*as_root, "rm", "-rf", "--one-file-system", str(left)], timeout_s=_REMOVE_TIMEOUT_S)

    def prune(self, keep: set[str]) -> None:
        """Remove the stages of other recipes; the package files stay."""
        for path in self.directory.iterdir():
            name = path.name.removesuffix(".tar")
            digest = name.removeprefix(_ROOT_PREFIX).removeprefix(_IMAGE_PREFIX)
            if digest == name or digest in keep:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def require_space(self, needed_bytes: int) -> None:
        """Raise `HostCapabilityMissing` if there is not enough space to finish a stage."""
        free_bytes = shutil.disk_usage(self.directory).free
        if free_bytes < needed_bytes:
            raise HostCapabilityMissing(
                f"{self.directory} has {free_bytes >> 20} MiB free; building the image needs {needed_bytes >> 20} MiB",
                hint="free some space, or give a cache directory on another file system",
            )

    def _take(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"another image build is using {self.directory}", hint="wait for it, or give another cache directory"
            ) from None

    def _refuse_mounts(self) -> None:
        if f" {self._work_dir}/" in Path("/proc/self/mountinfo").read_text():
            raise Conflict(
                f"something is still mounted under {self._work_dir}", hint="unmount it; removing it could remove more"
            )

    @property
    def _work_dir(self) -> Path:
        return self.directory / "work"
