"""Fetches disk images that this host lacks from hosts that have them, and serves its own to the others.

A fetch goes on in the background, so that nobody waits for it who does not need the image.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog

from reconciler.errors import ClusterError, Conflict, ImageUnderWay, OperationFailed, error_to_answer
from reconciler.model import names
from reconciler.model.event import Cause, ClusterEvent, EventKind
from reconciler.model.host import HostRecord
from reconciler.model.names import ROOT_DISK, parse_layer_name
from reconciler.model.record import ClusterRecord, ImageFile
from reconciler.observe.host_report import (
    digest_of_image,
    exchanges_images,
    image_key_path,
    own_image_key,
    path_of_image,
)
from reconciler.settings import Settings
from reconciler.store.protocol import Store

log = structlog.get_logger(__name__)

_SHORT_S = 3.0
"""So long a round waits for an image, as small ones are there at once."""
_TOLD_STEP = 10


@dataclass(slots=True)
class _Fetch:
    """An image on its way, to the cluster that first asked for it."""

    image: ImageFile
    cluster: str
    host: str = ""
    done_bytes: int = 0
    size_bytes: int = 0
    told_percent: int = 0
    wrong: set[str] = field(default_factory=set)
    task: "asyncio.Task[None] | None" = None

    @property
    def percent(self) -> int:
        return self.done_bytes * 100 // self.size_bytes if self.size_bytes else 0


class ImageExchange:
    """What this process gives and fetches."""

    def __init__(self, store: Store, settings: Settings) -> None:
        """Only images that are directly in the configured directory are given or fetched."""
        self._store = store
        self._settings = settings
        self._directory = settings.image_dir
        self._fetches: dict[Path, _Fetch] = {}
        self._beginning = asyncio.Lock()
        self.port = 0
        """Where this process gives images; 0 while it does not."""

    async def require(self, part: ClusterRecord) -> None:
        """Return if the images that disks are to be made on are here, or no other host is known to have those missing.

        Otherwise they are fetched: raises `ImageUnderWay` with how far that is, until they are here. Raises
        `Conflict` if something else is in the place of one.
        """
        if not exchanges_images(self._settings) or part.deletion is not None:
            return
        for image in await asyncio.to_thread(self._missing, part):
            await self._have(image, part.cluster_name)

    @asynccontextmanager
    async def giving(self) -> AsyncIterator[None]:
        """Give images to the other hosts of the store; where the port is taken, the log says so and none are given."""
        if not exchanges_images(self._settings):
            yield
            return
        from reconciler.host.image_transfer.image_service import ImageService  # noqa: PLC0415  asyncssh

        await asyncio.to_thread(own_image_key, self._settings)
        service = ImageService(image_key_path(self._settings), self._keys, self._find)
        try:
            self.port = await service.open(str(self._settings.host_address), self._settings.host_image_port)
        except OperationFailed as error:
            log.warning("images_not_given", cause=str(error))
        try:
            yield
        finally:
            self.port = 0
            await service.close()

    async def sweep(self) -> None:
        """Remove what has arrived of images that nobody has gone on fetching for long."""
        from reconciler.host.image_transfer.image_download import sweep_arriving  # noqa: PLC0415  asyncssh

        for partial in await asyncio.to_thread(sweep_arriving, self._directory):
            log.info("partial_image_removed", file=str(partial))

    async def close(self) -> None:
        """End what is being fetched; it goes on from there the next time."""
        tasks = [of.task for of in self._fetches.values() if of.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _missing(self, part: ClusterRecord) -> list[ImageFile]:
        """The images that are needed and not here, each once; those without a digest cannot be asked for."""
        needed = {image.path: image for image in _needed(part) if image.digest}
        missing = []
        for path, image in needed.items():
            if path.exists():
                self._require_content(image)
            elif path.parent == self._directory:
                missing.append(image)
        return missing

    def _require_content(self, image: ImageFile) -> None:
        if (found := digest_of_image(self._settings, image.path)) != image.digest:
            raise Conflict(
                f"{image.path} on host {self._store.own_host} has different content: {found}, not {image.digest}",
                hint="move that file away, then the host fetches the image, or use another path for it",
            )

    async def _have(self, image: ImageFile, cluster: str) -> None:
        async with self._beginning:
            fetch = self._fetches.get(image.path) or _Fetch(image, cluster)
            if fetch.task is None:
                hosts = await self._store.hosts()
                if not _sources(hosts, self._store.own_host, image.digest, fetch.wrong):
                    self._fetches.pop(image.path, None)
                    return  # the round says that it is not found, as where there are no other hosts
                fetch.task = asyncio.create_task(self._fetch(fetch))
                self._fetches[image.path] = fetch
        task = fetch.task
        await asyncio.wait({task}, timeout=_SHORT_S)
        if not task.done():
            raise ImageUnderWay(
                f"Fetching image {image.path} from {fetch.host or 'another host'}… {fetch.percent} %",
                hint="nothing else is changed until it has arrived",
            )
        if fetch.task is task:  # clusters that wait for the same image may see its end at once
            fetch.task = None
        if (failure := task.exception()) is not None:
            cause = error_to_answer(failure) if isinstance(failure, Exception) else failure
            raise ImageUnderWay(f"Fetching image {image.path}… {fetch.percent} %; retrying after: {cause}")
        self._fetches.pop(image.path, None)

    async def _fetch(self, fetch: _Fetch) -> None:
        """Try each host that has the image; what one has sent, another need not send again."""
        from reconciler.host.image_transfer.image_download import ImageSource, WrongContent, download  # noqa: PLC0415  asyncssh

        failure: ClusterError | None = None
        hosts = await self._store.hosts()
        for host in _sources(hosts, self._store.own_host, fetch.image.digest, fetch.wrong):
            size = next(of.size_bytes for of in host.images if of.digest == fetch.image.digest)
            source = ImageSource(host.name, str(host.address), host.image_port, host.image_key, size)
            fetch.host, fetch.size_bytes = host.name, size
            try:
                await download(
                    fetch.image.path,
                    fetch.image.digest,
                    source,
                    image_key_path(self._settings),
                    lambda done: self._note(fetch, done),
                )
            except ClusterError as error:
                failure = error
                fetch.wrong |= {host.name} if isinstance(error, WrongContent) else set()
                log.warning("image_not_fetched", image=str(fetch.image.path), host=host.name, cause=str(error))
                continue
            await self._tell(fetch, EventKind.ACTION_DONE, f"fetched from {host.name}")
            return
        if failure is not None:
            raise failure

    def _note(self, fetch: _Fetch, done_bytes: int) -> None:
        fetch.done_bytes = done_bytes
        if fetch.percent >= fetch.told_percent + _TOLD_STEP:
            fetch.told_percent = fetch.percent
            message = f"{fetch.percent} % fetched from {fetch.host}"
            telling = asyncio.create_task(self._tell(fetch, EventKind.ACTION_ADVANCED, message))
            telling.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    async def _tell(self, fetch: _Fetch, kind: EventKind, message: str) -> None:
        event = ClusterEvent(
            cluster_name=fetch.cluster,
            at=datetime.now(UTC),
            kind=kind,
            subject=f"FetchImage {fetch.image.path.name}",
            message=message,
            cause=Cause.CHANGE,
            host=self._store.own_host,
        )
        try:
            await self._store.add_events([event])
        except ClusterError as error:
            log.warning("events_lost", cluster=fetch.cluster, cause=str(error))

    async def _keys(self) -> Iterable[str]:
        return [host.image_key for host in (await self._store.hosts()).values()]

    def _find(self, digest: str) -> Path | None:
        return path_of_image(self._settings, self._directory, digest)


def _sources(hosts: Mapping[str, HostRecord], own: str, digest: str, wrong: set[str]) -> list[HostRecord]:
    """The hosts that are alive and give that image, without those that sent something `wrong` under its digest."""
    able = [of for of in hosts.values() if of.alive and of.address and of.image_port]
    return [
        of
        for of in able
        if of.name != own and of.name not in wrong and any(image.digest == digest for image in of.images)
    ]


def _needed(part: ClusterRecord) -> Iterator[ImageFile]:
    """The images of nodes whose root disks are still to be made: they stand on no snapshot, and have no layer."""
    directory = names.cluster_dir(part.spec.overlay_dir, part.cluster_name)
    found = [parse_layer_name(path.name) for path in directory.iterdir()] if directory.is_dir() else []
    there = {layer[:3] for layer in found if layer is not None}
    for name, node in part.spec.nodes.items():
        intent = part.nodes[name]
        if intent.based_on is None and (name, ROOT_DISK, intent.disk_revision) not in there:
            yield node.base_image
