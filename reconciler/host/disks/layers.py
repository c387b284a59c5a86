"""The layers on disk: a cluster's overlays and extra disks, observed, created and deleted.

A layer appears only as a whole empty image; after that only QEMU writes to it. Files below a layer are read,
never changed. Layers are 0600: libvirt gives them to QEMU's user while a domain runs.
"""

import asyncio
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from reconciler import process
from reconciler.errors import ClusterError, Conflict, ImageNotFound, OperationFailed
from reconciler.files.cluster_directories import ensure_our_directory
from reconciler.files.marked_files import Fill, create_file, delete_file, directory_names
from reconciler.files.ownership import OwnedKind, OwnerMark, is_owned, not_ours, read_mark, require_owned, write_mark
from reconciler.files.space import require_space
from reconciler.host.disks.empty_image import EmptyImages, EmptyImageShape
from reconciler.host.disks.image_file import image_identity, read_image_facts
from reconciler.host.disks.original_owner import owner_facts, reowned_file, taken_over
from reconciler.host.disks.qcow2 import ImageFacts
from reconciler.host.disks.write_locks import is_written_to
from reconciler.host.magic import QCOW2, RAW
from reconciler.model.document import Layer, Unknown
from reconciler.model.names import ROOT_DISK, cluster_dir, parse_layer_name
from reconciler.model.origin import Origin

LAYER_MODE = 0o600
FROZEN_MODE = 0o440
_RESUMED = "resumed"
_FLATTENING = "flattening"
_BASE = "base"
_DISK, _FILE, _ON, _FORMAT = "disk", "file", "on", "format"
"""The fields that a layer is created with: its disk's target, its name, what it stands on, and a format but qcow2."""


def observe_layers(overlay_dir: Path, cluster: str, extra_paths: Iterable[Path] = ()) -> dict[str, Layer | Unknown]:
    """Every layer of the cluster by its path, and everything else found at one of `extra_paths`.

    Blocking, about 25 µs per file. Raises `OperationFailed` if the cluster's directory cannot be read.
    """
    directory = cluster_dir(overlay_dir, cluster)
    paths = [f"{directory}/{name}" for name in directory_names(directory) if _is_layer_name(name)]
    paths.extend(str(path) for path in extra_paths)
    observed = ((path, observe_layer(path, cluster)) for path in dict.fromkeys(paths))
    return {path: layer for path, layer in observed if layer is not None}


def observe_layer(path: str, cluster: str) -> Layer | Unknown | None:
    """What is at `path`: one of our layers, something unknown, or nothing."""
    try:
        mark = read_mark(path)
        if mark is None or mark.cluster != cluster or mark.kind is not OwnedKind.LAYER or mark.node is None:
            return _unknown(not_ours(Path(path), cluster))
        return _layer(path, mark.node, mark.facts)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return _unknown(OperationFailed(f"cannot read {path}: {error.strerror}", hint="let this user read it"))
    except ImageNotFound as error:
        return _unknown(error)


def is_shared(mark: OwnerMark) -> bool:
    """Whether the mark belongs to a disk that several nodes write to."""
    return mark.facts.get(_FORMAT) == RAW


def freeze_layer(path: Path, cluster: str) -> None:
    """Make this layer read-only for good. A file of the user's, below our layers, stays as it is."""
    if is_owned(path, cluster):
        path.chmod(FROZEN_MODE)


def mark_resumed(path: Path, cluster: str) -> None:
    """Record on the layer itself that a machine resumes from memory on it; that happens only once."""
    mark = require_owned(path, cluster)
    write_mark(path, mark.model_copy(update={"facts": {**mark.facts, _RESUMED: "yes"}}))


def begin_flattening(path: Path, lowest: Path, cluster: str) -> None:
    """Record on the layer itself that it is absorbing those below it, of which `lowest` is the last one.

    From then on its flattening must be finished, whatever its chain looks like.
    """
    mark, below = require_owned(path, cluster), require_owned(lowest, cluster).facts
    image = below.get(_BASE) or below.get(_FLATTENING, "")
    write_mark(path, mark.model_copy(update={"facts": {**mark.facts, **taken_over(below), _FLATTENING: image}}))


