"""Whether a file can be an image below machines' disks, and what helps if it cannot, or is not there."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from reconciler.errors import ImageNotFound
from reconciler.host.disks.cut_off import is_cut_off
from reconciler.host.disks.image_file import GONE, image_identity, read_image_facts
from reconciler.host.disks.qcow2 import ImageFacts
from reconciler.host.magic import ARCHIVES, NO_DISKS, PACKED, QCOW2, RAW, UNPACKERS
from reconciler.image.catalogue import CATALOGUE, nearest_name
from reconciler.model.names import BASE_IMAGE, image_name

_UNPACK = "unpack it, and use the image that it contains"


def is_missing(path: Path) -> bool:
    """Whether there is no file at a path; False if that cannot be seen. Blocking."""
    with suppress(OSError):
        return image_identity(path) == GONE
    return False


def why_missing(path: Path, image_dir: Path, elsewhere: Sequence[str]) -> str | None:
    """What to say of an image that is not there, if more than that is known; `elsewhere` are the hosts that have it."""
    name = image_name(path) if path.parent == image_dir else None
    if elsewhere:
        has = f"{', '.join(elsewhere)} {'has' if len(elsewhere) == 1 else 'have'}"
        return f"{path} is not on this host; {has} it (run this there, or copy it from there to the same path)"
    if name is None or name == BASE_IMAGE:
        return None
    if name in CATALOGUE:
        return f'the image {name} is not on this host (get it: `image_pull(image="{name}")`)'
    near = nearest_name(name, names_in(image_dir))
    what = f"did you mean {near}?" if near else f"for a file beside the topology, write ./{name}"
    return f"no image is named {name!r}: {path} does not exist ({what})"


def names_in(image_dir: Path) -> list[str]:
    """The names of the images in a directory, sorted; empty if it cannot be read. Blocking."""
    try:
        found = map(image_name, image_dir.iterdir())
        return sorted(name for name in found if name is not None)
    except OSError:
        return []


def format_and_size(path: Path) -> tuple[str, int]:
    """The format of an image, and the size of its disk; `unreadable` if its header is damaged or not to be read."""
    try:
        facts = read_image_facts(path)
    except ImageNotFound:
        return "unreadable", 0
    return facts.holds or facts.format, facts.size_bytes


def why_unfit(path: Path) -> str | None:
    """Why no machine can start from an image, and what helps; None if one can. Blocking."""
    return image_facts(path, why_no_base)[1] or None


def image_facts(
    path: Path, why_unusable: Callable[[Path, ImageFacts], str | None], used_as: str | None = None
) -> tuple[ImageFacts | None, str]:
    """The facts of an image that can stand below a layer, or None and why it cannot; `why_unusable` is for its use."""
    try:
        facts = read_image_facts(path, used_as)
    except ImageNotFound as error:
        return None, str(error)
    if used_as == QCOW2 and facts.format != QCOW2:
        return None, f"{path} is {facts.format}, but must be qcow2 (correct `format`, or the path)"
    trouble = why_unusable(path, facts) or _why_unusable(path, facts) or _why_not_whole(path, facts)
    return (None, f"the disk image {path} {trouble}") if trouble else (facts, "")


def why_no_base(_: Path, facts: ImageFacts) -> str | None:
    """Why no machine can start from an image, and what helps; None if one can."""
    if facts.holds in PACKED:
        return f"is {facts.holds}, not qcow2 or raw ({_UNPACK})"
    return "is empty (create it: `image_build`)" if facts.size_bytes == 0 else None


def why_no_extra_disk(path: Path, facts: ImageFacts) -> str | None:
    """Why an image cannot be a further disk, and what helps; None if it can."""
    grow = f"`qemu-img resize -f {facts.format} {path} 10G`"
    return f"is empty (give it a size: {grow})" if facts.size_bytes == 0 else None


def _why_unusable(path: Path, facts: ImageFacts) -> str | None:
    convert = f"qemu-img convert -O qcow2 {path} NEW.qcow2"
    if facts.format not in {QCOW2, RAW}:
        convert = convert.replace("-O", f"-f {facts.format} -O")  # QEMU detects formats by their beginning only
        return f"is {facts.format}, not qcow2 or raw ({_remedy(path, facts.format) or f'convert it: `{convert}`'})"
    if facts.unusable is not None:
        return facts.unusable.format(path=path)
    if facts.backing is not None:
        return f"has a backing file, {facts.backing} (make one file of both: `{convert}`)"
    return None


def _why_not_whole(path: Path, facts: ImageFacts) -> str | None:
    if facts.holds is None and is_cut_off(path, facts.size_bytes):
        return "ends before its data, so it is truncated (copy it again)"
    return None


def _remedy(path: Path, found: str) -> str | None:
    """What helps with a file that is not a disk image, or contains one."""
    if unpacker := UNPACKERS.get(found):
        return f"unpack it: `{unpacker} < {path} > NEW.img`"
    if found in ARCHIVES:
        return _UNPACK
    if found in NO_DISKS:
        return "use a disk image that a machine can boot from"
    return None
