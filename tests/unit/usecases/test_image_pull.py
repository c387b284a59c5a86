"""Pulling images from a real server, whose disks QEMU makes."""

# ruff: noqa: ASYNC221, ASYNC240  (nothing else runs on the loop of these tests)

import asyncio
import hashlib
import json
import os
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import (
    Conflict,
    HostOccupied,
    ImageNotFound,
    InvalidArgument,
    LibvirtUnavailable,
    OperationFailed,
    StoreUnavailable,
)
from reconciler.host.libvirt.libvirt_driver import Libvirt
from reconciler.image.catalogue import CatalogueEntry
from reconciler.image.http_download import DownloadLimits
from reconciler.image.pulled import put_in_place
from reconciler.model.file_use import FileUse
from reconciler.model.named_image import PulledImage
from reconciler.progress import Progress
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.store.sqlite import SqliteStore
from reconciler.usecases import image_pull
from reconciler.usecases.image_pull import PullRequest, pull_image
from reconciler.usecases.named_images import examine_image, listed_images, remove_images
from tests.libvirt_socket import silent_libvirt
from tests.unit.store.samples import stand_on
from tests.waiting import PATIENCE_S, eventually
from tests.web_server import WebServer, running_web_server

MIB = 1 << 20
LIMITS = DownloadLimits(pause_s=0, tries=1)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with running_web_server() as running:
        yield running


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
async def runtime(tmp_path: Path, images: Path) -> AsyncIterator[Runtime]:
    settings = Settings(
        state_dir=tmp_path / "state",
        image_dir=images,
        overlay_dir=tmp_path / "overlays",
        template_dir=tmp_path / "templates",
        libvirt_uri=silent_libvirt(tmp_path),
    )
    async with Runtime(settings) as opened:
        yield opened


@pytest.fixture
def disk(tmp_path: Path) -> bytes:
    return made(tmp_path, "qcow2")


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> list[FileUse]:
    """The files of the machines that libvirt knows, where it answers."""
    known: list[FileUse] = []

    async def file_uses(_: Libvirt) -> Sequence[FileUse]:
        return known

    monkeypatch.setattr(Libvirt, "file_uses", file_uses)
    return known


def made(directory: Path, kind: str, size_bytes: int = MIB) -> bytes:
    """A disk with something on its first MiB, in a format."""
    raw, path = directory / "source", directory / f"made.{kind}"
    raw.write_bytes(b"something".ljust(MIB, b"\1"))
    os.truncate(raw, size_bytes)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", kind, raw, path], check=True)
    return path.read_bytes()


def with_one_block(vdi: bytes) -> bytes:
    """The image with all of its disk in one block of its file."""
    changed = bytearray(vdi)
    (table,), (blocks,) = struct.unpack_from("<I", vdi, 0x154), struct.unpack_from("<I", vdi, 0x180)
    changed[table : table + 4 * blocks] = bytes(4 * blocks)
    return bytes(changed)


def sums(content: bytes, name: str) -> bytes:
    return f"{hashlib.sha256(content).hexdigest()} *{name}\n".encode()