def abandon_flattening(path: Path, base: Path, cluster: str) -> None:
    """Record that the layer was not flattened after all, if its chain is as long as before and not yet on `base`."""
    mark = require_owned(path, cluster)
    if _FLATTENING in mark.facts and read_image_facts(path).backing != str(base):
        facts = {name: fact for name, fact in mark.facts.items() if name != _FLATTENING}
        write_mark(path, mark.model_copy(update={"facts": facts}))


def finish_flattening(path: Path, cluster: str) -> None:
    """Record that the layer is whole, and on which of the user's images it was created, if it stands on one now."""
    mark = require_owned(path, cluster)
    facts = {**mark.facts, _ON: _place(read_image_facts(path))}
    if image := facts.pop(_FLATTENING, ""):
        facts[_BASE] = image
    write_mark(path, mark.model_copy(update={"facts": facts}))


class LayerDriver:
    """Creates layers; keeps the empty images that it has created before."""

    def __init__(self) -> None:
        self._empty_images = EmptyImages()

    async def create_layer(self, path: Path, layer: Layer, *, cluster: str, origin: Origin | None = None) -> None:
        """Create the layer at `path`, and its directory if that is the cluster's own.

        A layer may exist already. Raises `Conflict` if it is something else, `ImageNotFound` if the backing file is not
        what the layer says, and `OperationFailed` if the file system is too full.
        """
        if await asyncio.to_thread(_is_made, path, layer, cluster):
            return
        await asyncio.to_thread(_prepare, path, layer, cluster, origin)
        fill = await self._filling(layer)
        facts = _facts_of(path, layer)
        mark = OwnerMark(cluster=cluster, node=layer.node, kind=OwnedKind.LAYER, facts=facts, origin=origin)
        try:
            await asyncio.to_thread(create_file, path, fill, mark, mode=LAYER_MODE)
        except FileExistsError:
            await asyncio.to_thread(_is_made, path, layer, cluster)

    async def _filling(self, layer: Layer) -> Fill:
        if layer.format == RAW:
            return lambda file: os.ftruncate(file, layer.size_bytes)
        image = await self._empty_images.image(EmptyImageShape(layer.size_bytes, layer.backing, layer.backing_format))
        return image.write


def _facts_of(path: Path, layer: Layer) -> dict[str, str]:
    """The layer's facts for its mark: its disk, and if it stands on a file of the user's, which one and its owner."""
    facts = {_DISK: layer.disk, _ON: _place(layer)}
    if parse_layer_name(path.name):
        facts[_FILE] = path.name
    if layer.format != QCOW2:
        facts[_FORMAT] = layer.format
    if layer.backing is not None and read_mark(layer.backing) is None:
        facts[_BASE] = image_identity(layer.backing)
        if layer.disk != ROOT_DISK:  # libvirt is told not to change base images
            facts.update(owner_facts(layer.backing, path.parent))
    return facts


def delete_layer(path: Path, cluster: str) -> bool:
    """Delete the layer at `path`; returns whether there was one.

    Raises `Conflict` if it is not ours, and if a machine writes to it without libvirt's knowledge.
    """
    if is_written_to(path):
        raise Conflict(
            f"the layer {path} is not needed as far as libvirt knows, but a machine writes to it",
            hint="power-cycle the machine (`node_crash`) before anything is done to its disks",
        )
    return delete_file(path, cluster)


async def grow_image(path: Path, size_bytes: int, *, cluster: str) -> None:
    """Make one of our layers at least this large; the added part reads as zeros, the contents stay.

    qemu-img refuses if a machine has it open, and changes the header last. Raises `Conflict` if the file is not ours,
    and `HostCommandFailed` with qemu-img's message.
    """
    await asyncio.to_thread(require_owned, path, cluster, OwnedKind.LAYER)
    if (await asyncio.to_thread(read_image_facts, path)).size_bytes < size_bytes:
        await process.run(["qemu-img", "resize", "-q", "-f", QCOW2, str(path), str(size_bytes)])


