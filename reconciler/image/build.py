"""Builds the guest image: packages from the distribution's archive become a disk that boots.

Each stage leaves its result in the cache under the digest of its inputs, complete or not at all, so an interrupted
build continues where it was, and a build with nothing to do ends at once.
"""

import asyncio
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import HostCapabilityMissing, HostCommandFailed
from reconciler.files.atomic import fsync_path
from reconciler.image import recipe as making
from reconciler.image.apt_sources import guest_sources, kept_acquire_options
from reconciler.image.boot_sector import render_boot_area
from reconciler.image.image_cache import ImageCache
from reconciler.image.overlay import kernel_command_line, overlay_files
from reconciler.image.published import (
    ImageFiles,
    describe,
    discard_staged,
    facts_of,
    is_current,
    is_unchanged,
    publish_staged,
    read_description,
    refuse_foreign,
    require_files,
    stage_image,
)
from reconciler.image.recipe import Recipe
from reconciler.process import run
from reconciler.programs import find_program, proxies

Progress = Callable[[str, float | None], None]
"""Called at each step with its name and the finished part of the whole, from 0 to 1, if known."""

Replacing = Callable[[], AbstractAsyncContextManager[None]]
"""Entered to replace the image: raises if that cannot be, and keeps it possible until it is left."""

_MMDEBSTRAP_TIMEOUT_S = 3600.0
_DISK_STEP_TIMEOUT_S = 900.0
_ROOT_NEEDS_BYTES = 1800 * 1024**2
_DISK_NEEDS_BYTES = 1400 * 1024**2
_OS_RELEASE = Path("/etc/os-release")
_APT_DIR = Path("/etc/apt")


@dataclass(frozen=True, slots=True)
class ImageBuild:
    """A finished image: its files, their inputs, and whether they already existed."""

    disk: Path
    kernel: Path
    initrd: Path
    description: Path
    kernel_version: str
    recipe_digest: str
    cmdline: str
    size_bytes: int
    reused: bool


def no_progress(_step: str, _fraction: float | None) -> None:
    """Report nothing."""


async def build_image(
    target: Path,
    *,
    cache_dir: Path,
    progress: Progress = no_progress,
    force: bool = False,
    recipe: Recipe | None = None,
    replacing: Replacing = nullcontext,
) -> ImageBuild:
    """Build `target` and, beside it under the same stem, `.vmlinuz`, `.initrd` and `.json`.

    Does nothing if the existing files are unchanged and built from the same recipe. `force` rebuilds everything from
    the archive's present packages and replaces whatever is at `target`, if `replacing` lets it. An image is never
    changed in place: machines on the old one keep it. Raises `HostCapabilityMissing` (a tool, or space),
    `HostCommandFailed` (mostly: the archive cannot be reached) and `Conflict` (another build is running, or the file at
    `target` was built by something else).
    """
    recipe = recipe or Recipe()
    files = ImageFiles.beside(target)
    await asyncio.to_thread(require_files, files)
    digest = making.image_digest(recipe)
    if not force and await asyncio.to_thread(is_current, files, digest):
        progress("unchanged", 1.0)
        return _built(files, reused=True)
    said = await asyncio.to_thread(read_description, files)
    if force or said is None or said.recipe_digest != digest:  # rather now than after the minutes that a build takes
        await _check_place(files, replacing, force=force)
    with ImageCache(cache_dir).locked() as cache:
        await cache.clear_work(_as_root())
        made = await _image(cache, recipe, progress, force=force)
        progress("publishing", 0.95)
        await _publish(made, files, replacing, force=force)
        cache.prune(keep={making.root_digest(recipe), digest})
        await cache.clear_work(_as_root())
    progress("done", 1.0)
    return _built(files, reused=False)


async def _check_place(files: ImageFiles, replacing: Replacing, *, force: bool) -> None:
    async with replacing():
        if not force:
            await asyncio.to_thread(refuse_foreign, files)


