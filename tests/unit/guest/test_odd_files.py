"""Copies of what is no plain file: content without a size, holes, hard links, dates, pipes, and names of any bytes."""

import os
import tarfile
from pathlib import Path

import pytest

from reconciler.errors import InvalidArgument, OperationFailed, SshTimeout
from reconciler.files.roots import opened, place_at
from reconciler.guest import tar_transfer
from reconciler.guest.pool import SshPool
from tests.sshd import Sshd, anywhere, is_alive
from tests.unit.guest.test_tar_transfer import SPOOL, Copies, names, same, unpacked
from tests.waiting import eventually

MIB = 1024 * 1024
TREE = Path("/proc/sys/vm")
UNSIZED = [*map(Path, ("/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/profiling"))]


@pytest.fixture
def copies(pool: SshPool, sshd: Sshd) -> Copies:
    return Copies(pool, sshd)


def content_of(path: Path) -> bytes:
    return path.read_bytes()


@pytest.mark.parametrize("source", [path for path in UNSIZED if path.exists()])
async def test_what_says_nothing_of_its_size_arrives_with_its_content(
    copies: Copies, tmp_path: Path, source: Path
) -> None:
    content = content_of(source)
    pushed = await copies.push(source, tmp_path / "there")
    pulled = await copies.pull(source, tmp_path / "back")
    for copy in (tmp_path / "there", tmp_path / "back"):
        assert copy.read_bytes() == content
    assert pushed.size_bytes == pulled.size_bytes == len(content)
    assert pushed.skipped == pulled.skipped == []


async def test_what_cannot_be_read_is_no_empty_file(copies: Copies, tmp_path: Path) -> None:
    with pytest.raises(OperationFailed, match="Input/output error"):
        await copies.pull(Path("/proc/self/mem"), tmp_path / "back")
    with pytest.raises(OperationFailed, match="Input/output error"):
        await copies.push(Path("/proc/self/mem"), tmp_path / "there")
    assert names(tmp_path) == []


@pytest.mark.parametrize("place", ["/proc/sys/vm/swappiness", "/proc/new", "/sys/kernel/profiling", "/sys/new/file"])
async def test_no_copy_is_made_among_the_kernels_own_files(copies: Copies, tmp_path: Path, place: str) -> None:
    source = tmp_path / "value"
    source.write_text("1\n")
    with pytest.raises(InvalidArgument, match="only the kernel makes files there") as refused:
        await copies.push(source, Path(place))
    assert refused.value.hint is not None
    assert "with a command on the node" in refused.value.hint


async def test_a_tree_of_them_comes_with_what_can_be_read_and_the_rest_is_named(copies: Copies, tmp_path: Path) -> None:
    pulled = await copies.pull(TREE, tmp_path / "back")
    assert (tmp_path / "back" / "swappiness").read_text() == (TREE / "swappiness").read_text()
    unreadable = [name for name in names(TREE) if not (TREE / name).stat().st_mode & 0o444]
    assert all(any(name in said for said in pulled.skipped) for name in unreadable)


def sparse(path: Path, size: int, *data: tuple[int, bytes]) -> Path:
    with path.open("wb") as file:
        for offset, content in data:
            file.seek(offset)
            file.write(content)
        file.truncate(size)
    return path


@pytest.mark.parametrize(
    "data",
    [[], [(0, b"begin")], [(300 * MIB - 3, b"end")], [(at * MIB, os.urandom(70_000)) for at in range(1, 290, 2)]],
    ids=["empty", "begin", "end", "many"],
)
async def test_holes_stay_holes_both_ways(copies: Copies, tmp_path: Path, data: list[tuple[int, bytes]]) -> None:
    source = sparse(tmp_path / "source", 300 * MIB, *data)
    pushed = await copies.push(source, tmp_path / "there")
    pulled = await copies.pull(source, tmp_path / "back")
    for copy in (tmp_path / "there", tmp_path / "back"):
        assert copy.stat().st_size == 300 * MIB
        assert copy.stat().st_blocks <= source.stat().st_blocks + 64
        with copy.open("rb") as file:
            for offset, content in data:
                file.seek(offset)
                assert file.read(len(content)) == content
    assert pushed.size_bytes < 30 * MIB
    assert pulled.size_bytes < 30 * MIB