def _is_layer_name(name: str) -> bool:
    return name.endswith(".qcow2") and parse_layer_name(name) is not None


def _layer(path: str, node: str, marked: dict[str, str]) -> Layer | Unknown:
    made_as = marked.get(_FORMAT, QCOW2)
    facts = read_image_facts(path, made_as)
    if facts.format != made_as:
        return _unknown(ImageNotFound(f"the layer {path} is no longer {made_as} but {facts.format}", hint="delete it"))
    backing = Path(facts.backing) if facts.backing else None
    return Layer(
        node=node,
        disk=marked.get(_DISK, ""),
        misplaced=_why_misplaced(path.rpartition("/")[2], node, facts, marked),
        written=facts.written,
        resumed=_RESUMED in marked,
        flattening=_FLATTENING in marked,
        reowned=reowned_file(marked),
        base_changed=_BASE in marked and marked[_BASE] != image_identity(backing or Path()),
        size_bytes=facts.size_bytes,
        backing=backing,
        backing_format=facts.backing_format,
        format=facts.format,
    )


def _why_misplaced(name: str, node: str, facts: ImageFacts, marked: Mapping[str, str]) -> str:
    """Why a mark belongs to another file than this one, or to another state of it; marks of old layers say less."""
    parsed = parse_layer_name(name)
    if marked.get(_FILE, name) != name:
        return f"it was created as {marked[_FILE]}"
    if parsed is not None and parsed[:2] != (node, marked.get(_DISK)):
        return f"it was created for disk {marked.get(_DISK)} of node {node}"
    if _ON in marked and _FLATTENING not in marked and marked[_ON] != _place(facts):
        return f"it stands on {_place(facts) or 'nothing'}, but was created on {marked[_ON] or 'nothing'}"
    return ""


def _place(of: ImageFacts | Layer) -> str:
    """What a layer stands on, as its mark records it."""
    return "" if of.backing is None else f"{of.backing} ({of.backing_format})"


def _unknown(error: ClusterError) -> Unknown:
    return Unknown(unknown=str(error), code=error.code, terminal=error.terminal)


def _is_made(path: Path, layer: Layer, cluster: str) -> bool:
    """Whether the requested layer exists; raises `Conflict` if anything else does."""
    found = observe_layer(str(path), cluster)
    if found is None:
        return False
    if isinstance(found, Layer) and not _differences(found, layer):
        return True
    if isinstance(found, Unknown):
        raise Conflict(found.unknown, node=layer.node)
    raise Conflict(
        f"the layer {path} exists with other properties: {', '.join(_differences(found, layer))}",
        node=layer.node,
        hint="destroy the cluster with its overlays first, or give the disk another path",
    )


def _differences(found: Layer, wanted: Layer) -> list[str]:
    """The differences in the fields that a layer is created with."""
    belongs = () if found.format == wanted.format == RAW else ("node", "disk")
    return [
        f"{field} is {getattr(found, field)} and should be {getattr(wanted, field)}"
        for field in (*belongs, "size_bytes", "backing", "backing_format", "format")
        if getattr(found, field) != getattr(wanted, field)
    ]


def _prepare(path: Path, layer: Layer, cluster: str, origin: Origin | None) -> None:
    _check_backing(path, layer)
    if path.parent.name == cluster and _is_layer_name(path.name):
        ensure_our_directory(path.parent, cluster, origin)
    _check_space(path)


def _check_backing(path: Path, layer: Layer) -> None:
    if layer.backing is None:
        return
    facts = read_image_facts(layer.backing, layer.backing_format)
    if facts.format != layer.backing_format:
        raise ImageNotFound(
            f"{layer.backing} is {facts.format} and should be {layer.backing_format} below {path}", node=layer.node
        )


def _check_space(path: Path) -> None:
    try:
        require_space(path.parent)
    except OSError as error:
        raise OperationFailed(
            f"cannot create {path}: {error.strerror}", hint=f"create the directory {path.parent} first"
        ) from error
