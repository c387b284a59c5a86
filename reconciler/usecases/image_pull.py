"""Pulls a published image: downloads it, compares it with its checksum, and keeps it under a name."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from reconciler.desired.base_images import format_and_size, why_unfit
from reconciler.errors import Conflict, ImageNotFound, InvalidArgument
from reconciler.files.atomic import reporting_os_errors
from reconciler.files.exposure import make_unexposed
from reconciler.image.arriving_file import ArrivingFile, arriving
from reconciler.image.catalogue import CATALOGUE, nearest_name
from reconciler.image.checksums import Checksum, find_checksum, sha256
from reconciler.image.http_download import DownloadLimits, amount, download_file, fetch_text
from reconciler.image.published import facts_of, is_unchanged
from reconciler.image.pulled import (
    CONVERTIBLE,
    RAW,
    InflatedImage,
    WrongChecksum,
    convert,
    describe_pulled,
    pull_description,
    put_in_place,
    refuse_foreign_description,
    verify,
)
from reconciler.image.web_address import file_name, is_address, require_safe, shown_address
from reconciler.model.named_image import ImageOrigin, PulledImage
from reconciler.model.names import image_path, is_image_name
from reconciler.progress import Progress
from reconciler.runtime import Runtime
from reconciler.usecases.named_images import kept_unused, look_for_uses, require_unused, seen_image

_TOLD_STEP = 10
_TOLD_STEP_BYTES = 64 << 20
_SUFFIXES = (".qcow2", ".img", ".raw", ".vdi", ".vhd", ".vhdx")


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """What to pull: a name of the catalogue, or an address; and how its content is known.

    With `force` an image of that name that is there already is replaced, unless something stands on it.
    """

    source: str
    name: str | None = None
    sha256: str | None = None
    checksum_url: str | None = None
    unverified: bool = False
    force: bool = False
    limits: DownloadLimits = field(default_factory=DownloadLimits)


@dataclass(frozen=True, slots=True)
class _ResolvedPull:
    """A request, resolved: under which name, from where, and how its content is known."""

    name: str
    url: str
    checksum_url: str | None
    checksum: Checksum | None
    request: PullRequest


async def pull_image(runtime: Runtime, request: PullRequest, progress: Progress) -> PulledImage:
    """Have a published image in `image_dir`; nothing is downloaded if it is there already.

    Raises `InvalidArgument` for a request that cannot be carried out, `ImageNotFound` if the publisher has no such
    image, `Conflict` if other content has the name, `OperationFailed` or `OperationTimeout` if it does not arrive.
    """
    wanted = _resolved(request)
    directory = runtime.settings.image_dir
    disk = image_path(directory, wanted.name)
    with reporting_os_errors(directory):
        await asyncio.to_thread(make_unexposed, directory, mode=0o755)
    if wanted.checksum_url is not None:
        wanted = replace(wanted, checksum=await _published_checksum(wanted, wanted.checksum_url))
    with arriving(disk.with_name(f"{disk.name}.part")) as file:
        reused = await asyncio.to_thread(_is_here, disk, wanted.checksum)
        if not reused:
            await _require_free(runtime, disk, wanted)
            try:
                digests = await _fetch_verified(wanted, file, progress)
                await _keep(runtime, wanted, file, digests, disk, progress)
            finally:
                progress.over(wanted.name)
        await asyncio.to_thread(file.discard)
    seen = await asyncio.to_thread(seen_image, disk, wanted.name, await look_for_uses(runtime, strict=False))
    return PulledImage(**dict(seen), reused=reused)


def require_published(image: str) -> None:
    """For those who may name no address of their own: raises `InvalidArgument` unless the catalogue has the image."""
    if image not in CATALOGUE:
        raise _unknown(image, hint="give one of these")


def _resolved(request: PullRequest) -> _ResolvedPull:
    """Raises `InvalidArgument`."""
    if is_address(request.source):
        require_safe(request.source)
        name = request.name or _name_in(request.source)
        url, checksum_url = request.source, request.checksum_url
    else:
        entry = CATALOGUE.get(request.source)
        if entry is None:
            raise _unknown(request.source, hint="give one of these, or the address of an image")
        name, url = request.name or request.source, entry.url
        checksum_url = request.checksum_url or entry.checksum_url
    if not is_image_name(name):
        raise InvalidArgument(
            f"{name[:80]!r} cannot be the name of an image",
            hint="choose a name of lower-case letters, digits, '.', '_', '+' and '-', without a suffix of letters",
        )
    checksum = _given_checksum(request)
    if checksum is not None or request.unverified:
        checksum_url = request.checksum_url
    if checksum_url is None and checksum is None and not request.unverified:
        raise InvalidArgument(
            f"nothing says what {shown_address(url)} has to contain",
            hint="give --sha256 or --checksum-url; or --unverified, to use whatever the server sends",
        )
    return _ResolvedPull(name, url, checksum_url, checksum, request)


def _given_checksum(request: PullRequest) -> Checksum | None:
    if request.unverified and (request.sha256 or request.checksum_url):
        raise InvalidArgument("--unverified contradicts a checksum", hint="give one of the two")
    if request.sha256 and request.checksum_url:
        raise InvalidArgument("--sha256 and --checksum-url say the same", hint="give one of the two")
    try:
        return sha256(request.sha256) if request.sha256 else None
    except ValueError as error:
        raise InvalidArgument(str(error)) from None


def _unknown(name: str, hint: str) -> InvalidArgument:
    near = nearest_name(name, ())
    what = f"{name[:80]!r} is no published image: there are {', '.join(CATALOGUE)}"
    return InvalidArgument(what, hint=f"did you mean {near}?" if near else hint)


def _name_in(url: str) -> str:
    """The name that an image gets from its address."""
    name = file_name(url).lower()
    return next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)


async def _published_checksum(wanted: _ResolvedPull, checksum_url: str) -> Checksum:
    text = await fetch_text(checksum_url, wanted.request.limits)
    try:
        return find_checksum(text, file_name(wanted.url))
    except ValueError as error:
        raise ImageNotFound(f"{shown_address(checksum_url)} {error}", hint="check both addresses") from None


def _is_here(disk: Path, checksum: Checksum | None) -> bool:
    """Whether the image is there as it is published. Blocking."""
    said = pull_description(disk)
    return (
        said is not None
        and checksum is not None
        and said.origin.checksum == str(checksum)
        and is_unchanged(disk, said.disk)
    )


async def _require_free(runtime: Runtime, disk: Path, wanted: _ResolvedPull) -> None:
    """Raise `Conflict` if something is there that may not be replaced: disks would stand on other content."""
    if not await asyncio.to_thread(os.path.lexists, disk):
        if not wanted.request.force:
            await asyncio.to_thread(refuse_foreign_description, disk)
        return
    said = await asyncio.to_thread(pull_description, disk)
    if not wanted.request.force:
        told = f"pulled {said.origin.pulled_at:%Y-%m-%d}" if said else "which was not pulled"
        hint = "replace it with --force, if nothing stands on it; or give another --name"
        raise Conflict(f"{disk} is there already, {told}, with other content", hint=hint)
    require_unused([disk], await look_for_uses(runtime, strict=True))


async def _fetch_verified(wanted: _ResolvedPull, file: ArrivingFile, progress: Progress) -> Mapping[str, str]:
    """Download the image; returns its digests by algorithm.

    One that was joined from parts and is wrong may be of two versions: it is fetched once more.
    """
    tried = False
    while True:
        await download_file(wanted.url, file, wanted.request.limits, _Percent(wanted.name, progress))
        if wanted.checksum is not None:
            progress.advanced(wanted.name, f"comparing it with its {wanted.checksum.algorithm}")
        try:
            return await asyncio.to_thread(verify, file.path, wanted.checksum)
        except WrongChecksum:
            if tried or not file.joined:
                await asyncio.to_thread(file.discard)
                raise
            await asyncio.to_thread(file.begin)
        progress.finished(wanted.name, "the parts do not belong together; downloading all of it again")
        tried = True


async def _keep(
    runtime: Runtime,
    wanted: _ResolvedPull,
    file: ArrivingFile,
    digests: Mapping[str, str],
    disk: Path,
    progress: Progress,
) -> None:
    """Convert what has arrived, if need be, and give it its name, unless something has come to stand on its place."""
    found, _ = await asyncio.to_thread(format_and_size, file.path)
    if found not in CONVERTIBLE or found == RAW:
        await _require_fit(wanted, file, file.path)
    made, digest = file.path, digests["sha256"]
    if found in CONVERTIBLE:
        progress.advanced(wanted.name, f"converting it from {found} to qcow2")
        made = await _converted(wanted, file, found)
        await _require_fit(wanted, file, made)
        digest = (await asyncio.to_thread(facts_of, made)).sha256
    checksum = wanted.checksum or Checksum("sha256", digests["sha256"])
    origin = ImageOrigin(
        url=shown_address(wanted.url),
        checksum=str(checksum),
        verified=wanted.checksum is not None,
        format=found,
        pulled_at=datetime.now(UTC),
    )
    description = await asyncio.to_thread(describe_pulled, made, origin, digest)
    replaces = wanted.request.force
    async with kept_unused(runtime, [disk]) if replaces else nullcontext():
        await asyncio.to_thread(put_in_place, made, disk, description, replace=replaces)


async def _converted(wanted: _ResolvedPull, file: ArrivingFile, found: str) -> Path:
    try:
        await convert(file.path, found, file.made)
    except InflatedImage as error:
        await asyncio.to_thread(file.discard)
        raise ImageNotFound(f"what {shown_address(wanted.url)} sends cannot be used: {error}") from error
    return file.made


async def _require_fit(wanted: _ResolvedPull, file: ArrivingFile, made: Path) -> None:
    """Raise `ImageNotFound`, with all that has arrived removed, if no machine can start from the image."""
    why = await asyncio.to_thread(why_unfit, made)
    if why is not None:
        await asyncio.to_thread(file.discard)
        raise ImageNotFound(f"what {shown_address(wanted.url)} sends cannot be used: {why.replace(str(made), 'it')}")


class _Percent:
    """Reports how far a download is: each percent where a front end has a place for that, otherwise each tenth.

    Where the size is not known, it is every 64 MiB.
    """

    def __init__(self, name: str, progress: Progress) -> None:
        self._name = name
        self._progress = progress
        self._step = 1 if progress.advance is not None else _TOLD_STEP
        self._told = -1

    def __call__(self, have: int, size: int | None) -> None:
        step = have * 100 // size // self._step if size else have // _TOLD_STEP_BYTES
        if step != self._told:
            self._told = step
            of = f"{have * 100 // size} % of {amount(size)}" if size else amount(have)
            self._progress.advanced(self._name, of)
