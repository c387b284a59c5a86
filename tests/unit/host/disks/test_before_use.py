"""The last look before a machine opens its disks: what was exchanged since is refused, and stays as it is."""

# ruff: noqa: ASYNC240  (nothing else runs on the loop of these tests)

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import ClusterError, Conflict
from reconciler.files.ownership import OwnedKind, OwnerMark, write_mark
from reconciler.host.disks.before_use import MachineFiles, require_usable
from reconciler.host.disks.given_format import noted_format
from reconciler.host.disks.layers import LayerDriver, freeze_layer, observe_layer, observe_layers
from reconciler.model.document import BackingFile, DomainDisk, Layer
from reconciler.model.file_use import FileUse
from reconciler.model.names import layer_path, seed_path
from tests.unit.desired.files import GIB, qcow2_header

CLUSTER = "lab"
ROOT = 1 << 24


class Lab:
    """Two nodes with a root disk of two layers on one image, and a raw disk of the user's at the first."""

    def __init__(self, directory: Path) -> None:
        self.overlays, self.base, self.raw = directory / "overlays", directory / "base.qcow2", directory / "mine.raw"
        self.base.write_bytes(qcow2_header(ROOT))
        self.raw.write_bytes(bytes(1 << 20))

    def layer(self, node: str, depth: int = 0) -> Path:
        return layer_path(self.overlays, CLUSTER, node, "vda", 0, depth)

    async def make(self) -> None:
        driver = LayerDriver()
        for node in ("n1", "n2"):
            below, kind = self.base, "qcow2"
            for depth in (0, 1):
                path = self.layer(node, depth)
                layer = Layer(node=node, disk="vda", size_bytes=ROOT, backing=below, backing_format=kind)
                await driver.create_layer(path, layer, cluster=CLUSTER)
                below, kind = path, "qcow2"
            freeze_layer(self.layer(node), CLUSTER)
            seed_path(self.overlays, CLUSTER, node).write_bytes(b"seed")
            mark = OwnerMark(cluster=CLUSTER, node=node, kind=OwnedKind.SEED)
            write_mark(seed_path(self.overlays, CLUSTER, node), mark)

    def files(self, node: str = "n1") -> MachineFiles:
        below = (BackingFile(path=self.layer(node), format="qcow2"), BackingFile(path=self.base, format="qcow2"))
        disks = {
            "vda": DomainDisk(path=self.layer(node, 1), format="qcow2", backing=below),
            "vdb": DomainDisk(path=self.raw, format="raw"),
            "vdz": DomainDisk(path=seed_path(self.overlays, CLUSTER, node), format="raw", read_only=True),
        }
        console = self.overlays / CLUSTER / f"{node}.console.log"
        return MachineFiles(CLUSTER, node, disks, {self.raw}, [console])


@pytest.fixture
async def lab(tmp_path: Path) -> Lab:
    lab = Lab(tmp_path)
    await lab.make()
    return lab


def exchange(one: Path, other: Path) -> None:
    one.rename(one.with_name("between"))
    other.rename(one)
    one.with_name("between").rename(other)


def replace(path: Path, make: Callable[[Path], object]) -> None:
    path.rename(path.with_name("away"))
    make(path)


def copied(lab: Lab, source: Path) -> Callable[[Path], object]:
    """A copy with its mark, as `cp -a` makes it."""
    return lambda path: shutil.copy2(source, path)


async def on_another(lab: Lab, path: Path) -> None:
    """The same file and mark, and another chain below."""
    other = Layer(node="n1", disk="vda", size_bytes=ROOT, backing=lab.base, backing_format="qcow2")
    await LayerDriver().create_layer(lab.layer("n1", 9), other, cluster=CLUSTER)
    path.write_bytes(lab.layer("n1", 9).read_bytes())


def tree(directory: Path) -> dict[str, tuple[int, ...]]:
    found = {path: path.lstat() for path in sorted(directory.rglob("*"))}
    return {str(path): (of.st_ino, of.st_mode, of.st_size, of.st_mtime_ns, of.st_uid) for path, of in found.items()}


def test_what_was_made_is_usable_and_the_users_disk_is_noted(lab: Lab) -> None:
    require_usable(lab.files(), [])
    require_usable(lab.files(), [FileUse(lab.raw, "node n1 of cluster lab", CLUSTER, "vdb", written=True, is_up=True)])
    assert noted_format(lab.raw) == "raw"