async def _publish(made: ImageFiles, files: ImageFiles, replacing: Replacing, *, force: bool) -> None:
    """Give the image its names, unless something has come to their places; an equal disk replaces nothing."""
    is_there = await asyncio.to_thread(lambda: is_unchanged(files.disk, facts_of(made.disk)))
    try:
        await asyncio.to_thread(stage_image, made, files)
        async with nullcontext() if is_there else replacing():
            if not force:
                await asyncio.to_thread(refuse_foreign, files)
            await asyncio.to_thread(publish_staged, files)
    finally:
        await asyncio.to_thread(discard_staged, files)


async def _image(cache: ImageCache, recipe: Recipe, progress: Progress, *, force: bool) -> ImageFiles:
    """The finished files in the cache."""
    digest = making.image_digest(recipe)
    made = ImageFiles.beside(cache.image(digest) / "image.qcow2")
    if not force and is_current(made, digest):
        return made
    root_tar = await _root(cache, recipe, progress, force=force)
    progress("assembling the disk", 0.75)
    cache.require_space(_DISK_NEEDS_BYTES)
    work = cache.new_work_dir()
    await _make_disk(ImageFiles.beside(work / "image.qcow2"), root_tar, recipe, work)
    await asyncio.to_thread(cache.keep_image, work, digest)
    return made


async def _root(cache: ImageCache, recipe: Recipe, progress: Progress, *, force: bool) -> Path:
    """The root file system in the cache, as a tar archive."""
    kept = cache.root_tar(making.root_digest(recipe))
    if kept.exists() and not force:
        return kept
    progress("installing packages", 0.05)
    cache.require_space(_ROOT_NEEDS_BYTES)
    work = cache.new_work_dir()
    await _run_mmdebstrap(cache, recipe, work)
    progress("caching the packages", 0.7)
    await asyncio.to_thread(fsync_path, work / "root.tar")
    (work / "root.tar").rename(kept)
    return kept


async def _run_mmdebstrap(cache: ImageCache, recipe: Recipe, work: Path) -> None:
    (work / "overlay.tar").write_bytes(making.render_overlay(overlay_files()))
    (work / "finish").write_text(recipe.finish)
    (work / "finish").chmod(0o755)
    argv = making.render_mmdebstrap(
        recipe,
        mode="root" if _is_root() else "unshare",
        work_dir=work,
        packages_dir=cache.packages_dir,
        sources=_write_sources(work, recipe),
        apt_options=await _apt_options(),
    )
    with _package_errors_explained():
        # No SOURCE_DATE_EPOCH: with it Python compares a hash of each source file at each start (PEP 552).
        await run(argv, timeout_s=_MMDEBSTRAP_TIMEOUT_S, env={**proxies(), "TMPDIR": str(work), "LC_ALL": "C.UTF-8"})


async def _make_disk(files: ImageFiles, root_tar: Path, recipe: Recipe, work: Path) -> None:
    root_dir, raw = work / "root", work / "disk.raw"
    with tarfile.open(root_tar) as archive:
        kernel_version = _take_boot_files(archive, files)
        boot_area = render_boot_area(
            _content(archive, making.BOOT_IMG_PATH), _content(archive, making.CORE_IMG_PATH), recipe.disk_bytes
        )
    root_dir.mkdir()
    await _run_as_root(["tar", "--numeric-owner", "--xattrs", "-xf", str(root_tar), "-C", str(root_dir)])
    with raw.open("wb") as disk:
        disk.truncate(recipe.disk_bytes)
    await _run_as_root(making.render_mke2fs(recipe, root_dir=root_dir, disk=raw))
    with raw.open("r+b") as disk:
        disk.write(boot_area)
    await run(
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(files.disk)], timeout_s=_DISK_STEP_TIMEOUT_S
    )
    raw.unlink()
    await _run_as_root(["rm", "-rf", str(root_dir)])
    describe(files, making.image_digest(recipe), kernel_version, kernel_command_line())


