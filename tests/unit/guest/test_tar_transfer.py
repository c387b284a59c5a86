"""Files and trees to and from the other side of a real sshd, and streams that mean harm."""

import asyncio
import dataclasses
import io
import os
import socket
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import InvalidArgument, OperationFailed
from reconciler.files.roots import Opened, opened, place_at
from reconciler.guest import packing, tar_transfer, unpacking
from reconciler.guest.packing import Moved
from reconciler.guest.pool import SshPool
from reconciler.guest.tar_transfer import Parcel
from tests.sshd import Sshd, anywhere

SPOOL = Path(tempfile.gettempdir())
LIMIT_BYTES = 64 * 1024 * 1024


class Copies:
    """Pushes and pulls between directories, the other one behind SSH."""

    def __init__(self, pool: SshPool, sshd: Sshd) -> None:
        self._pool, self._sshd = pool, sshd
        self.told: list[int] = []
        self.sent: list[int] = []

    async def push(self, source: Path, destination: Path, *, replace: bool = False) -> Moved:
        async with tar_transfer.packed_parcel(opened(source), SPOOL, self.told.append) as parcel:
            await self.send(parcel, destination, replace=replace)
            return parcel.moved

    async def send(self, parcel: Parcel, destination: Path, *, replace: bool = False) -> None:
        await tar_transfer.push_parcel(
            self._pool,
            self._sshd.address,
            parcel,
            str(destination),
            replace=replace,
            timeout_s=20,
            on_bytes=self.sent.append,
        )

    async def pull(
        self, source: Path, destination: Path, *, replace: bool = False, limit_bytes: int = LIMIT_BYTES
    ) -> Moved:
        return await tar_transfer.pull_tree(
            self._pool,
            self._sshd.address,
            str(source),
            place_at(destination),
            require_free=anywhere,
            replace=replace,
            limit_bytes=limit_bytes,
            timeout_s=20,
            on_bytes=self.told.append,
        )


