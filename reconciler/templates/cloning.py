"""The one door to templates: those of this host, made at first need, and nodes that start from them."""

import asyncio
import time
from collections import defaultdict
from pathlib import Path

import structlog

from reconciler import process
from reconciler.errors import ClusterError, OperationFailed
from reconciler.files.locks import locked, remove_lock
from reconciler.files.marked_files import replace_file
from reconciler.files.ownership import require_owned
from reconciler.files.space import require_space
from reconciler.host.cloud_init.waiting_seed import render_waiting_seed
from reconciler.host.disks.empty_image import EmptyImageShape, qemu_img_create
from reconciler.host.disks.image_file import read_image_facts
from reconciler.host.disks.layers import LAYER_MODE
from reconciler.host.libvirt.template_machines import TemplateMachines
from reconciler.host.libvirt.template_xml import render_template
from reconciler.model.document import TemplateSpec
from reconciler.templates.builds_meanwhile import FAILED_S, PATIENCE_S, AskForRound, BuildsMeanwhile
from reconciler.templates.template_cache import Template, TemplateCache

log = structlog.get_logger(__name__)

READY = b"vmcluster: this machine waits for its identity"
CANNOT_WAIT = b"vmcluster: this machine cannot wait: "
"""What the image's `machine.py` writes to the console."""

BUILD_TIMEOUT_S = 900.0
"""A boot takes minutes on a busy host that emulates its guests."""

_PANIC = "Kernel panic"
_MOST_WORDS = 200

_POLL_S = 0.1
_DISK_FILE_MODE = 0o600
_SPACE_SHARE = 2
"""A memory that is written takes less than half of the machine's: most of it is empty."""


class Templates:
    """The templates of this host. All nodes that need the same one wait for one build."""

    def __init__(self, directory: Path, machines: TemplateMachines, ask_for_round: AskForRound) -> None:
        self.cache = TemplateCache(directory)
        self.meanwhile = BuildsMeanwhile(self.ensure, ask_for_round)
        self._machines = machines
        self._building: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ensure(self, spec: TemplateSpec) -> Template:
        """The template of that state, built if it is missing. Raises a `ClusterError` if that fails."""
        emulator = await self._machines.emulator()
        async with self._building[spec.key]:
            if there := await asyncio.to_thread(self.cache.find, spec, emulator):
                return there
            await asyncio.to_thread(self.cache.open)
            async with locked(self.cache.lock_path(spec.key), timeout_s=BUILD_TIMEOUT_S):
                try:
                    there = await asyncio.to_thread(self.cache.find, spec, emulator)
                    return there or await self._build(spec, emulator)
                finally:
                    await asyncio.to_thread(remove_lock, self.cache.lock_path(spec.key))

    async def try_to_ensure(self, spec: TemplateSpec, timeout_s: float) -> Template:
        """As `ensure`, for nodes that can boot instead: they wait no longer than that, and after a failure not again.

        Raises an `OperationFailed` for some time after one, unless there is a template by then. To have waited for less
        than `PATIENCE_S` is no failure.
        """
        if (there := await self.find(spec)) is not None:
            return there
        if failure := await asyncio.to_thread(self.cache.failure, spec.key, within_s=FAILED_S):
            raise OperationFailed(f"it could not be built recently: {failure}")
        try:
            async with asyncio.timeout(timeout_s):
                return await self.ensure(spec)
        except (ClusterError, TimeoutError) as error:
            told = str(error) or f"it takes longer than {timeout_s:.0f} s"
            if isinstance(error, ClusterError) or timeout_s >= PATIENCE_S:
                await asyncio.to_thread(self.cache.note_failure, spec.key, told)
            raise OperationFailed(told) from error

    async def find(self, spec: TemplateSpec) -> Template | None:
        """The template of that state, if it has been built."""
        return await asyncio.to_thread(self.cache.find, spec, await self._machines.emulator())

    async def fill(self, template: Template, layer: Path, cluster: str) -> None:
        """Give an unused root disk's layer the content of the template's; whole or not at all."""
        await asyncio.to_thread(_fill, template.root, layer, cluster)

    async def restore(self, template: Template, cluster: str, node: str) -> None:
        """Restore the template's memory as that node, paused; its disk must be that of the template."""
        await self._machines.restore(cluster, node, template.memory)

    async def _build(self, spec: TemplateSpec, emulator: str) -> Template:
        began = time.monotonic()
        prepared = await asyncio.to_thread(self.cache.prepare, spec.key)
        try:
            console = await self._boot(spec, prepared)
            await self._until_it_waits(spec.key, console)
            await asyncio.to_thread(require_space, prepared.directory, (spec.memory_mb << 20) // _SPACE_SHARE)
            await self._machines.save(spec.key, prepared.memory)
            template = await asyncio.to_thread(self.cache.publish, prepared, spec, emulator)
        except BaseException:
            await self._machines.end(spec.key)
            await asyncio.to_thread(self.cache.discard, prepared)
            raise
        log.info("template_built", template=spec.key, duration_s=round(time.monotonic() - began, 1))
        return template

    async def _boot(self, spec: TemplateSpec, prepared: Template) -> Path:
        """Boot the machine; the path of its console's log. A machine left by an interrupted build is ended first."""
        await self._machines.end(spec.key)
        shape = EmptyImageShape(spec.root_bytes, spec.image, spec.image_format)
        await process.run(qemu_img_create(shape, prepared.root))
        seed, console = prepared.directory / "seed.iso", prepared.directory / "console.log"
        await asyncio.to_thread(lambda: seed.write_bytes(render_waiting_seed(spec.seed)))
        await asyncio.to_thread(console.write_bytes, b"")
        for path in (prepared.root, seed, console):
            path.chmod(_DISK_FILE_MODE)
        await self._machines.begin(spec.key, render_template(spec, prepared.root, seed, console))
        return console

    async def _until_it_waits(self, key: str, console: Path) -> None:
        deadline = time.monotonic() + BUILD_TIMEOUT_S
        while READY not in (said := await asyncio.to_thread(console.read_bytes)):
            if CANNOT_WAIT in said:
                raise OperationFailed(f"no template can be made: {_reason(said)}")
            if not await self._machines.runs(key):
                raise OperationFailed(f"the machine that was to become a template has ended{_last_words(said)}")
            if time.monotonic() > deadline:
                raise OperationFailed(f"no template can be made: no word from the guest within {BUILD_TIMEOUT_S:g} s")
            await asyncio.sleep(_POLL_S)


def _last_words(console: bytes) -> str:
    """What a guest that has ended said last: of a panic, its cause."""
    lines = [line.strip() for line in console.decode(errors="replace").splitlines() if line.strip()]
    causes = [line for line in lines if _PANIC in line]
    return f"; its console says: {(causes or lines)[-1][:_MOST_WORDS]}" if lines else ""


def _reason(console: bytes) -> str:
    return console.partition(CANNOT_WAIT)[2].splitlines()[0].decode(errors="replace")


def _fill(root: Path, layer: Path, cluster: str) -> None:
    mark = require_owned(layer, cluster)
    there, given = read_image_facts(layer), read_image_facts(root)
    if there.written or (there.backing, there.size_bytes) != (given.backing, given.size_bytes):
        raise OperationFailed(f"the disk {layer} is not an unused one on {given.backing}")
    replace_file(layer, root.read_bytes(), mark, mode=LAYER_MODE)