def _take_boot_files(archive: tarfile.TarFile, files: ImageFiles) -> str:
    """Write kernel and initrd beside the disk; returns the kernel's version."""
    files.kernel.write_bytes(_content(archive, making.KERNEL_LINK))
    files.initrd.write_bytes(_content(archive, making.INITRD_LINK))
    return archive.getmember(f"./{making.KERNEL_LINK}").linkname.removeprefix("boot/vmlinuz-")


def _content(archive: tarfile.TarFile, path: str) -> bytes:
    file = archive.extractfile(f"./{path}")
    assert file is not None, f"{path} is not a file"
    return file.read()


def _write_sources(work: Path, recipe: Recipe) -> Path | None:
    """The host's own archives for the guest's release; None if the host is not a Debian."""
    codename = _host_debian_codename()
    if codename is None:
        return None
    files = [_APT_DIR / "sources.list", *sorted((_APT_DIR / "sources.list.d").glob("*"))]
    texts = [file.read_text() for file in files if file.suffix in (".list", ".sources") and file.is_file()]
    lines = guest_sources(texts, codename, recipe.codename)
    if not lines:
        return None
    sources = work / "sources.list"
    sources.write_text("\n".join(lines) + "\n")
    return sources


def _host_debian_codename() -> str | None:
    pairs = (line.partition("=") for line in _OS_RELEASE.read_text().splitlines())
    fields = {name: value.strip('"') for name, _equals, value in pairs}
    return fields.get("VERSION_CODENAME") if fields.get("ID") == "debian" else None


async def _apt_options() -> list[str]:
    """What apt on this host needs to reach its archives: proxies, mostly."""
    if find_program("apt-config") is None:
        return []
    return kept_acquire_options((await run(["apt-config", "dump"])).stdout.decode(errors="replace"))


def _is_root() -> bool:
    return os.geteuid() == 0


def _as_root() -> tuple[str, ...]:
    """The prefix of a command that must see itself as root, as the owner of the image's files."""
    return () if _is_root() else ("mmdebstrap", "--unshare-helper")


async def _run_as_root(argv: list[str]) -> None:
    await run([*_as_root(), *argv], timeout_s=_DISK_STEP_TIMEOUT_S)


_REMEDIES = {
    "unshare": "run as root, or allow user namespaces and give this user a range in /etc/subuid and /etc/subgid",
    "newuidmap": "install the package uidmap, or run as root",
    "keyring": "install the package debian-archive-keyring",
    "NO_PUBKEY": "install the package debian-archive-keyring",
    "No space left": "free space for the cache directory, then run it again",
}
_NETWORK_SIGNS = ("Could not resolve", "Failed to fetch", "Could not connect", "Cannot initiate", "Unable to connect")


@contextmanager
def _package_errors_explained() -> Iterator[None]:
    try:
        yield
    except HostCapabilityMissing as error:
        raise HostCapabilityMissing(
            error.message, hint="install the packages mmdebstrap, qemu-utils and e2fsprogs"
        ) from None
    except HostCommandFailed as error:
        raise HostCommandFailed(f"the guest's packages: {error.message}", hint=_remedy(error.message)) from None


def _remedy(message: str) -> str:
    if any(sign in message for sign in _NETWORK_SIGNS):
        return (
            "the package archive cannot be reached: check the network, apt's sources and its proxy, then run it again"
        )
    return next(
        (remedy for sign, remedy in _REMEDIES.items() if sign in message), "see the lines above, then run it again"
    )


def _built(files: ImageFiles, *, reused: bool) -> ImageBuild:
    said = read_description(files)
    assert said is not None, "the image has just been described"
    return ImageBuild(
        disk=files.disk,
        kernel=files.kernel,
        initrd=files.initrd,
        description=files.description,
        kernel_version=said.kernel_version,
        recipe_digest=said.recipe_digest,
        cmdline=said.cmdline,
        size_bytes=said.files["disk"].size_bytes,
        reused=reused,
    )