@pytest.fixture
def copies(pool: SshPool, sshd: Sshd) -> Copies:
    return Copies(pool, sshd)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A tree with everything that a tree may hold."""
    root = tmp_path / "here"
    (root / "sub" / "empty").mkdir(parents=True)
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o751)
    (root / "sub" / "big").write_bytes(os.urandom(3_000_000))
    (root / "sub" / "-rf \n'\"; $(x) \\ ü").write_text("odd name")
    (root / "sub" / "link").symlink_to("../run.sh")
    for path in (root / "run.sh", root / "sub"):
        os.utime(path, (1_600_000_000, 1_600_000_000.5))
    return root


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def open_descriptors() -> int:
    return len(names(Path("/proc/self/fd")))


def same(one: Path, other: Path) -> bool:
    return _listing(one) == _listing(other)


def _listing(root: Path) -> list[tuple[str, int, float, bytes]]:
    paths = sorted([root, *root.rglob("*")])
    return [(str(path.relative_to(root)), path.lstat().st_mode, *_content(path)) for path in paths]


def _content(path: Path) -> tuple[float, bytes]:
    if path.is_symlink():
        return 0.0, str(path.readlink()).encode()
    return round(path.stat().st_mtime, 3), b"" if path.is_dir() else path.read_bytes()


async def test_a_tree_comes_back_as_it_went(copies: Copies, here: Path, tmp_path: Path) -> None:
    pushed = await copies.push(here, tmp_path / "new" / "there")
    assert (pushed.files, pushed.directories, pushed.links, pushed.skipped) == (3, 3, 1, [])
    assert same(here, tmp_path / "new" / "there")
    assert copies.told[-1] == pushed.size_bytes == 3_000_018
    pulled = await copies.pull(tmp_path / "new" / "there", tmp_path / "back")
    assert (pulled.files, pulled.directories, pulled.links) == (3, 3, 1)
    assert same(here, tmp_path / "back")
    assert names(tmp_path) == ["back", "here", "new"]
    assert names(tmp_path / "new") == ["there"]


async def test_one_parcel_goes_to_many_places_at_once_whatever_becomes_of_its_source(
    copies: Copies, here: Path, tmp_path: Path
) -> None:
    descriptors = open_descriptors()
    async with tar_transfer.packed_parcel(opened(here), SPOOL, copies.told.append) as parcel:
        (here / "sub" / "big").write_bytes(b"changed meanwhile")
        sends = [copies.send(parcel, tmp_path / f"there{number}") for number in range(3)]
        refused = copies.send(parcel, here)
        *_, failure = await asyncio.gather(*sends, refused, return_exceptions=True)
        stream_bytes = os.fstat(parcel.descriptor).st_size
    assert isinstance(failure, InvalidArgument)
    assert [(tmp_path / f"there{number}" / "sub" / "big").stat().st_size for number in range(3)] == [3_000_000] * 3
    assert max(copies.sent) == stream_bytes
    assert open_descriptors() <= descriptors + 1, "only the pooled connection may be new"


async def test_a_place_for_the_parcel_that_is_not_there_is_named(copies: Copies, here: Path, tmp_path: Path) -> None:
    with pytest.raises(OperationFailed, match="nowhere"):
        async with tar_transfer.packed_parcel(opened(here), tmp_path / "nowhere", copies.told.append):
            pass


async def test_a_file_takes_the_place_of_a_file(copies: Copies, here: Path, tmp_path: Path) -> None:
    there = tmp_path / "file"
    there.write_text("old")
    await copies.push(here / "run.sh", there)
    assert there.read_text() == "#!/bin/sh\n"
    assert there.stat().st_mode & 0o777 == 0o751
    (tmp_path / "back").write_text("old")
    with pytest.raises(InvalidArgument, match=r"back already exists \(`replace`"):
        await copies.pull(there, tmp_path / "back")
    assert (tmp_path / "back").read_text() == "old"
    (tmp_path / "back").chmod(0o600)
    await copies.pull(there, tmp_path / "back", replace=True)
    assert (tmp_path / "back").read_text() == "#!/bin/sh\n"
    assert (tmp_path / "back").stat().st_mode & 0o7777 == 0o700, "others may do no more than they could before"


async def test_a_directory_is_replaced_only_when_asked_to(copies: Copies, here: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "precious").touch()
    with pytest.raises(InvalidArgument, match=r"a directory already exists there \(`replace`"):
        await copies.push(here, there)
    assert names(there) == ["precious"]
    await copies.push(here, there, replace=True)
    assert same(here, there)
    with pytest.raises(InvalidArgument, match=f"such as {here}/there"):
        await copies.pull(there, here)
    with pytest.raises(InvalidArgument, match="such as copy"):
        await copies.pull(there, Path())
    assert names(tmp_path) == ["here", "there"]


async def test_names_of_one_file_are_names_of_one_file_there_and_its_content_travels_once(
    copies: Copies, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "one").write_bytes(b"x" * 100_000)
    with (tree / "sparse").open("wb") as sparse:
        sparse.truncate(50_000_000)
        sparse.write(b"data")
    for name in ("one", "sparse"):
        for other in (f"below/{name}", f"{name}-again"):
            (tree / other).hardlink_to(tree / name)
    (tree / "same").write_bytes(b"x" * 100_000)
    there, back = tmp_path / "there", tmp_path / "back"
    moved = await copies.push(tree, there)
    await copies.pull(there, back)
    assert (moved.files, moved.size_bytes < 300_000) == (7, True)
    for place in (there, back):
        for name in ("one", "sparse"):
            files = [(place / each).stat() for each in (name, f"below/{name}", f"{name}-again")]
            assert len({of.st_ino for of in files}) == 1
            assert files[0].st_nlink == 3
        assert (place / "same").stat().st_nlink == 1
        assert (place / "below/one").read_bytes() == b"x" * 100_000
        assert (place / "sparse").stat().st_size == 50_000_000


async def test_a_copy_that_has_no_room_is_refused_before_it_begins(copies: Copies, here: Path, tmp_path: Path) -> None:
    async with tar_transfer.packed_parcel(opened(here), SPOOL, copies.told.append) as parcel:
        moved = dataclasses.replace(parcel.moved, size_bytes=1 << 60)
        with pytest.raises(OperationFailed) as refused:
            await copies.send(dataclasses.replace(parcel, moved=moved), tmp_path / "far" / "away" / "copy")
    assert refused.value.node == "sshd"
    assert f"MiB are free there, but the copy needs {1 << 40} MiB" in refused.value.message
    assert not (tmp_path / "far").exists()


async def test_neither_a_file_nor_a_tree_comes_where_the_other_is(copies: Copies, here: Path, tmp_path: Path) -> None:
    file, empty = tmp_path / "file", tmp_path / "empty"
    file.write_text("kept")
    empty.mkdir()
    with pytest.raises(InvalidArgument, match="a file already exists there"):
        await copies.push(here, file)
    for replace in (False, True):
        with pytest.raises(InvalidArgument, match="cannot make" if replace else "already exists"):
            await copies.pull(here, file, replace=replace)
    with pytest.raises(InvalidArgument, match="cannot make"):
        await copies.pull(file, empty)
    assert file.read_text() == "kept"
    assert names(tmp_path) == ["empty", "file", "here"]


@pytest.mark.parametrize("replace", [False, True])
async def test_no_copy_takes_the_place_of_a_device_a_socket_or_a_pipe(
    copies: Copies, here: Path, tmp_path: Path, replace: bool
) -> None:
    file, link, pipe = here / "run.sh", tmp_path / "null", tmp_path / "pipe"
    link.symlink_to("/dev/null")
    os.mkfifo(pipe)
    for place in (pipe, link):
        with pytest.raises(
            InvalidArgument, match="a device, a socket or a pipe is there, which a copy must not replace"
        ):
            await copies.push(file, place, replace=replace)
        with pytest.raises(InvalidArgument, match=r"is a (pipe|symbolic link), which a copy must not replace"):
            await copies.pull(file, place, replace=replace)
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert names(tmp_path) == ["here", "null", "pipe"]


async def test_what_is_missing_is_named(copies: Copies, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        await copies.push(tmp_path / "nothing-here", tmp_path / "there")
    with pytest.raises(InvalidArgument, match="nothing-there was not read: it does not exist"):
        await copies.pull(tmp_path / "nothing-there", tmp_path / "back")
    assert names(tmp_path) == []


async def test_a_place_that_cannot_be_written_to_is_named(copies: Copies, here: Path) -> None:
    with pytest.raises(OperationFailed, match=r"run.sh/copy was not written: mkdir: "):
        await copies.push(here, here / "run.sh" / "copy")


@pytest.mark.parametrize("path", ["relative", "/", "/a/../b", "", "n0:/tmp/x", "root@n0:x"])
async def test_only_absolute_paths_are_taken(copies: Copies, here: Path, path: str) -> None:
    with pytest.raises(InvalidArgument, match="nodes are named apart" if ":" in path else "start with '/'"):
        await copies.pull(Path(path), here / "new")


async def test_sockets_and_links_out_of_the_tree_are_left_out_and_listed(copies: Copies, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "out").symlink_to("/etc/passwd")
    (source / "up").symlink_to("../../x")
    (source / "kept").symlink_to("./nowhere")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(source / "socket"))
        pushed = await copies.push(source, tmp_path / "there")
        pulled = await copies.pull(source, tmp_path / "back")
    assert [text.rsplit("/", 1)[1] for text in pushed.skipped] == ["socket: neither file, directory nor link"]
    assert (tmp_path / "there" / "out").readlink() == Path("/etc/passwd")
    assert names(tmp_path / "back") == ["kept"]
    assert len(pulled.skipped) == 3
    assert f"'{source}/out': a link out of the tree, to '/etc/passwd'" in pulled.skipped


async def test_more_than_the_limit_is_not_taken(copies: Copies, here: Path, tmp_path: Path) -> None:
    with pytest.raises(OperationFailed, match="more than 1000 bytes"):
        await copies.pull(here, tmp_path / "back", limit_bytes=1000)
    assert names(tmp_path) == ["here"]


async def test_a_source_that_cannot_be_read_to_its_end_leaves_nothing(
    copies: Copies, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = packing._walk

    def cut(source: Opened) -> object:
        yield from list(walk(source))[:2]
        raise OSError(5, "bad sector")

    monkeypatch.setattr(packing, "_walk", cut)
    with pytest.raises(OperationFailed, match="bad sector"):
        await copies.push(here, tmp_path / "there")
    assert names(tmp_path) == ["here"]


def unpacked(stream: bytes, directory: Path) -> unpacking.Unpacked:
    read_end, write_end = os.pipe()
    if os.fork() == 0:  # more than a pipe holds
        os.close(read_end)
        try:
            with os.fdopen(write_end, "wb") as pipe:
                pipe.write(stream)
        finally:
            os._exit(0)
    os.close(write_end)
    try:
        return unpacking.unpack(
            read_end,
            PurePosixPath("/t"),
            place_at(directory / "back"),
            limit_bytes=LIMIT_BYTES,
            on_bytes=lambda _: None,
        )
    finally:
        os.wait()


def stream_of(*members: tuple[str, bytes, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as stream:
        for name, kind, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            stream.addfile(member)
    return out.getvalue()


DIR, FILE, SYM, HARD = tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize(
    "stream",
    [
        stream_of(("t", DIR, ""), ("t/../../escaped", FILE, "")),
        stream_of(("/escaped", FILE, "")),
        stream_of(("other", FILE, "")),
        stream_of(("t", DIR, ""), ("t/hard", HARD, "/etc/passwd")),
        stream_of(("t", DIR, ""), ("t/hard", HARD, "t/../../here")),
        stream_of(("t", DIR, ""), ("t/a", FILE, ""), ("t/a", FILE, "")),
        stream_of(("t", DIR, ""), ("t/link", SYM, "sub"), ("t/link/escaped", FILE, "")),
        b"",
        b"no archive",
    ],
)
def test_a_stream_that_means_harm_is_refused_and_leaves_nothing(stream: bytes, tmp_path: Path) -> None:
    with pytest.raises(OperationFailed):
        unpacked(stream, tmp_path)
    assert list(tmp_path.iterdir()) == []


@given(st.data())
def test_no_stream_writes_outside_of_its_tree(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    directory = tmp_path_factory.mktemp("hostile")
    names = st.sampled_from(["t", "t/a", "t/a/b", "t/b", "../x", "/x", "t/../../x", "t/a/../../../x", "x", "."])
    targets = st.sampled_from(["", "t/a", "a", "..", "../..", "/", "/tmp", "t", "../x"])
    kinds = st.sampled_from([DIR, FILE, SYM, HARD, tarfile.FIFOTYPE, tarfile.CHRTYPE])
    members = data.draw(st.lists(st.tuples(names, kinds, targets), max_size=8))
    try:
        unpacked(stream_of(*members), directory).publish()
    except OperationFailed:
        assert list(directory.iterdir()) == []
    else:
        assert [path.name for path in directory.iterdir()] == ["back"]
        links = [path for path in (directory / "back").rglob("*") if path.is_symlink()]
        assert all(Path(os.path.normpath(link.parent / link.readlink())).is_relative_to(directory) for link in links)
