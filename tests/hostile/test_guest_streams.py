"""Tar streams that a hostile node sends for `pull`: nothing leaves its tree, and nothing grows with what it claims."""

import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from reconciler.errors import OperationFailed
from reconciler.files import space
from reconciler.files.roots import place_at
from reconciler.guest import unpacking
from reconciler.guest.packing import Moved
from tests.hostile import ROUNDS, SEED
from tests.hostile.client import Sandbox
from tests.hostile.tally import Tally

MIB = 1024 * 1024
END = bytes(2 * tarfile.BLOCKSIZE)
DIR, FILE, SYM, HARD = tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def header(name: str, kind: bytes = FILE, *, size: int = 0, link: str = "", mode: int = 0o644) -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname, member.mode = kind, size, link, mode
    return member.tobuf(tarfile.GNU_FORMAT)


def extended(*records: tuple[str, str]) -> bytes:
    """An extended header of its own, with the records as given."""
    body = b""
    for key, value in records:
        rest = os.fsencode(f" {key}={value}\n")
        length = len(rest) + len(str(len(rest) + len(str(len(rest)))))
        body += str(length).encode() + rest
    return header("x", tarfile.XHDTYPE, size=len(body)) + body + bytes(-len(body) % tarfile.BLOCKSIZE)


SPARSE = (("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "t"))


def unpack(stream: bytes, directory: Path, *, limit_bytes: int = 64 * MIB) -> Moved:
    """What a pull of /t makes of a stream, published as `directory`/back."""
    (directory / "stream").write_bytes(stream)
    return unpack_file(directory / "stream", directory, limit_bytes=limit_bytes)


def unpack_file(stream: Path, directory: Path, *, limit_bytes: int = 64 * MIB) -> Moved:
    """The same of a stream in a file, which is gone afterwards."""
    with stream.open("rb") as file:
        stream.unlink()
        unpacked = unpacking.unpack(
            os.dup(file.fileno()),
            PurePosixPath("/t"),
            place_at(directory / "back"),
            limit_bytes=limit_bytes,
            on_bytes=lambda _: None,
        )
    return unpacked.publish()


CLAIMS = {
    "an extended header of 800 MiB": header("x", tarfile.XHDTYPE, size=800 * MIB),
    "a long name of 800 MiB": header("x", tarfile.GNUTYPE_LONGNAME, size=800 * MIB),
    "a long link of 800 MiB": header("x", tarfile.GNUTYPE_LONGLINK, size=800 * MIB),
    "a header for all entries": header("x", tarfile.XGLTYPE, size=512),
    "a thousand headers before one entry": extended(("a", "b")) * 1000 + header("t"),
    "a map of a billion pieces": extended(*SPARSE, ("GNU.sparse.realsize", "9"))
    + header("t", size=512)
    + b"1000000000\n".ljust(512, b"0"),
    "a map without an end": extended(*SPARSE, ("GNU.sparse.realsize", "9")) + header("t", size=MIB) + b"9" * MIB,
    "an older format of holes": header("t", tarfile.GNUTYPE_SPARSE, size=512) + bytes(512),
    "a map in its header": extended(("GNU.sparse.map", "0,1," * 10_000)) + header("t"),
    "a record longer than its header": header("x", tarfile.XHDTYPE, size=12) + b"99999999 a=b".ljust(512, b"\0"),
    "a record of a million digits": header("x", tarfile.XHDTYPE, size=60_000) + b"1" * 60_416,
    "a size below zero": extended(("size", "-512")) + header("t"),
    "a size beyond numbers": extended(("size", "9" * 5000)) + header("t"),
    "a size of 88 bits": header("t", size=1 << 87),
    "a size of the opposite sign": header("t", size=-1),
    "more holes than a file can have": extended(*SPARSE, ("GNU.sparse.realsize", str(1 << 63)))
    + header("t", size=512)
    + b"0\n".ljust(512, b"\0"),
    "a hole beyond any file": extended(*SPARSE, ("GNU.sparse.realsize", "9" * 19))
    + header("t", size=512)
    + f"1\n{'9' * 19}\n0\n".encode().ljust(512, b"\0"),
    "directories in one another, and one outside": b"".join(
        extended(("path", "t" + "/d" * depth)) + header("x", DIR) for depth in range(1200)
    )
    + header("../t", DIR),
    "a link with content": header("t", SYM, size=8 * MIB, link="a"),
    "a kind that nobody knows": header("t", b"Z", size=512) + bytes(512),
    "a file that ends early": header("t", size=64 * MIB) + b"x",
    "a name longer than any path": header("t", DIR) + extended(("path", "t/" + "a/" * 2050)) + header("x", DIR),
    "a target longer than any path": header("t", DIR) + extended(("linkpath", "a/" * 2050)) + header("t/l", SYM),
    "links that multiply one another's targets": header("t", DIR)
    + b"".join(
        extended(("linkpath", "a/" * 1000 + "../" * 1000 + f"l{number + 1}")) + header(f"t/l{number}", SYM)
        for number in range(1500)
    ),
}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_what_a_stream_claims_is_refused_before_it_costs_memory(claim: bytes, tmp_path: Path) -> None:
    stream = claim + END
    tracemalloc.start()
    try:
        with pytest.raises(OperationFailed):
            unpack(stream, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, SYM, DIR], ids=["left out", "links", "directories"])
def test_what_is_kept_of_each_entry_is_bounded_in_all(
    kind: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "_SKIPPED_LIMIT", 100)
    monkeypatch.setattr(unpacking, "_REMEMBERED_LIMIT_BYTES", 2 * MIB)
    # Paths intern their parts. Held here, they do not make the interpreter's table of such texts grow (by up to
    # several MiB at once) while memory is measured.
    names = [sys.intern(f"{n:080}") for n in range(4000)]
    many = [header(f"t/{name}", kind, link="s") for name in names]
    few = many[:1000]
    stream = header("t", DIR) + b"".join(few) + END
    assert len(unpack(stream, tmp_path).skipped) == (100 if kind == tarfile.FIFOTYPE else 0), "listed up to a limit"
    shutil.rmtree(tmp_path / "back")
    stream = header("t", DIR) + b"".join(many) + END
    tracemalloc.start()
    try:
        with pytest.raises(OperationFailed, match="more than 2 MiB of memory"):
            unpack(stream, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2 * 2 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("letter", ["a", "\U000e0001"], ids=["narrow", "wide"])
@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, SYM], ids=["left out", "links"])
def test_long_names_count_with_all_the_memory_that_they_take(
    kind: bytes, letter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "_REMEMBERED_LIMIT_BYTES", 4 * MIB)
    long = letter * (200 // len(letter.encode()))
    stream = header("t", DIR) + b"".join(
        extended(("path", f"t/{number}/" + f"{long}/" * 19), ("linkpath", f"{long}/" * 20)) + header("x", kind)
        for number in range(1500)
    )
    (tmp_path / "kept").write_bytes(stream)
    tracemalloc.start()
    try:
        with pytest.raises(OperationFailed, match="more than 4 MiB of memory") as refused:
            unpack_file(tmp_path / "kept", tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2 * 4 * MIB
        assert len(refused.value.message) < 1000
    finally:
        tracemalloc.stop()


def test_holes_of_any_size_take_no_room(tmp_path: Path) -> None:
    size = 64 * 1024**3
    stream = extended(*SPARSE, ("GNU.sparse.realsize", str(size))) + header("t", size=512)
    moved = unpack(stream + f"1\n{size}\n0\n".encode().ljust(512, b"\0") + END, tmp_path)
    status = (tmp_path / "back").stat()
    assert (status.st_size, status.st_blocks, moved.size_bytes) == (size, 0, 0)


LINKS_OUT = {
    "to the root": [("t/a", "/etc")],
    "above the tree": [("t/a", "..")],
    "out and in again by the name it has while it is unpacked": [("t/a", "../x/b")],
    "out and in again by its name on the node": [("t/a", "../t/b")],
    "through a link to a directory further up": [("t/d/e/l", ".."), ("t/a", "d/e/l/../../s")],
    "through two links": [("t/d/l", "."), ("t/a", "d/l/../../s")],
    "the tree itself": [("t", "s")],
}


@pytest.mark.parametrize("links", LINKS_OUT.values(), ids=LINKS_OUT)
def test_no_link_leads_out_of_what_was_pulled(links: list[tuple[str, str]], tmp_path: Path) -> None:
    (tmp_path / "s").write_text("secret")
    whole = [] if links[0][0] == "t" else [("t", DIR), ("t/d", DIR), ("t/d/e", DIR)]
    stream = b"".join(header(name, kind) for name, kind in whole)
    stream += b"".join(header(name, SYM, link=link) for name, link in links) + END
    try:
        moved = unpack(stream, tmp_path)
    except OperationFailed:
        assert not (tmp_path / "back").exists()
        return
    assert any("a link out of the tree" in said for said in moved.skipped)
    assert not (tmp_path / "back" / "a").is_symlink()
    require_inside(tmp_path / "back")


def require_inside(root: Path) -> None:
    """Fail where a link of a tree leads out of it."""
    for path in root.rglob("*"):
        if path.is_symlink():
            try:
                path.stat()
            except OSError:
                continue  # leads nowhere, or in a circle
            assert path.resolve().is_relative_to(root.resolve()), path


@pytest.mark.parametrize("mode", [0o777, 0o7777, 0o4755, 0o666, 0o600, 0])
def test_nobody_but_the_owner_can_write_what_a_node_sent(mode: int, tmp_path: Path) -> None:
    unpack(header("t", DIR, mode=mode) + header("t/f", mode=mode) + header("t/h", HARD, link="t/f") + END, tmp_path)
    for path in (tmp_path / "back", tmp_path / "back" / "f"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o7022
    assert stat.S_IMODE((tmp_path / "back" / "f").stat().st_mode) == mode & 0o755


def test_a_stream_stops_at_the_reserve_of_free_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "free_bytes", lambda _: space.RESERVE_BYTES - 1)
    with pytest.raises(OperationFailed, match="kept as a reserve"):
        unpack(header("t", size=5) + b"hello".ljust(512, b"\0") + END, tmp_path)
    assert list(tmp_path.iterdir()) == []


def real_stream(directory: Path) -> bytes:
    """What a node's tar(1) sends of a tree with files, holes, links and long names."""
    root = directory / "t"
    (root / "d").mkdir(parents=True)
    (root / "f").write_text("content")
    os.link(root / "f", root / "d" / "hard")
    (root / "l").symlink_to("d/hard")
    (root / ("long" * 40)).write_text("name")
    with (root / "holes").open("wb") as file:
        for offset in (0, 100_000, 300_000):
            file.seek(offset)
            file.write(b"data")
    sent = subprocess.run(
        ["tar", "-cSf", "-", "--format=posix", "-C", directory, "t"], stdout=subprocess.PIPE, check=True
    )
    return sent.stdout


def test_streams_with_random_faults_cost_no_more_than_an_error(tmp_path: Path, tally: Tally) -> None:
    sandbox, whole = Sandbox.made_in(tmp_path / "host"), real_stream(tmp_path / "node")
    headers = [at for at in range(0, len(whole), 512) if whole[at + 257 : at + 262] == b"ustar"]
    names = [os.fsencode(name) for name in odd_names(sandbox) if "\0" not in name and len(name) < 100]
    require_harmless(sandbox, tally, lambda chance: faulty(whole, headers, names, chance))


def test_streams_of_sound_entries_in_any_order_cost_no_more_than_an_error(tmp_path: Path, tally: Tally) -> None:
    sandbox = Sandbox.made_in(tmp_path / "host")
    names = odd_names(sandbox)
    require_harmless(sandbox, tally, lambda chance: composed(names, chance))


def require_harmless(sandbox: Sandbox, tally: Tally, stream: Callable[[random.Random], bytes]) -> None:
    """Pull streams; whatever is refused leaves nothing, and what arrives is in its own tree and was sent."""
    chance, before = random.Random(SEED), sandbox.picture()
    closed = {path.stat().st_ino for path in sandbox.closed.rglob("*") if path.is_file()}
    into = sandbox.project / "pulled"
    with tally.fuzzing(ROUNDS):
        for number in range(ROUNDS):
            into.mkdir()
            try:
                unpack(stream(chance), into)
            except OperationFailed:
                assert list(into.iterdir()) == []
            else:
                assert [path.name for path in into.iterdir()] == ["back"]
                require_inside(into / "back")
                assert not {path.lstat().st_ino for path in into.rglob("*")} & closed
            shutil.rmtree(into)
            if number % 100 == 0:
                assert sandbox.picture() == before
    assert sandbox.picture() == before
    assert {path.name for path in sandbox.project.iterdir() if path.name.startswith(("pull", ".vm"))} == set()


IN_TREE = [
    "t/a",
    "t/a/b",
    "t/a/b/c",
    "t/a/b/f",
    "t/f",
    "t/l",
    "t/l/f",
    "t/./f",
    "t//g",
    "t/new\nline",
    "t/\x1b[2J",
    "t/\udcff",
]
TARGETS = [
    *IN_TREE,
    *IN_TREE,
    "a",
    "a/b",
    "f",
    "../f",
    "b/../../f",
    "l/f",
    "l/..",
    "..",
    "../t/f",
    "../back/f",
    "../../..",
    ".",
]


def odd_names(sandbox: Sandbox) -> list[str]:
    """Names of entries and targets of links that lead somewhere else, or nowhere."""
    shadow = sandbox.closed / "shadow"
    outside = [str(shadow), f"/{shadow}", os.path.relpath(shadow, sandbox.project), str(sandbox.closed), "../..", "/"]
    above = [
        "",
        ".",
        "..",
        "t/..",
        "t/a/../f",
        "t/../../closed/shadow",
        "../back/f",
        "/proc/self/fd/3",
        "/proc/self/root",
    ]
    return [*outside, *above, "x" * 300, "t/" + "d/" * 300, "t/" + "y" * 255, "t/\u202e", "t/.vmcluster"]


def composed(names: list[str], chance: random.Random) -> bytes:
    """Entries of every kind under few names, so that one often stands where another did or leads to it."""
    stream = b"".join(header(name, DIR) for name in ("t", "t/a", "t/a/b") if chance.random() < 0.97)
    free = chance.sample(IN_TREE, len(IN_TREE))
    for _ in range(chance.randrange(1, 8)):
        name = chance.choice(names if chance.random() < 0.02 else IN_TREE if chance.random() < 0.1 else [free.pop()])
        link = chance.choice(names if chance.random() < 0.2 else TARGETS)
        if chance.random() < 0.05:  # what comes next has a longer name, of either make
            stream += chance.choice(
                [gnu_long(b"L", name), gnu_long(b"K", link), extended(("path", name)), extended(("linkpath", link))]
            )
        kind = chance.choice(
            [DIR, FILE, FILE, SYM, SYM, HARD, HARD, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.CONTTYPE]
        )
        size = chance.choice([0, 0, 5, 511, 512, 513]) if kind in {FILE, tarfile.CONTTYPE} else 0
        member = tarfile.TarInfo(name[:90])
        member.type, member.size, member.linkname, member.mode = kind, size, link[:90], chance.randrange(0o10000)
        block = member.tobuf(tarfile.USTAR_FORMAT, errors="surrogateescape")
        stream += block + b"x" * size + bytes(-size % 512)
    return stream + END


def gnu_long(kind: bytes, name: str) -> bytes:
    body = os.fsencode(name) + b"\0"
    return header("././@LongLink", kind, size=len(body)) + body + bytes(-len(body) % 512)


def faulty(whole: bytes, headers: list[int], names: list[bytes], chance: random.Random) -> bytes:
    """A stream with some faults, with the checksums of its headers made good, so that they are believed."""
    stream = bytearray(whole)
    for _ in range(chance.randrange(1, 6)):
        at = chance.choice(headers) + chance.choice([chance.randrange(512), chance.randrange(100, 160), 156, 512])
        match chance.randrange(5):
            case 0:
                stream[at % len(stream)] = chance.randrange(256)
            case 1:
                stream[at : at + 8] = chance.choice(
                    [b"77777777", b"\x80\xff\xff\xff", b"-1      ", b"../../..", b"9999"]
                )
            case 2:
                other = chance.choice(headers)
                stream[at - at % 512 : at - at % 512 + 512] = whole[other : other + 512]
            case 3:
                place = at - at % 512 + chance.choice([0, 157])
                stream[place : place + 100] = chance.choice(names).ljust(100, b"\0")
            case _:
                del stream[at : at + 512 * chance.randrange(3)]
    for at in range(0, len(stream) - 511, 512):
        if stream[at + 257 : at + 262] == b"ustar":
            stream[at + 148 : at + 156] = b" " * 8
            stream[at + 148 : at + 156] = b"%06o\0 " % sum(stream[at : at + 512])
    return bytes(stream)


def test_what_an_honest_tar_sends_arrives(tmp_path: Path) -> None:
    moved = unpack(real_stream(tmp_path / "node"), tmp_path)
    assert (moved.files, moved.directories, moved.links, moved.skipped) == (4, 2, 1, [])
    for path in (tmp_path / "node" / "t").rglob("*"):
        copy = tmp_path / "back" / path.relative_to(tmp_path / "node" / "t")
        assert copy.is_dir() if path.is_dir() else copy.read_bytes() == path.read_bytes()
