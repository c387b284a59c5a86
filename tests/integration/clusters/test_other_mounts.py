"""Files that others write to or stand on, by another mount: never a disk to write to, nor where a copy comes."""

import hashlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError, InvalidArgument
from tests.integration.bed import Bed, Session
from tests.integration.snapshots.films import small_nodes, states

OWNER, TAKER = "owner", "taker"
REFUSALS = {ErrorCode.CONFLICT, ErrorCode.TOPOLOGY_INVALID}

Way = Callable[[Path, Path], Path]
"""Makes a file reachable below a directory; where."""


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *words], check=True)


def by_its_directory(file: Path, into: Path) -> Path:
    mount("--bind", file.parent, into)
    return into / file.name


def by_itself(file: Path, into: Path) -> Path:
    (into / "disk").touch()
    mount("--bind", file, into / "disk")
    return into / "disk"


def by_the_root_of_all(file: Path, into: Path) -> Path:
    """All mounts once more, as in a container that was given the host's files."""
    mount("--rbind", "/", into)
    return into / file.relative_to("/")


def by_a_link_behind_a_mount(file: Path, into: Path) -> Path:
    link = file.with_name(f"link-to-{file.name}")
    link.symlink_to(file.name)
    return by_its_directory(link, into)


def by_a_hard_link_behind_a_mount(file: Path, into: Path) -> Path:
    link = file.with_name(f"second-{file.name}")
    link.hardlink_to(file)
    return by_its_directory(link, into)


def by_a_mount_of_a_mount(file: Path, into: Path) -> Path:
    (into / "first").mkdir()
    (into / "second").mkdir()
    return by_its_directory(by_its_directory(file, into / "first"), into / "second")


def unmount(place: Path) -> None:
    subprocess.run(["umount", place], check=True)


WAYS: list[Way] = [
    *(by_its_directory, by_itself, by_the_root_of_all, by_a_link_behind_a_mount),
    *(by_a_hard_link_behind_a_mount, by_a_mount_of_a_mount),
]


@pytest.fixture
def into(bed: Bed) -> Iterator[Path]:
    """Where files are mounted; nothing is when the test has ended."""
    place = bed.directory / "mounted"
    place.mkdir()
    mount("--bind", "--make-private", place, place)
    yield place
    subprocess.run(["umount", "-R", "-l", place], check=True)


def with_disk(path: Path | None, network: int) -> Callable[[dict[str, Any]], None]:
    def edit(document: dict[str, Any]) -> None:
        small_nodes(document)
        document["network"]["subnet"] = f"192.168.{network}.0/24"
        for number, node in enumerate(document["nodes"]):
            node["ip"] = f"192.168.{network}.{10 + number}"
        if path is not None:
            document["nodes"][0]["extra_disks"] = [{"path": str(path), "existing": True}]

    return edit


async def own(bed: Bed, session: Session) -> dict[str, Path]:
    """A cluster that runs on files of every kind."""
    disk = bed.directory / "theirs.raw"
    disk.write_bytes(bytes(1 << 20))
    bed.write_topology(OWNER, nodes=1, edit=with_disk(disk, 161))
    await session.clusters.apply(OWNER, wait_for_ssh=False)
    await session.snapshots.create(OWNER, "kept")
    directory = bed.settings.overlay_dir / OWNER
    frozen, top = directory / "n0.vda.r0.0.qcow2", directory / "n0.vda.r0.1.qcow2"
    seed, key = directory / "n0.seed.iso", directory / "n0.host_ed25519"
    return {"image": bed.empty_image, "frozen": frozen, "top": top, "seed": seed, "key": key, "disk": disk}


def looks(files: dict[str, Path]) -> dict[str, object]:
    """What of the files must stay; a layer that is written to has its inode and owner."""
    stats = {name: path.stat() for name, path in files.items()}
    contents = {name: hashlib.sha256(path.read_bytes()).digest() for name, path in files.items() if name != "top"}
    return {name: (of.st_ino, of.st_uid, of.st_mode, contents.get(name)) for name, of in stats.items()}


@pytest.mark.parametrize("way", WAYS)
async def test_no_file_of_others_is_a_disk_by_another_mount(bed: Bed, session: Session, into: Path, way: Way) -> None:
    files = await own(bed, session)
    before = looks(files)
    for name, file in files.items():
        place = into / name
        place.mkdir()
        bed.write_topology(TAKER, nodes=1, edit=with_disk(way(file, place), 162))
        with pytest.raises(ClusterError) as refused:
            await session.clusters.apply(TAKER, wait_for_ssh=False)
        assert refused.value.code in REFUSALS, name
        assert states(TAKER) == {}
    assert looks(files) == before


@pytest.mark.parametrize("target", ["image", "frozen", "top", "seed", "disk"])
async def test_what_is_mounted_over_a_disk_after_it_was_defined_keeps_the_machine_off(
    bed: Bed, session: Session, target: str
) -> None:
    files = await own(bed, session)
    mine = bed.directory / "mine.raw"
    mine.write_bytes(bytes(1 << 20))
    bed.write_topology(TAKER, nodes=1, edit=with_disk(mine, 162))
    await session.clusters.define(TAKER)
    before = looks(files)
    mount("--bind", files[target], mine)
    try:
        with pytest.raises(ClusterError) as refused:
            await session.clusters.start(TAKER, wait_for_ssh=False)
        assert refused.value.code is ErrorCode.CONFLICT
    finally:
        unmount(mine)
    assert looks(files) == before


async def test_no_copy_comes_among_what_is_kept_by_another_mount(bed: Bed, session: Session, into: Path) -> None:
    files = await own(bed, session)
    kept = {
        "layers": files["top"].parent,
        "overlays": bed.settings.overlay_dir,
        "state": bed.settings.state_dir,
        "image": files["image"].parent,
        "disks": files["disk"].parent,
    }
    places = {}
    for name, directory in kept.items():
        (into / name).mkdir()
        mount("--bind", directory, into / name)
        places[name] = into / name / "new"
    places["image"] = into / "image" / files["image"].name
    places["disks"] = into / "disks" / files["disk"].name
    places["overlays"] = into / "overlays" / OWNER / "snapshots" / "kept" / "new"
    for place in places.values():
        with pytest.raises(InvalidArgument, match="is among the files"):
            await session.transfers.pull(OWNER, "n0", "/etc/hostname", place, replace=True)