def published(server: WebServer, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a publisher of `debian-12`, with a file of checksums."""
    entry = CatalogueEntry("Debian 12", f"{server.url}/d12.qcow2", f"{server.url}/SHA256SUMS")
    monkeypatch.setattr(image_pull, "CATALOGUE", {"debian-12": entry})
    server.serve("/d12.qcow2", content)
    server.serve("/SHA256SUMS", sums(content, "d12.qcow2"))


async def pulled(
    runtime: Runtime, source: str = "debian-12", told: list[str] | None = None, **how: object
) -> PulledImage:
    request = PullRequest(source=source, limits=LIMITS, **how)  # type: ignore[arg-type]
    return await pull_image(runtime, request, Progress((told if told is not None else []).append))


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_an_image_of_the_catalogue_is_pulled_verified_and_described(
    runtime: Runtime, server: WebServer, images: Path, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)
    told: list[str] = []
    image = await pulled(runtime, told=told)
    assert (image.path, image.format, image.disk_bytes, image.reused) == (
        images / "debian-12.qcow2",
        "qcow2",
        MIB,
        False,
    )
    assert image.path.read_bytes() == disk
    assert image.origin is not None
    assert image.origin.url == f"{server.url}/d12.qcow2"
    assert image.origin.checksum == f"sha256:{hashlib.sha256(disk).hexdigest()}"
    assert image.origin.verified
    assert names_in(images) == ["debian-12.json", "debian-12.qcow2"]
    assert image.path.stat().st_mode & 0o777 == 0o644
    assert told[-1] == "debian-12: comparing it with its sha256"
    assert told[-2].startswith("debian-12: 100 % of")


async def test_an_image_that_is_there_as_published_is_not_downloaded_again(
    runtime: Runtime, server: WebServer, images: Path, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)
    await pulled(runtime)
    server.asked.clear()
    assert (await pulled(runtime)).reused
    assert server.asked == [("/SHA256SUMS", None)]
    assert names_in(images) == ["debian-12.json", "debian-12.qcow2"]


async def test_an_image_with_a_wrong_checksum_is_not_kept(
    runtime: Runtime, server: WebServer, images: Path, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)
    server.serve("/d12.qcow2", disk[:-1] + b"!")
    with pytest.raises(OperationFailed, match=r"what was downloaded has the sha256 \w+, and should have") as caught:
        await pulled(runtime)
    assert caught.value.hint is not None
    assert names_in(images) == []


async def test_a_broken_download_is_continued_by_the_next_command(
    runtime: Runtime, server: WebServer, images: Path, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)
    server.files["/d12.qcow2"].breaks_after = [70_000, 0]
    with pytest.raises(OperationFailed, match="cannot be downloaded"):
        await pulled(runtime)
    assert names_in(images) == ["debian-12.qcow2.part", "debian-12.qcow2.part.json"]
    assert (await pulled(runtime)).path.read_bytes() == disk
    assert server.asked[-1] == ("/d12.qcow2", "bytes=70000-")


async def test_of_an_image_that_is_not_there_nothing_is_left(runtime: Runtime, server: WebServer, images: Path) -> None:
    with pytest.raises(ImageNotFound):
        await pulled(runtime, f"{server.url}/gone.qcow2", unverified=True)
    assert names_in(images) == []


async def test_two_halves_of_two_versions_are_noticed_and_fetched_again(
    runtime: Runtime, server: WebServer, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)
    older = server.serve("/d12.qcow2", disk[::-1])
    older.breaks_after = [70_000, 0]
    with pytest.raises(OperationFailed):
        await pulled(runtime)
    server.serve("/d12.qcow2", disk)  # another content under the same ETag
    told: list[str] = []
    assert (await pulled(runtime, told=told)).path.read_bytes() == disk
    assert "debian-12: the parts do not belong together; downloading all of it again" in told


async def test_a_file_that_changes_while_it_is_resumed_is_fetched_again(
    runtime: Runtime, server: WebServer, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)
    server.serve("/d12.qcow2", disk[::-1], breaks_after=[100_000], changes_to=disk)
    assert (await pulled(runtime)).path.read_bytes() == disk


@pytest.mark.parametrize("kind", ["raw", "vdi", "vhdx", "vpc"])
async def test_an_image_in_another_format_becomes_qcow2(
    runtime: Runtime, server: WebServer, images: Path, tmp_path: Path, kind: str
) -> None:
    content = made(tmp_path, kind)
    server.serve("/some/Disk.img", content)
    image = await pulled(runtime, f"{server.url}/some/Disk.img?token=1", sha256=hashlib.sha256(content).hexdigest())
    assert (image.name, image.format) == ("disk", "qcow2")
    assert image.origin is not None
    assert (image.origin.format, image.origin.url) == (kind, f"{server.url}/some/Disk.img")
    back = tmp_path / "back"
    subprocess.run(["qemu-img", "convert", "-O", "raw", image.path, back], check=True)
    assert back.read_bytes()[:MIB] == b"something".ljust(MIB, b"\1")
    assert names_in(images) == ["disk.json", "disk.qcow2"]


async def test_an_image_that_is_pulled_again_in_another_format_is_known_by_what_was_downloaded(
    runtime: Runtime, server: WebServer, tmp_path: Path
) -> None:
    content = made(tmp_path, "raw")
    server.serve("/disk.raw", content)
    digest = hashlib.sha256(content).hexdigest()
    await pulled(runtime, f"{server.url}/disk.raw", sha256=digest)
    assert (await pulled(runtime, f"{server.url}/disk.raw", sha256=digest)).reused


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<html>try later</html>".ljust(4096), "text"),
        (b"\xfd7zXZ\0".ljust(4096, b"\1"), "unpack it"),
        (b"# Disk DescriptorFile\nRW 1 FLAT /etc/shadow 0\n".ljust(4096), "vmdk"),
        (b"", "is empty"),
    ],
)
async def test_what_is_no_image_is_refused_and_removed(
    runtime: Runtime, server: WebServer, images: Path, content: bytes, why: str
) -> None:
    server.serve("/disk.img", content)
    with pytest.raises(ImageNotFound, match=r"cannot be used: .*it") as caught:
        await pulled(runtime, f"{server.url}/disk.img", unverified=True)
    assert why in str(caught.value)
    assert ".part" not in str(caught.value)
    assert names_in(images) == []


async def test_an_image_that_would_read_files_of_this_host_is_refused(
    runtime: Runtime, server: WebServer, images: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret".ljust(MIB))
    over = tmp_path / "over.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", over], check=True)
    server.serve("/disk.qcow2", over.read_bytes())
    with pytest.raises(ImageNotFound, match="has a backing file"):
        await pulled(runtime, f"{server.url}/disk.qcow2", unverified=True)
    assert names_in(images) == []


async def test_an_image_that_names_the_same_data_many_times_does_not_fill_the_disk(
    runtime: Runtime, server: WebServer, images: Path, tmp_path: Path
) -> None:
    server.serve("/disk.vdi", with_one_block(made(tmp_path, "vdi", size_bytes=64 * MIB)))
    with pytest.raises(ImageNotFound, match="cannot be used: it maps more than 17 MiB to the 1 MiB that it has"):
        await pulled(runtime, f"{server.url}/disk.vdi", unverified=True)
    assert names_in(images) == []


@pytest.mark.parametrize("kind", ["raw", "vdi", "vhdx", "vpc"])
async def test_an_image_whose_disk_is_much_larger_than_its_file_is_converted(
    runtime: Runtime, server: WebServer, images: Path, tmp_path: Path, kind: str
) -> None:
    server.serve("/disk.img", made(tmp_path, kind, size_bytes=64 * MIB))
    image = await pulled(runtime, f"{server.url}/disk.img", unverified=True)
    assert image.disk_bytes >= 64 * MIB
    assert names_in(images) == ["disk.json", "disk.qcow2"]


async def test_an_address_needs_a_checksum_or_consent(runtime: Runtime, server: WebServer, disk: bytes) -> None:
    server.serve("/disk.qcow2", disk)
    with pytest.raises(InvalidArgument, match=r"nothing says what .*disk\.qcow2 has to contain") as caught:
        await pulled(runtime, f"{server.url}/disk.qcow2")
    assert "--unverified" in (caught.value.hint or "")
    assert server.asked == []
    image = await pulled(runtime, f"{server.url}/disk.qcow2", unverified=True)
    assert image.origin is not None
    assert not image.origin.verified


async def test_an_address_may_come_with_the_address_of_its_checksums(
    runtime: Runtime, server: WebServer, disk: bytes
) -> None:
    server.serve("/disk.qcow2", disk)
    server.serve("/CHECKSUM", f"SHA512 (disk.qcow2) = {hashlib.sha512(disk).hexdigest()}\n".encode())
    image = await pulled(runtime, f"{server.url}/disk.qcow2", checksum_url=f"{server.url}/CHECKSUM", name="mine")
    assert image.origin is not None
    assert image.origin.checksum.startswith("sha512:")
    assert (image.name, image.origin.verified) == ("mine", True)


async def test_a_file_of_checksums_without_the_image_is_named(runtime: Runtime, server: WebServer, disk: bytes) -> None:
    server.serve("/disk.qcow2", disk)
    server.serve("/SUMS", sums(disk, "other.qcow2"))
    with pytest.raises(ImageNotFound, match=f"{server.url}/SUMS has no SHA-256"):
        await pulled(runtime, f"{server.url}/disk.qcow2", checksum_url=f"{server.url}/SUMS")


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"source": "debain-12"}, "is no published image"),
        ({"source": "http://example.org/disk.img", "unverified": True}, "is not an https address"),
        ({"source": "https://example.org/disk.img", "unverified": True, "name": "a.img"}, "cannot be the name"),
        ({"source": "https://example.org/disk.img", "unverified": True, "name": "../a"}, "cannot be the name"),
        ({"source": "https://example.org/", "unverified": True}, "cannot be the name"),
        ({"source": "https://example.org/disk.img", "sha256": "abc"}, "is not a SHA-256 digest"),
        ({"source": "debian-12", "sha256": "a" * 64, "unverified": True}, "contradicts"),
    ],
)
async def test_a_request_that_cannot_be_carried_out_is_refused_before_anything_is_fetched(
    runtime: Runtime, images: Path, how: dict[str, object], why: str
) -> None:
    with pytest.raises(InvalidArgument, match=why):
        await pulled(runtime, **how)  # type: ignore[arg-type]
    assert not images.exists()


async def test_a_newer_image_does_not_replace_the_one_that_disks_may_stand_on(
    runtime: Runtime, server: WebServer, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)
    image = await pulled(runtime)
    published(server, disk + bytes(65536), monkeypatch)
    with pytest.raises(Conflict, match=r"is there already, pulled \d{4}.*, with other content"):
        await pulled(runtime)
    with pytest.raises(LibvirtUnavailable):  # as others' machines may stand on it
        await pulled(runtime, force=True)
    assert image.path.read_bytes() == disk


async def test_force_replaces_an_image_unless_something_stands_on_it(
    runtime: Runtime, server: WebServer, disk: bytes, machines: list[FileUse], monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)
    image = await pulled(runtime)
    newer = disk + bytes(65536)
    published(server, newer, monkeypatch)
    machines.append(FileUse(image.path, "the domain golden", None, "vda", written=False))
    with pytest.raises(Conflict, match="the domain golden stands on"):
        await pulled(runtime, force=True)
    machines.clear()
    assert (await pulled(runtime, force=True)).path.read_bytes() == newer
    assert (await pulled(runtime)).reused


async def test_force_replaces_no_image_that_a_cluster_was_made_on_during_the_download(
    runtime: Runtime, server: WebServer, disk: bytes, machines: list[FileUse], monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)
    image = await pulled(runtime)
    published(server, disk + bytes(65536), monkeypatch)
    told: list[str] = []
    async with runtime.host_lease("a round").turn(PATIENCE_S):
        pulling = asyncio.create_task(pulled(runtime, told=told, force=True))
        await eventually(lambda: any("comparing" in line for line in told))
        await stand_on(runtime, image.path)
    with pytest.raises(Conflict, match="node zeta of cluster lab, node alpha of cluster lab stand on"):
        await pulling
    assert image.path.read_bytes() == disk
    assert (await examine_image(runtime, "debian-12")).origin == image.origin


async def test_no_round_makes_disks_between_the_look_at_an_image_and_its_removal(
    runtime: Runtime, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images.mkdir()
    (images / "mine.qcow2").write_bytes(b"mine")

    async def file_uses(_: Libvirt) -> Sequence[FileUse]:
        async with runtime.host_lease("a round").turn(0):
            return ()

    monkeypatch.setattr(Libvirt, "file_uses", file_uses)
    with pytest.raises(HostOccupied):
        await remove_images(runtime, ["mine"])
    assert names_in(images) == ["mine.qcow2"]


async def test_nothing_is_removed_while_a_record_cannot_be_read(
    runtime: Runtime, images: Path, machines: list[FileUse], monkeypatch: pytest.MonkeyPatch
) -> None:
    images.mkdir()
    (images / "mine.qcow2").write_bytes(b"mine")
    await stand_on(runtime, images / "mine.qcow2")

    async def get(_: SqliteStore, name: str) -> None:
        raise StoreUnavailable(f"the record of {name} cannot be read")

    monkeypatch.setattr(SqliteStore, "get", get)
    with pytest.raises(StoreUnavailable):
        await remove_images(runtime, ["mine"])
    assert names_in(images) == ["mine.qcow2"]


async def test_an_image_that_appears_during_the_download_stays(
    runtime: Runtime, server: WebServer, images: Path, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)

    def put_later(made: Path, disk: Path, *more: Any, **how: Any) -> None:
        disk.write_bytes(b"mine")
        put_in_place(made, disk, *more, **how)

    monkeypatch.setattr(image_pull, "put_in_place", put_later)
    with pytest.raises(Conflict, match="has been created meanwhile"):
        await pulled(runtime)
    assert (images / "debian-12.qcow2").read_bytes() == b"mine"
    assert not (images / "debian-12.json").exists()


async def test_a_file_in_the_place_of_the_description_is_only_replaced_by_force(
    runtime: Runtime, server: WebServer, images: Path, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)
    images.mkdir()
    (images / "debian-12.json").write_text("mine")
    with pytest.raises(Conflict, match=r"debian-12\.json was not created by vmcluster"):
        await pulled(runtime)
    assert [path for path, _ in server.asked] == ["/SHA256SUMS"]
    assert (images / "debian-12.json").read_text() == "mine"
    assert (await pulled(runtime, force=True)).origin is not None


async def test_a_file_that_takes_the_place_of_the_description_during_the_download_stays(
    runtime: Runtime, server: WebServer, images: Path, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)

    def put_later(made: Path, disk: Path, *more: Any, **how: Any) -> None:
        disk.with_suffix(".json").write_text("mine")
        put_in_place(made, disk, *more, **how)

    monkeypatch.setattr(image_pull, "put_in_place", put_later)
    with pytest.raises(Conflict, match=r"debian-12\.json was not created by vmcluster"):
        await pulled(runtime)
    assert (images / "debian-12.json").read_text() == "mine"
    assert not (images / "debian-12.qcow2").exists()


async def test_an_image_of_which_only_the_description_is_left_is_pulled_again(
    runtime: Runtime, server: WebServer, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)
    image = await pulled(runtime)
    image.path.unlink()
    assert (await pulled(runtime)).path.read_bytes() == disk


async def test_a_file_that_was_not_pulled_is_not_replaced(
    runtime: Runtime, server: WebServer, images: Path, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)
    images.mkdir()
    (images / "debian-12.qcow2").write_bytes(b"mine")
    with pytest.raises(Conflict, match="is there already, which was not pulled"):
        await pulled(runtime)
    assert names_in(images) == ["debian-12.qcow2"]
    assert (images / "debian-12.qcow2").read_bytes() == b"mine"


async def test_what_a_killed_pull_was_converting_is_removed_by_the_next(
    runtime: Runtime, server: WebServer, images: Path, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)
    images.mkdir()
    (images / "debian-12.qcow2.part.made").write_bytes(b"half")
    await pulled(runtime)
    assert names_in(images) == ["debian-12.json", "debian-12.qcow2"]


async def test_what_was_converted_is_removed_if_its_place_is_taken(
    runtime: Runtime, server: WebServer, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, made(tmp_path, "vdi"), monkeypatch)

    def put_later(made: Path, disk: Path, *more: Any, **how: Any) -> None:
        disk.write_bytes(b"mine")
        put_in_place(made, disk, *more, **how)

    monkeypatch.setattr(image_pull, "put_in_place", put_later)
    with pytest.raises(Conflict, match="has been created meanwhile"):
        await pulled(runtime)
    assert names_in(images) == ["debian-12.qcow2", "debian-12.qcow2.part", "debian-12.qcow2.part.json"]


async def test_a_pull_that_was_killed_when_the_image_had_its_name_has_left_no_way_to_write_to_it(
    runtime: Runtime,
    server: WebServer,
    images: Path,
    disk: bytes,
    machines: list[FileUse],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published(server, disk, monkeypatch)
    image = await pulled(runtime)
    os.link(image.path, images / "debian-12.qcow2.part")
    newer = disk + bytes(65536)
    published(server, newer, monkeypatch)
    with image.path.open("rb") as open_in_a_machine:
        assert (await pulled(runtime, force=True)).path.read_bytes() == newer
        assert open_in_a_machine.read() == disk


async def test_images_are_listed_and_examined_with_all_that_stands_on_them(
    runtime: Runtime, server: WebServer, images: Path, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)
    await pulled(runtime)
    (images / "junk.qcow2").write_bytes(b"QFI\xfb")
    (images / "other.img").write_bytes(b"an image without a name")
    await stand_on(runtime, images / "debian-12.qcow2")
    listed = {of.name: of for of in await listed_images(runtime)}
    assert list(listed) == ["debian-12", "junk"]
    assert listed["junk"].format == "unreadable"
    assert listed["debian-12"].used_by == ("node zeta of cluster lab", "node alpha of cluster lab")
    image = await examine_image(runtime, "debian-12")
    assert (image.digest, image.trouble) == (f"sha256:{hashlib.sha256(disk).hexdigest()}", "")
    assert (await examine_image(runtime, "junk")).trouble != ""


async def test_an_image_that_was_changed_is_not_said_to_be_what_was_pulled(
    runtime: Runtime, server: WebServer, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, disk, monkeypatch)
    image = await pulled(runtime)
    image.path.write_bytes(disk + b"more")
    assert (await examine_image(runtime, "debian-12")).origin is None


async def test_an_image_that_a_cluster_stands_on_is_not_removed(
    runtime: Runtime,
    server: WebServer,
    images: Path,
    disk: bytes,
    machines: list[FileUse],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published(server, disk, monkeypatch)
    await pulled(runtime)
    await pulled(runtime, name="spare")
    await stand_on(runtime, images / "debian-12.qcow2")
    with pytest.raises(Conflict, match="node zeta of cluster lab, node alpha of cluster lab stand on"):
        await remove_images(runtime, ["spare", "debian-12"])
    assert len(names_in(images)) == 4
    removed = await remove_images(runtime, ["spare"])
    assert removed.names == ("spare",)
    assert removed.freed_bytes > 0
    assert names_in(images) == ["debian-12.json", "debian-12.qcow2"]


async def test_nothing_is_removed_while_it_is_not_known_what_stands_on_it(runtime: Runtime, images: Path) -> None:
    images.mkdir()
    (images / "mine.qcow2").write_bytes(b"mine")
    (images / "mine.json").write_text(json.dumps({"of": "somebody"}))
    with pytest.raises(LibvirtUnavailable):
        await remove_images(runtime, ["mine"])
    assert names_in(images) == ["mine.json", "mine.qcow2"]


async def test_a_file_beside_an_image_that_vmcluster_did_not_make_stays(
    runtime: Runtime, images: Path, machines: list[FileUse]
) -> None:
    images.mkdir()
    (images / "mine.qcow2").write_bytes(b"mine")
    (images / "mine.json").write_text(json.dumps({"of": "somebody"}))
    await remove_images(runtime, ["mine"])
    assert names_in(images) == ["mine.json"]


@pytest.mark.parametrize(
    ("name", "hint"), [("debian-12", '`image_pull(image="debian-12")` gets it'), ("mine-2", "did you mean mine-1?")]
)
async def test_an_image_that_is_not_there_is_named_with_its_remedy(
    runtime: Runtime, images: Path, name: str, hint: str
) -> None:
    images.mkdir()
    (images / "mine-1.qcow2").touch()
    with pytest.raises(ImageNotFound) as caught:
        await examine_image(runtime, name)
    assert caught.value.hint == hint