async def test_a_file_beside_one_with_holes_keeps_its_content_and_name(copies: Copies, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    sparse(tree / "a ü", 3 * MIB, (MIB, b"middle"))
    (tree / "b").write_bytes(os.urandom(MIB + 7))
    sparse(tree / ("long" * 50), 3 * MIB)
    await copies.push(tree, tmp_path / "there")
    await copies.pull(tmp_path / "there", tmp_path / "back")
    assert same(tree, tmp_path / "there")
    assert same(tree, tmp_path / "back")


async def test_hard_links_of_every_kind_of_thing_come_along(copies: Copies, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "file").write_text("content")
    (tree / "link").symlink_to("file")
    (tree / "out").symlink_to("/etc/passwd")
    os.mkfifo(tree / "pipe")
    for name in ("file", "link", "out", "pipe"):
        os.link(tree / name, tree / "sub" / f"{name}2", follow_symlinks=False)
        os.link(tree / name, tree / f"{name}3", follow_symlinks=False)
    pushed = await copies.push(tree, tmp_path / "there")
    pulled = await copies.pull(tree, tmp_path / "back")
    assert (tmp_path / "there" / "sub" / "link2").readlink() == Path("file")
    assert (tmp_path / "back" / "link3").resolve() == tmp_path / "back" / "file"
    assert (tmp_path / "back" / "sub" / "file2").read_text() == "content"
    assert (tmp_path / "back" / "sub" / "link2").readlink() == Path("file")
    assert sum("pipe" in said for said in pushed.skipped) == 3
    for name in ("out", "out3", "out2", "pipe", "pipe2", "pipe3"):
        assert any(f"/{name}'" in said for said in pulled.skipped), name


DAYS = [-(10**10), -1.5, -1, 0, 1.25, 253402300800, 2**40]


@pytest.mark.parametrize("date_s", DAYS)
async def test_a_file_of_any_century_keeps_its_date(copies: Copies, tmp_path: Path, date_s: float) -> None:
    source = tmp_path / "source"
    source.touch()
    os.utime(source, (date_s, date_s))
    await copies.push(source, tmp_path / "there")
    await copies.pull(source, tmp_path / "back")
    kept = source.stat().st_mtime  # as far as the file system has room for it
    assert (tmp_path / "there").stat().st_mtime == kept
    assert (tmp_path / "back").stat().st_mtime == kept


@pytest.mark.parametrize("date", ["1e300", "-1e300", "inf", "nan", "9" * 40])
def test_a_date_that_is_none_costs_no_more_than_the_date(date: str, tmp_path: Path) -> None:
    members = [tarfile.TarInfo("t"), tarfile.TarInfo("t/a")]
    members[0].type = tarfile.DIRTYPE
    for member in members:
        member.pax_headers = {"mtime": date}
    stream = b"".join(member.tobuf(tarfile.PAX_FORMAT) for member in members) + bytes(1024)
    moved = unpacked(stream, tmp_path).publish()
    assert (tmp_path / "back" / "a").exists()
    assert len(moved.skipped) == 2
    assert "its date" in moved.skipped[0]


@pytest.mark.parametrize("kind", ["pipe", "device", "descriptor"])
async def test_what_cannot_be_copied_is_refused_at_once(copies: Copies, tmp_path: Path, kind: str) -> None:
    read_end, write_end = os.pipe()
    os.mkfifo(tmp_path / "fifo")
    source = {"pipe": tmp_path / "fifo", "device": Path("/dev/zero"), "descriptor": Path(f"/dev/fd/{read_end}")}[kind]
    with pytest.raises(InvalidArgument, match="only files and directories"):
        await copies.push(source, tmp_path / "there")
    if kind != "descriptor":
        with pytest.raises(InvalidArgument, match="a device, a socket or a pipe"):
            await copies.pull(source, tmp_path / "back")
    os.close(read_end)
    os.close(write_end)


async def test_a_read_that_does_not_come_back_ends_with_the_time_and_leaves_no_process(
    pool: SshPool, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "pid"  # in place of tar(1) on a network file system whose server is gone
    monkeypatch.setattr(tar_transfer, "render_send", lambda _: f"sleep 1000 & echo $! >{said}; wait")
    pulling = tar_transfer.pull_tree(
        pool,
        sshd.address,
        "/mnt/gone",
        place_at(tmp_path / "back"),
        require_free=anywhere,
        limit_bytes=MIB,
        timeout_s=2,
        on_bytes=lambda _: None,
    )
    with pytest.raises(SshTimeout, match="did not finish within 2 s"):
        await pulling
    assert names(tmp_path) == ["pid"]
    await eventually(lambda: not is_alive(int(said.read_text())))


async def test_a_link_is_refused_with_what_to_name_instead(copies: Copies, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(InvalidArgument, match=r"a symbolic link \(give its target"):
        await copies.pull(tmp_path / "link", tmp_path / "back")


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("change", ["shrinks", "grows"])
async def test_a_file_that_changes_while_it_is_read_is_named_and_breaks_nothing(
    copies: Copies, tmp_path: Path, change: str, holes: bool
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    size = 3 * MIB
    sparse(tree / "a", size, (0, os.urandom(size - MIB if holes else size)))
    (tree / "b").write_text("after it")

    def meddle(_: int) -> None:
        os.truncate(tree / "a", MIB if change == "shrinks" else 5 * MIB)

    async with tar_transfer.packed_parcel(opened(tree), SPOOL, meddle) as parcel:
        assert any("/a: it changed while it was read" in said for said in parcel.moved.skipped)
        await copies.send(parcel, tmp_path / "there")
    assert (tmp_path / "there" / "b").read_text() == "after it"
    assert (tmp_path / "there" / "a").read_bytes()[:MIB] == (tree / "a").read_bytes()[:MIB]
    assert (tmp_path / "there" / "a").stat().st_size == (MIB if change == "shrinks" and not holes else size)


async def test_names_of_any_bytes_are_kept_and_said_as_text(copies: Copies, tmp_path: Path) -> None:
    tree = tmp_path / os.fsdecode(b"tr\xffee")
    tree.mkdir()
    (tree / os.fsdecode(b"\xe9t\xe9")).write_text("content")
    sparse(tree / os.fsdecode(b"\xe9 hole"), MIB)
    (tree / "link").symlink_to(os.fsdecode(b"\xe9t\xe9"))
    os.mkfifo(tree / os.fsdecode(b"\xe9 pipe"))
    there, back = tmp_path / os.fsdecode(b"th\xfere"), tmp_path / "back"
    pushed = await copies.push(tree, there)
    pulled = await copies.pull(tree, back)
    for copy in (there, back):
        assert (copy / os.fsdecode(b"\xe9t\xe9")).read_text() == "content"
        assert (copy / "link").read_text() == "content"
        assert (copy / os.fsdecode(b"\xe9 hole")).stat().st_size == MIB
    for said in [*pushed.skipped, *pulled.skipped]:
        assert said.encode()
    assert len(pushed.skipped) == len(pulled.skipped) == 1


def test_a_map_of_holes_that_means_harm_is_refused(tmp_path: Path) -> None:
    for chart in (b"2\n5\n-5\n0\n5\n", b"1\n-9\n5\n", b"x\n", b"1\n0\n999999\n", b"2\n9\n1\n0\n1\n"):
        member = tarfile.TarInfo("t")
        member.size = 512
        member.pax_headers = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": "t",
            "GNU.sparse.realsize": "10",
        }
        stream = member.tobuf(tarfile.PAX_FORMAT) + chart.ljust(512, b"\0") + bytes(1024)
        with pytest.raises(OperationFailed):
            unpacked(stream, tmp_path)
        assert list(tmp_path.iterdir()) == []