SWAPS: dict[str, Callable[[Lab], object]] = {
    "layers of two nodes": lambda lab: exchange(lab.layer("n1", 1), lab.layer("n2", 1)),
    "frozen layers of two nodes": lambda lab: exchange(lab.layer("n1"), lab.layer("n2")),
    "two layers of one disk": lambda lab: exchange(lab.layer("n1"), lab.layer("n1", 1)),
    "a copy of another node's layer": lambda lab: replace(lab.layer("n1", 1), copied(lab, lab.layer("n2", 1))),
    "a link to the layer itself": lambda lab: replace(lab.layer("n1", 1), lambda path: path.symlink_to("away")),
    "a link to a base image": lambda lab: replace(lab.layer("n1", 1), lambda path: path.symlink_to(lab.base)),
    "a frozen layer's link": lambda lab: replace(lab.layer("n1"), lambda path: path.symlink_to("away")),
    "a hard link to a base image": lambda lab: replace(lab.layer("n1", 1), lambda path: path.hardlink_to(lab.base)),
    "a FIFO": lambda lab: replace(lab.layer("n1", 1), os.mkfifo),
    "a frozen FIFO": lambda lab: replace(lab.layer("n1"), os.mkfifo),
    "a directory": lambda lab: replace(lab.layer("n1", 1), Path.mkdir),
    "nothing": lambda lab: lab.layer("n1").unlink(),
    "a file of somebody's": lambda lab: replace(lab.layer("n1", 1), Path.touch),
    "a base image that is a FIFO": lambda lab: replace(lab.base, os.mkfifo),
    "a base image that is another": lambda lab: lab.base.write_bytes(qcow2_header(ROOT).ljust(1 << 17, b"\0")),
    "another node's seed": lambda lab: exchange(
        seed_path(lab.overlays, CLUSTER, "n1"), seed_path(lab.overlays, CLUSTER, "n2")
    ),
    "a console that leads elsewhere": lambda lab: lab.files().plain[0].symlink_to(lab.base),  # type: ignore[index]
    "the user's disk is a layer now": lambda lab: replace(lab.raw, lambda path: path.hardlink_to(lab.layer("n2", 1))),
    "the user's disk leads to a layer": lambda lab: replace(lab.raw, lambda path: path.symlink_to(lab.layer("n2", 1))),
    "the user's disk leads to itself": lambda lab: replace(lab.raw, lambda path: path.symlink_to(path)),
    "the user's disk is a FIFO": lambda lab: replace(lab.raw, os.mkfifo),
}


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS)
def test_what_was_exchanged_is_refused_and_stays(lab: Lab, swap: Callable[[Lab], object], tmp_path: Path) -> None:
    swap(lab)
    before = tree(tmp_path)
    with pytest.raises(ClusterError) as refused:
        require_usable(lab.files(), [])
    assert refused.value.node == "n1"
    assert tree(tmp_path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
@pytest.mark.parametrize("place", ["active", "frozen", "given"])
def test_a_device_is_not_opened(lab: Lab, place: str) -> None:
    path = {"active": lab.layer("n1", 1), "frozen": lab.layer("n1"), "given": lab.raw}[place]
    replace(path, lambda path: os.mknod(path, 0o600 | 0o060000, os.makedev(7, 250)))
    with pytest.raises(ClusterError):
        require_usable(lab.files(), [])


async def test_a_layer_with_another_chain_is_known_for_it(lab: Lab) -> None:
    path = lab.layer("n1", 1)
    await on_another(lab, path)
    found = observe_layer(str(path), CLUSTER)
    assert isinstance(found, Layer)
    assert found.misplaced.startswith(f"it stands on {lab.base} (qcow2), but was created on {lab.layer('n1')}")
    with pytest.raises(Conflict, match="not the file that was created there"):
        require_usable(lab.files(), [])


@pytest.mark.parametrize(
    ("use", "refused"),
    [
        (FileUse(Path("mine.raw"), "the domain x", None, "vda", written=True, is_up=True), "is up and writes to it"),
        (FileUse(Path("mine.raw"), "node a of cluster b", "b", "vda", written=False), "is never written to"),
        (FileUse(Path("mine.raw"), "node a of cluster b", "b", "vdb", written=True), ""),
    ],
)
def test_a_disk_that_others_have_meanwhile_is_refused(lab: Lab, use: FileUse, refused: str, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(lab.raw)
    found = FileUse(tmp_path / "linked", use.whose, use.cluster, use.target, use.written, "raw", is_up=use.is_up)
    if not refused:
        return require_usable(lab.files(), [found])
    with pytest.raises(Conflict, match=refused):
        require_usable(lab.files(), [found])
    return None


def test_a_raw_disk_with_a_header_in_it_stays_raw_and_one_of_qcow2_has_to_be_whole(lab: Lab) -> None:
    require_usable(lab.files(), [])
    lab.raw.write_bytes(qcow2_header(GIB, b"/etc/shadow").ljust(1 << 20, b"\0"))
    require_usable(lab.files(), [])
    for head in (qcow2_header(GIB, b"/etc/shadow"), b"KDMV".ljust(512), external_data()):
        lab.raw.unlink()
        lab.raw.write_bytes(head)
        files = lab.files()
        disks = {"vdb": DomainDisk(path=lab.raw, format="qcow2")}
        with pytest.raises(Conflict):
            require_usable(MachineFiles(CLUSTER, "n1", disks, files.given), [])


def external_data() -> bytes:
    head = bytearray(qcow2_header(GIB, version=3))
    head[79] = 4
    return bytes(head)


def test_layers_in_a_circle_are_no_endless_chain(lab: Lab) -> None:
    exchange(lab.layer("n1"), lab.layer("n1", 1))
    found = observe_layers(lab.overlays, CLUSTER)
    assert all(isinstance(found[str(lab.layer("n1", depth))], Layer) for depth in (0, 1))


async def test_a_fork_opens_the_layers_of_its_lender_and_of_nobody_else(lab: Lab) -> None:
    fork = layer_path(lab.overlays, "try", "n1", "vda", 0)
    frozen = lab.layer("n1")
    layer = Layer(node="n1", disk="vda", size_bytes=ROOT, backing=frozen, backing_format="qcow2")
    await LayerDriver().create_layer(fork, layer, cluster="try")
    below = (BackingFile(path=frozen, format="qcow2"), BackingFile(path=lab.base, format="qcow2"))
    disks = {"vda": DomainDisk(path=fork, format="qcow2", backing=below)}
    require_usable(MachineFiles("try", "n1", disks, (), (), {CLUSTER}), ())
    with pytest.raises(Conflict):
        require_usable(MachineFiles("try", "n1", disks, ()), ())
    exchange(frozen, lab.layer("n2"))
    with pytest.raises(Conflict, match="is not the file that was created there"):
        require_usable(MachineFiles("try", "n1", disks, (), (), {CLUSTER}), ())
