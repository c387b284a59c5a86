"""Copies that a hostile client directs at what vmcluster keeps: by names, links, and where a record cannot be read."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.desired.load import load_spec
from reconciler.errors import InvalidArgument
from reconciler.files.cluster_directories import ensure_our_directory
from reconciler.files.configuration_files import CONFIG_VARIABLE
from reconciler.files.ownership import OwnedKind, OwnerMark, write_mark
from reconciler.files.roots import PlaceToMake, place_at
from reconciler.guest.pool import SshPool
from reconciler.host.disks.given_format import note_format
from reconciler.model.file_use import FileUse
from reconciler.model.record import ClusterRecord
from reconciler.records import record_changes
from reconciler.records.stored_records import readable_records
from reconciler.store.sqlite import SqliteStore
from reconciler.usecases.transfers import require_not_kept
from tests.hostile.test_client_paths import pulled
from tests.hostile.test_disks import TOPOLOGY
from tests.sshd import Sshd
from tests.unit.desired.files import settings_in, write_host_files


class Host:
    """A cluster of a record that can be read, files of one that cannot, and a project beside them."""

    def __init__(self, root: Path) -> None:
        self.root, self.project = root, root / "project"
        places = {"topology_dir": root / "topologies", "state_dir": root / "state"}
        self.settings = settings_in(root).model_copy(update=places)
        for name in ("project", "outside", "elsewhere", "overlays"):
            (root / name).mkdir()
        write_host_files(root)
        (root / "base.qcow2").rename(root / "outside" / "base.qcow2")
        for name in ("mine.raw", "mine2.raw", "of-a-domain.raw", "noted.raw", "marked", "free"):
            (root / name).write_bytes(bytes(1 << 20))
        (root / "lab.yaml").write_text(TOPOLOGY)
        (root / "config-link.yaml").symlink_to("free")
        note_format(root / "noted.raw", "raw")
        write_mark(root / "marked", OwnerMark(cluster="unreadable", kind=OwnedKind.LAYER))
        ensure_our_directory(root / "elsewhere" / "unreadable", "unreadable", None)
        (root / "elsewhere" / "unreadable" / "sub").mkdir()
        (root / "linked-dir").symlink_to(root / "elsewhere" / "unreadable")

    def record(self) -> ClusterRecord:
        return record_changes.with_spec(None, "lab", load_spec(self.root / "lab.yaml", self.settings)[1])

    def require_not_kept(self, path: Path) -> None:
        uses = [FileUse(self.root / "of-a-domain.raw", "the domain x", None, "vda", written=True)]
        require_not_kept(place_at(path), self.settings, [self.record()], uses)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "config-link.yaml"))
    return Host(tmp_path)


def through_a_hard_link(host: Host) -> Path:
    os.link(host.root / "mine.raw", host.project / "mine")
    return host.project / "mine"


def through_a_directory_that_a_link_leads_to(host: Host) -> Path:
    (host.project / "into").symlink_to(host.root / "overlays")
    return host.project / "into" / "lab" / "new"


def over_the_link_that_leads_to_the_layers(host: Host) -> Path:
    (host.root / "overlays").rename(host.root / "on-a-larger-disk")
    (host.root / "overlays").symlink_to(host.root / "on-a-larger-disk")
    return host.root / "overlays"


KEPT: dict[str, Callable[[Host], Path]] = {
    "a layer to be": lambda host: host.root / "overlays" / "lab" / "a.vda.r0.1.qcow2",
    "a disk of a record": lambda host: host.root / "mine.raw",
    "an image of a record": lambda host: host.root / "outside" / "base.qcow2",
    "a disk by a hard link": through_a_hard_link,
    "layers by a linked directory": through_a_directory_that_a_link_leads_to,
    "the link to the layers": over_the_link_that_leads_to_the_layers,
    "a disk of a machine of others": lambda host: host.root / "of-a-domain.raw",
    "a disk that a machine wrote to": lambda host: host.root / "noted.raw",
    "a marked file": lambda host: host.root / "marked",
    "a directory of a cluster whose record cannot be read": lambda host: host.root / "elsewhere" / "unreadable" / "new",
    "one below it": lambda host: host.root / "elsewhere" / "unreadable" / "sub" / "deeper" / "new",
    "one by a link": lambda host: host.root / "linked-dir" / "new",
    "the configuration, which is a link": lambda host: host.root / "config-link.yaml",
    "what the configuration is read from": lambda host: host.root / "free",
    "the store": lambda host: host.settings.state_dir / "records.sqlite",
    "the key": lambda host: host.settings.ssh_key_path,
}


@pytest.mark.parametrize("way", KEPT.values(), ids=KEPT)
def test_no_copy_comes_among_what_is_kept(host: Host, way: Callable[[Host], Path]) -> None:
    path = way(host)
    with pytest.raises(InvalidArgument, match=r"is among the files (that vmcluster keeps|of cluster unreadable)"):
        host.require_not_kept(path)


def test_a_copy_comes_anywhere_else(host: Host) -> None:
    scratch = host.settings.state_dir / "scratch"
    scratch.mkdir(parents=True)
    for path in (host.project / "new", host.project / "far" / "down", host.root / "raw.img", scratch / "x" / "new"):
        host.require_not_kept(path)


async def test_a_record_that_cannot_be_read_keeps_nobody_from_the_others(host: Host, tmp_path: Path) -> None:
    state = tmp_path / "of-records"
    state.mkdir(mode=0o700)
    store = SqliteStore(state)
    try:
        for name in ("broken", "newer", "lab"):
            record = host.record().model_copy(update={"cluster_name": name})
            await store.put(record, expected_generation=0, actor="test")
        with closing(sqlite3.connect(state / "records.sqlite")) as database, database:
            database.execute("UPDATE record SET document = '{\"spec\":' WHERE cluster_name = 'broken'")
            database.execute("UPDATE record SET document = '{\"of\": 2}' WHERE cluster_name = 'newer'")
        assert [record.cluster_name for record in await readable_records(store)] == ["lab"]
    finally:
        await store.close()


@pytest.mark.parametrize("becomes", ["a layer", "a cluster's directory", "the overlay directory"])
async def test_no_copy_takes_a_place_that_became_ours_while_it_was_on_its_way(
    host: Host, pool: SshPool, sshd: Sshd, becomes: str
) -> None:
    source, above, closed = host.root / "free", host.project / "copies", host.root / "elsewhere"
    above.mkdir()
    place = above / "copy"

    def take_the_place(_: int) -> None:
        if becomes == "a layer":
            place.write_bytes(b"layer")
            write_mark(place, OwnerMark(cluster="lab", kind=OwnedKind.LAYER))
        elif becomes == "a cluster's directory":
            write_mark(above, OwnerMark(cluster="lab", kind=OwnedKind.DIRECTORY))
        elif above.exists():
            above.rename(closed / "moved")
            (host.root / "overlays").rmdir()
            (closed / "moved").rename(host.root / "overlays")

    async def require_free(place: PlaceToMake) -> None:
        require_not_kept(place, host.settings, [host.record()])

    with pytest.raises(InvalidArgument, match="is among the files"):
        await pulled(pool, sshd, source, place_at(place), replace=True, told=take_the_place, require_free=require_free)
    left = [path for path in host.root.rglob("*") if path.name in {"copy"} or path.name.startswith(".vmcluster-pull")]
    assert [path.read_bytes() for path in left] == ([b"layer"] if becomes == "a layer" else [])
